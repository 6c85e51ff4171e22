// Colours as numbers.

/** The channels of `#rgb` or `#rrggbb`. */
export function channels(hex: string): [number, number, number] {
  const digits = hex.replace("#", "");
  const long = digits.length === 3 ? [...digits].map((it) => it + it).join("") : digits;
  const part = (at: number) => parseInt(long.slice(at, at + 2), 16) || 0;
  return [part(0), part(2), part(4)];
}

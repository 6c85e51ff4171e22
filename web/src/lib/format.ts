// How numbers, sizes, times and cells read.
import type { Cell } from "./types";

const whole = new Intl.NumberFormat("en-US", { maximumFractionDigits: 0 });
const short = new Intl.NumberFormat("en-US", { notation: "compact", maximumFractionDigits: 1 });
const plain = new Intl.NumberFormat("en-US", { maximumFractionDigits: 4 });

/** 1234567 → 1,234,567 */
export function count(value: number): string {
  return whole.format(value);
}

/** 1234567 → 1.2M; below ten thousand as it is. */
export function compact(value: number): string {
  return Math.abs(value) < 10_000 ? number(value, 2) : short.format(value);
}

/** A number with at most `digits` decimals. */
export function number(value: number, digits = 4): string {
  if (!Number.isFinite(value)) return String(value);
  if (value !== 0 && Math.abs(value) < 0.0001) return value.toExponential(2);
  if (digits === 4) return plain.format(value);
  return new Intl.NumberFormat("en-US", { maximumFractionDigits: digits }).format(value);
}

/** Records a second: whole from ten on. */
export function rate(value: number): string {
  if (value === 0) return "0";
  if (value < 0.05) return "<0.1";
  return value < 10 ? number(value, 1) : compact(Math.round(value));
}

/** Bytes in powers of 1,000, as the program writes them. */
export function bytes(value: number): string {
  const units = ["B", "kB", "MB", "GB", "TB"];
  let unit = 0;
  while (value >= 1000 && unit < units.length - 1) {
    value /= 1000;
    unit += 1;
  }
  return `${number(value, value < 10 && unit > 0 ? 1 : 0)} ${units[unit]}`;
}

/** A length of time: 18 ms, 1.4 s, 3 min, 2 h, 5 days. */
export function span(ms: number): string {
  if (ms < 1000) return `${Math.max(0, Math.round(ms))} ms`;
  const seconds = ms / 1000;
  if (seconds < 10) return `${number(seconds, 1)} s`;
  if (seconds < 100) return `${Math.round(seconds)} s`;
  if (seconds < 5400) return `${Math.round(seconds / 60)} min`;
  if (seconds < 36 * 3600) return `${Math.round(seconds / 3600)} h`;
  const days = Math.round(seconds / 86_400);
  return `${count(days)} day${days === 1 ? "" : "s"}`;
}

/** How long ago; whole seconds, so that it does not jitter. */
export function ago(then_ms: number, now_ms: number): string {
  const passed = now_ms - then_ms;
  if (passed < 2000) return "just now";
  return `${passed < 10_000 ? `${Math.floor(passed / 1000)} s` : span(passed)} ago`;
}

export type Zone = "local" | "utc";

/** A moment, to the precision it has. */
export function moment(at: number, zone: Zone, fraction = ""): string {
  const date = new Date(at);
  const two = (value: number) => String(value).padStart(2, "0");
  const parts =
    zone === "utc"
      ? [date.getUTCFullYear(), date.getUTCMonth() + 1, date.getUTCDate()]
      : [date.getFullYear(), date.getMonth() + 1, date.getDate()];
  const clock =
    zone === "utc"
      ? [date.getUTCHours(), date.getUTCMinutes(), date.getUTCSeconds()]
      : [date.getHours(), date.getMinutes(), date.getSeconds()];
  return `${parts[0]}-${two(parts[1] ?? 0)}-${two(parts[2] ?? 0)} ${clock.map(two).join(":")}${fraction}`;
}

/** A decimal as the program writes it, with separators and without passing through a float. */
export function decimal(text: string): string {
  const match = /^(-?)(\d+)(\.\d+)?$/.exec(text);
  if (!match) return text;
  const grouped = (match[2] ?? "").replace(/\B(?=(\d{3})+$)/g, ",");
  return `${match[1]}${grouped}${match[3] ?? ""}`;
}

/** A number with as many decimals as its type has: 12.5 as decimal(10,2) is 12.50. */
function scaled(value: number, type: string): string {
  const scale = Number(/,\s*(\d+)\)/.exec(type)?.[1] ?? 0);
  return Math.abs(value) < 1e21 ? value.toFixed(Math.min(100, scale)) : String(value);
}

/** Whether a column's values are right-aligned numbers. */
export function isNumeric(type: string): boolean {
  return type === "int" || type === "float" || type.startsWith("decimal");
}

export function isTime(type: string): boolean {
  return type === "timestamp" || type === "date";
}

/** A cell as people read it. */
export function cell(value: Cell, type: string, zone: Zone): string {
  if (value === null) return "";
  if (type === "int") return typeof value === "number" ? count(value) : decimal(String(value));
  if (type === "float" && typeof value === "number") return number(value);
  if (type.startsWith("decimal")) return decimal(typeof value === "number" ? scaled(value, type) : String(value));
  if (type === "timestamp" && typeof value === "string") {
    const at = Date.parse(value);
    if (Number.isNaN(at)) return value;
    const fraction = /\.\d+/.exec(value)?.[0].replace(/0+$/, "") ?? "";
    return moment(at, zone, fraction.length > 1 ? fraction : "");
  }
  return typeof value === "object" ? JSON.stringify(value) : String(value);
}

/** A cell as a number, for drawing. */
export function numeric(value: Cell): number | null {
  if (value === null || typeof value === "boolean" || typeof value === "object") return null;
  if (typeof value === "string" && value.trim() === "") return null;
  const result = Number(value);
  return Number.isFinite(result) ? result : null;
}

/** "1 record", "2 records" */
export function plural(value: number, word: string): string {
  return `${count(value)} ${word}${value === 1 ? "" : "s"}`;
}

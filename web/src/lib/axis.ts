// The words along a time axis.
import type { Zone } from "./format";

const MONTHS = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];

interface Parts {
  year: number;
  month: number;
  day: number;
  clock: string;
  second: number;
}

function partsOf(seconds: number, zone: Zone): Parts {
  const date = new Date(seconds * 1000);
  const isUtc = zone === "utc";
  const two = (value: number) => String(value).padStart(2, "0");
  const hour = isUtc ? date.getUTCHours() : date.getHours();
  const minute = isUtc ? date.getUTCMinutes() : date.getMinutes();
  return {
    year: isUtc ? date.getUTCFullYear() : date.getFullYear(),
    month: isUtc ? date.getUTCMonth() : date.getMonth(),
    day: isUtc ? date.getUTCDate() : date.getDate(),
    second: isUtc ? date.getUTCSeconds() : date.getSeconds(),
    clock: `${two(hour)}:${two(minute)}`,
  };
}

/** A label for each tick; the day stands under the first tick and where it changes. */
export function ticks(splits: number[], every: number, zone: Zone): string[] {
  let before: Parts | null = null;
  return splits.map((at) => {
    const parts = partsOf(at, zone);
    const isNewDay = before === null || before.day !== parts.day || before.month !== parts.month;
    const isNewYear = before === null || before.year !== parts.year;
    before = parts;
    const day = `${parts.day} ${MONTHS[parts.month]}`;
    if (every >= 365 * 86_400) return String(parts.year);
    if (every >= 86_400) return isNewYear ? `${day}\n${parts.year}` : day;
    const clock = every < 60 ? `${parts.clock}:${String(parts.second).padStart(2, "0")}` : parts.clock;
    return isNewDay ? `${clock}\n${day}` : clock;
  });
}

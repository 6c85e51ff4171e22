// Dead letters as people read them.
import type { Letter, Reason } from "./types";

export interface ReasonRow {
  label: string;
  kind: string | null;
  check: string | null;
  count: number;
}

/** The reasons that still hold records, the most frequent first. */
export function reasonsOf(reasons: Reason[]): ReasonRow[] {
  return reasons
    .filter((it) => it.state === null || it.state === "dead")
    .map(({ kind, check, count }) => ({ label: check ?? kind ?? "unknown", kind, check, count }))
    .sort((a, b) => b.count - a.count);
}

/** The record, indented when it is JSON. */
export function pretty(letter: Pick<Letter, "text" | "base64">): string {
  if (letter.text === null) return letter.base64 ?? "";
  try {
    // Numbers are kept as they were written: only the white space changes when nothing is lost.
    const value = JSON.parse(letter.text) as unknown;
    const spaced = JSON.stringify(value, null, 2);
    return JSON.stringify(value) === letter.text.replace(/\s*\n\s*/g, "").trim() ? spaced : letter.text;
  } catch {
    return letter.text;
  }
}

// Where in the text an error is, from lines and columns as the program counts them.
import type { ErrorBody } from "./types";

/** The range to mark, in the editor's units (UTF-16); at least one of them, inside the text. */
export function rangeOf(
  text: string,
  error: Pick<ErrorBody, "line" | "column" | "length">,
): { from: number; to: number } | null {
  if (error.line === undefined || error.column === undefined || text === "") return null;
  const lines = text.split("\n");
  const index = Math.min(Math.max(error.line, 1), lines.length) - 1;
  const before = lines.slice(0, index).reduce((sum, it) => sum + it.length + 1, 0);
  // The program counts characters; one beyond the basic plane is two units here.
  const characters = [...(lines[index] ?? "")];
  const start = characters.slice(0, error.column - 1).join("").length;
  const meant = characters.slice(error.column - 1, error.column - 1 + (error.length ?? 1));
  let from = before + start;
  let to = from + meant.join("").length;
  if (from >= text.length) from = text.length - 1;
  if (to <= from) to = from + 1;
  return { from, to };
}

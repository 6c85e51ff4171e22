// The command that sends a stream its first record.
import type { Stream } from "./types";

/** A value that fits a column's type, so that the command works as it stands. */
function example(name: string, type: string, now: Date): unknown {
  if (type === "int") return 1;
  if (type === "float" || type.startsWith("decimal")) return 9.5;
  if (type === "bool") return true;
  if (type === "timestamp") return now.toISOString().replace(/\.\d+Z$/, "Z");
  if (type === "date") return now.toISOString().slice(0, 10);
  return name.endsWith("_id") ? "1" : name;
}

/** A curl command with one record of the stream's columns. */
export function starter(stream: Pick<Stream, "name" | "columns">, http: string, now = new Date()): string {
  const columns = stream.columns.filter((it) => !it.name.startsWith("_"));
  const record = Object.fromEntries(columns.map((it) => [it.name, example(it.name, it.type, now)]));
  const base = http || (typeof location === "undefined" ? "http://localhost:7070" : location.origin);
  return `curl ${base}/v1/streams/${stream.name}/records -d '${JSON.stringify(record)}'`;
}

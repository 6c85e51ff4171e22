import { describe, expect, test } from "vitest";
import { bodyOf, quote } from "./api";
import { ticks } from "./axis";
import { channels } from "./colour";
import { remember } from "./history";
import { pretty, reasonsOf } from "./letters";
import { rangeOf } from "./position";
import { starter } from "./starter";

describe("an error's place in the text", () => {
  test("is found by line and column", () => {
    expect(rangeOf("SELECT *\nFROM ordrs", { line: 2, column: 6, length: 5 })).toEqual({ from: 14, to: 19 });
  });
  test("counts characters, not units", () => {
    expect(rangeOf("SELECT '🚂', bad", { line: 1, column: 13, length: 3 })).toEqual({ from: 13, to: 16 });
  });
  test("stays inside the text", () => {
    expect(rangeOf("SELECT", { line: 1, column: 7, length: 1 })).toEqual({ from: 5, to: 6 });
    expect(rangeOf("a", { line: 99, column: 99 })).toEqual({ from: 0, to: 1 });
    expect(rangeOf("", { line: 1, column: 1 })).toBeNull();
    expect(rangeOf("abc", {})).toBeNull();
  });
});

test("names are quoted where SQL needs it", () => {
  expect(quote("orders")).toBe("orders");
  expect(quote("Orders")).toBe('"Orders"');
  expect(quote('a"b')).toBe('"a""b"');
});

test("a refusal is read whatever sent it", () => {
  expect(bodyOf('{"error":{"kind":"invalid","message":"no"}}', 400).message).toBe("no");
  expect(bodyOf("<html>bad gateway", 502).message).toBe("<html>bad gateway");
  expect(bodyOf("", 502).message).toBe("the answer was HTTP 502");
  expect(bodyOf("null", 500).message).toBe("null");
});

test("the day stands under the first tick and where it changes", () => {
  const start = Date.UTC(2026, 10, 21, 23, 50) / 1000;
  expect(ticks([start, start + 600, start + 1200], 600, "utc")).toEqual(["23:50\n21 Nov", "00:00\n22 Nov", "00:10"]);
  expect(ticks([start], 10, "utc")).toEqual(["23:50:00\n21 Nov"]);
  expect(ticks([start, start + 86_400], 86_400, "utc")).toEqual(["21 Nov\n2026", "22 Nov"]);
});

test("colours are read short and long", () => {
  expect(channels("#fff")).toEqual([255, 255, 255]);
  expect(channels("#0d66b8")).toEqual([13, 102, 184]);
});

test("a statement stands in the history once, the newest first, and not for ever", () => {
  const asked = (sql: string) => ({ sql, at_ms: 0, rows: 1 });
  const twice = remember(remember(remember([], asked("a")), asked("b")), asked("a "));
  expect(twice.map((it) => it.sql)).toEqual(["a ", "b"]);
  const many = Array.from({ length: 80 }, (_, index) => asked(String(index)));
  expect(many.reduce(remember, [] as ReturnType<typeof remember>)).toHaveLength(50);
});

test("reasons are those that still hold records, the most frequent first", () => {
  const reason = (check: string | null, state: string, count: number) => ({ kind: "check", check, state, count, newest_ms: null });
  const found = reasonsOf([reason("a", "dead", 1), reason("b", "dead", 5), reason("c", "replayed", 9), reason(null, "dead", 2)]);
  expect(found.map((it) => it.label)).toEqual(["b", "check", "a"]);
});

test("a record is indented only when nothing of it is lost", () => {
  expect(pretty({ text: '{"a":1}', base64: null })).toBe('{\n  "a": 1\n}');
  expect(pretty({ text: '{"a":12345678901234567890}', base64: null })).toBe('{"a":12345678901234567890}');
  expect(pretty({ text: "{broken", base64: null })).toBe("{broken");
  expect(pretty({ text: null, base64: "//4A" })).toBe("//4A");
});

test("the first record fits the stream's columns", () => {
  const columns = [
    { name: "order_id", type: "text" },
    { name: "ts", type: "timestamp" },
    { name: "total", type: "decimal(12,2)" },
    { name: "_shard", type: "int" },
  ];
  const command = starter({ name: "orders", columns }, "http://localhost:7070", new Date(0));
  expect(command).toBe(
    `curl http://localhost:7070/v1/streams/orders/records -d '{"order_id":"1","ts":"1970-01-01T00:00:00Z","total":9.5}'`,
  );
});

import { describe, expect, test } from "vitest";
import { ago, bytes, cell, compact, count, decimal, moment, numeric, rate, span } from "./format";

describe("numbers", () => {
  test("have separators", () => {
    expect(count(1234567)).toBe("1,234,567");
    expect(compact(9999)).toBe("9,999");
    expect(compact(1_234_567)).toBe("1.2M");
  });
  test("rates stay short", () => {
    expect(rate(0)).toBe("0");
    expect(rate(0.01)).toBe("<0.1");
    expect(rate(4.66)).toBe("4.7");
    expect(rate(1840.4)).toBe("1,840");
  });
  test("decimals never pass through a float", () => {
    expect(decimal("12345678901234567890.10")).toBe("12,345,678,901,234,567,890.10");
    expect(decimal("-1234.5")).toBe("-1,234.5");
    expect(decimal("1e5")).toBe("1e5");
  });
  test("sizes are in powers of a thousand", () => {
    expect(bytes(0)).toBe("0 B");
    expect(bytes(999)).toBe("999 B");
    expect(bytes(1340)).toBe("1.3 kB");
    expect(bytes(41_200_000)).toBe("41 MB");
  });
});

describe("times", () => {
  test("spans use the unit one would say", () => {
    expect(span(18)).toBe("18 ms");
    expect(span(1400)).toBe("1.4 s");
    expect(span(95_000)).toBe("95 s");
    expect(span(184_000)).toBe("3 min");
    expect(span(7_200_000)).toBe("2 h");
    expect(span(86_400_000 * 2)).toBe("2 days");
    expect(span(-5)).toBe("0 ms");
  });
  test("what is young is just now, even when clocks differ", () => {
    expect(ago(1000, 1500)).toBe("just now");
    expect(ago(2000, 1000)).toBe("just now");
    expect(ago(0, 4999)).toBe("4 s ago");
  });
  test("moments are written in the zone asked for", () => {
    expect(moment(Date.UTC(2026, 0, 5, 10, 0, 9), "utc")).toBe("2026-01-05 10:00:09");
  });
});

describe("cells", () => {
  test("read by their type", () => {
    expect(cell(12.5, "decimal(10,2)", "utc")).toBe("12.50");
    expect(cell(1203441, "int", "utc")).toBe("1,203,441");
    expect(cell("2026-01-05T10:00:00.120Z", "timestamp", "utc")).toBe("2026-01-05 10:00:00.12");
    expect(cell("2026-01-05T10:00:00.000Z", "timestamp", "utc")).toBe("2026-01-05 10:00:00");
    expect(cell("not a time", "timestamp", "utc")).toBe("not a time");
    expect(cell("2026-01-05", "date", "utc")).toBe("2026-01-05");
    expect(cell(true, "bool", "utc")).toBe("true");
    expect(cell([1, "a"], "list(text)", "utc")).toBe('[1,"a"]');
  });
  test("become numbers only when they are", () => {
    expect(numeric("12.50")).toBe(12.5);
    expect(numeric("")).toBeNull();
    expect(numeric("abc")).toBeNull();
    expect(numeric(null)).toBeNull();
    expect(numeric(true)).toBeNull();
  });
});

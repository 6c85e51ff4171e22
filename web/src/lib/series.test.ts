import { describe, expect, test } from "vitest";
import { axesOf, bars, complete, filled, isFilling, lines, pick, SERIES_MAX, stacked } from "./series";
import type { Cell, Rows } from "./types";

const at = (minute: number) => new Date(Date.UTC(2026, 0, 5, 10, minute)).toISOString();

function rows(columns: [string, string][], cells: Cell[][]): Rows {
  return { columns: columns.map(([name, type]) => ({ name, type })), rows: cells, truncated: false };
}

const SALES: [string, string][] = [
  ["minute", "timestamp"],
  ["region", "text"],
  ["revenue", "decimal(12,2)"],
];

describe("lines", () => {
  test("have a series for each value of `by`, in order of time", () => {
    const data = rows(SALES, [
      [at(1), "FR", "2.50"],
      [at(0), "DE", 1],
      [at(0), "FR", 3],
    ]);
    const drawn = lines(data, axesOf({ kind: "line", x: "minute", by: "region" }, data.columns));
    expect(drawn.xs).toHaveLength(2);
    expect(drawn.step).toBe(60);
    expect(drawn.series).toEqual([
      { label: "DE", values: [1, null] },
      { label: "FR", values: [3, 2.5] },
    ]);
  });
  test("several ys without `by` are named by their columns", () => {
    const data = rows([["t", "timestamp"], ["a", "int"], ["b", "int"]], [[at(0), 1, 2]]);
    const drawn = lines(data, axesOf({ kind: "line", x: "t", by: null }, data.columns));
    expect(drawn.series.map((it) => it.label)).toEqual(["a", "b"]);
  });
  test("only the largest are drawn, and the rest is counted", () => {
    const cells = Array.from({ length: 20 }, (_, index) => [at(0), `r${index}`, index]);
    const data = rows(SALES, cells);
    const drawn = lines(data, axesOf({ kind: "line", x: "minute", by: "region" }, data.columns));
    expect(drawn.series).toHaveLength(SERIES_MAX);
    expect(drawn.hidden).toBe(12);
    expect(drawn.series.every((it) => (it.values[0] ?? 0) >= 12)).toBe(true);
  });
  test("missing windows are 0, a gap, or what was before", () => {
    const data = rows(SALES, [
      [at(0), "FR", 1],
      [at(2), "DE", 5],
      [at(6), "FR", 3],
      [at(6), "DE", null],
    ]);
    const drawn = lines(data, { kind: "line", x: 0, by: 1, ys: [2] });
    const values = (fill: "zero" | "null" | "previous", step: number | null) =>
      filled(drawn, fill, step).series.map((it) => it.values);
    expect(filled(drawn, "zero", null).xs).toHaveLength(4);
    expect(values("zero", null)).toEqual([[0, 5, 0, 0], [1, 0, 0, 3]]);
    expect(values("null", 60)).toEqual([
      [null, null, 5, null, null, null, null],
      [1, null, null, null, null, null, 3],
    ]);
    expect(values("previous", 60)).toEqual([[null, null, 5, 5, 5, 5, 5], [1, 1, 1, 1, 1, 1, 3]]);
    expect(filled(drawn, null, 60)).toBe(drawn);
    expect(filled(drawn, "zero", 7)).toBe(drawn);
    expect(filled(drawn, "zero", 0.001)).toBe(drawn);
  });
  test("rows without a time are left out", () => {
    const data = rows(SALES, [[null, "FR", 1], ["garbage", "FR", 2]]);
    expect(lines(data, { kind: "line", x: 0, by: 1, ys: [2] }).xs).toEqual([]);
  });
  test("the newest point fills until its time is over", () => {
    const data = rows(SALES, [[at(0), "FR", 1], [at(1), "FR", 1]]);
    const drawn = lines(data, { kind: "line", x: 0, by: 1, ys: [2] });
    expect(isFilling(drawn, Date.UTC(2026, 0, 5, 10, 1, 59))).toBe(true);
    expect(isFilling(drawn, Date.UTC(2026, 0, 5, 10, 2, 0))).toBe(false);
  });
  test("piles count nothing as 0, and end where they are complete", () => {
    const of = { xs: [1, 2, 3, 4], hidden: 0, step: 1, series: [
      { label: "a", values: [1, null, 1, 1] },
      { label: "b", values: [2, 2, null, 1] },
    ] };
    expect(stacked(of).series[1]?.values).toEqual([3, 2, 1, 2]);
    expect(complete(of).xs).toEqual([1, 2, 3]);
    expect(complete(complete(of)).xs).toEqual([1, 2, 3]);
  });
});

describe("bars", () => {
  test("keep the order of the rows and add up their parts", () => {
    const data = rows([["name", "text"], ["region", "text"], ["n", "int"]], [
      ["boots", "FR", 3],
      ["socks", "FR", 2],
      ["boots", "DE", 1],
      [null, "DE", 1],
    ]);
    const drawn = bars(data, axesOf({ kind: "bar", x: "name", by: "region" }, data.columns));
    expect(drawn.bars.map((it) => [it.label, it.total])).toEqual([["boots", 4], ["socks", 2], ["(none)", 1]]);
    expect(drawn.labels).toEqual(["FR", "DE"]);
  });
});

describe("picking axes", () => {
  test("time goes along x, a repeating text becomes the series", () => {
    const data = rows(SALES, [[at(0), "FR", 1], [at(0), "DE", 2], [at(1), "FR", 1]]);
    expect(pick(data)).toEqual({ kind: "line", x: 0, by: 1, ys: [2] });
  });
  test("without time the first text names the bars", () => {
    expect(pick(rows([["n", "int"], ["name", "text"]], [[1, "a"]]))).toEqual({ kind: "bar", x: 1, by: null, ys: [0] });
  });
  test("nothing to draw is said", () => {
    expect(pick(rows([["name", "text"]], [["a"]]))).toBeNull();
    expect(pick(rows([["n", "int"]], [[1]]))).toBeNull();
    expect(pick(rows(SALES, []))).toBeNull();
  });
  test("places of records are no figures", () => {
    expect(pick(rows([["id", "text"], ["_sequence", "int"]], [["a", 1]]))).toBeNull();
  });
});

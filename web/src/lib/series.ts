// From the rows of an answer to what a chart draws.
import { isNumeric, isTime, numeric } from "./format";
import type { Cell, Column, Fill, Rows } from "./types";

/** As many as colours can be told apart. */
export const SERIES_MAX = 8;

export interface Series {
  label: string;
  values: (number | null)[];
}

export interface Lines {
  /** Seconds since 1970, ascending. */
  xs: number[];
  series: Series[];
  /** Series left out because there are too many: the smallest ones. */
  hidden: number;
  /** How far the points lie apart in seconds; 0 when unknown. */
  step: number;
}

export interface Axes {
  kind: "line" | "bar";
  x: number;
  by: number | null;
  ys: number[];
}

/** Turns rows into lines over time. */
export function lines(data: Rows, axes: Axes): Lines {
  const places = new Map<number, number>();
  for (const row of data.rows) {
    const at = seconds(row[axes.x] ?? null);
    if (at !== null) places.set(at, 0);
  }
  const xs = [...places.keys()].sort((a, b) => a - b);
  xs.forEach((at, index) => places.set(at, index));
  const byLabel = new Map<string, Series>();
  for (const row of data.rows) {
    const at = seconds(row[axes.x] ?? null);
    const place = at === null ? undefined : places.get(at);
    if (place === undefined) continue;
    for (const y of axes.ys) {
      const label = labelOf(row, axes, y, data.columns);
      let series = byLabel.get(label);
      if (!series) {
        series = { label, values: new Array<number | null>(xs.length).fill(null) };
        byLabel.set(label, series);
      }
      series.values[place] = numeric(row[y] ?? null);
    }
  }
  const all = [...byLabel.values()];
  const series = largest(all).sort((a, b) => a.label.localeCompare(b.label));
  return { xs, series, hidden: all.length - series.length, step: stepOf(xs) };
}

/** More points than this are not filled in: they could not be told apart. */
const POINTS_MAX = 20_000;

/**
 * Puts a point wherever a window is missing between the first and the last. Windows lie `step`
 * seconds apart; as far as the nearest two if that is not known.
 */
export function filled(of: Lines, fill: Fill | null, step: number | null): Lines {
  const first = of.xs[0];
  const last = of.xs.at(-1);
  const apart = step ?? of.step;
  if (fill === null || first === undefined || last === undefined || apart <= 0) return of;
  const place = (at: number) => Math.round((at - first) / apart);
  const isOnGrid = of.xs.every((at) => Math.abs(first + place(at) * apart - at) < 1e-3);
  const count = place(last) + 1;
  if (!isOnGrid || count > POINTS_MAX) return of;
  const xs = Array.from({ length: count }, (_, index) => first + index * apart);
  const series = of.series.map((it) => {
    const values = new Array<number | null>(count).fill(null);
    it.values.forEach((value, index) => (values[place(of.xs[index] ?? first)] = value));
    return { ...it, values: values.map(filler(fill)) };
  });
  return { ...of, xs, series, step: apart };
}

function filler(fill: Fill): (value: number | null) => number | null {
  let before: number | null = null;
  return (value) => {
    if (value !== null) before = value;
    if (value !== null || fill === "null") return value;
    return fill === "zero" ? 0 : before;
  };
}

function labelOf(row: Cell[], axes: Axes, y: number, columns: Column[]): string {
  const column = columns[y]?.name ?? "";
  if (axes.by === null) return column;
  const value = row[axes.by];
  const part = value === null || value === undefined || value === "" ? "(none)" : String(value);
  return axes.ys.length > 1 ? `${part} · ${column}` : part;
}

function largest(all: Series[]): Series[] {
  if (all.length <= SERIES_MAX) return [...all];
  const total = (it: Series) => it.values.reduce<number>((sum, v) => sum + Math.abs(v ?? 0), 0);
  const totals = new Map(all.map((it) => [it, total(it)]));
  const sorted = [...all].sort((a, b) => (totals.get(b) ?? 0) - (totals.get(a) ?? 0));
  return sorted.slice(0, SERIES_MAX);
}

function seconds(value: Cell): number | null {
  if (typeof value === "number") return value;
  if (typeof value !== "string") return null;
  const at = Date.parse(value);
  return Number.isNaN(at) ? null : at / 1000;
}

function stepOf(xs: number[]): number {
  let step = Infinity;
  for (let index = 1; index < xs.length; index += 1) {
    step = Math.min(step, (xs[index] ?? 0) - (xs[index - 1] ?? 0));
  }
  return Number.isFinite(step) ? step : 0;
}

/** Whether the newest point still fills: its time is not over. */
export function isFilling(of: Lines, now_ms: number): boolean {
  const newest = of.xs.at(-1);
  return newest !== undefined && of.step >= 1 && now_ms / 1000 < newest + of.step;
}

/** The lines without the newest point, when enough of them is left. */
export function complete(of: Lines): Lines {
  if (of.xs.length < 4) return of;
  const series = of.series.map((it) => ({ ...it, values: it.values.slice(0, -1) }));
  return { ...of, xs: of.xs.slice(0, -1), series };
}

/** Piles the series up, the first at the bottom; nothing counts as 0. */
export function stacked(of: Lines): Lines {
  const below = new Array<number>(of.xs.length).fill(0);
  const series = of.series.map((it) => ({
    label: it.label,
    values: it.values.map((value, index) => {
      below[index] = (below[index] ?? 0) + (value ?? 0);
      return below[index] ?? 0;
    }),
  }));
  return { ...of, series };
}

export interface Bar {
  label: string;
  total: number;
  parts: { label: string; value: number }[];
}

/** Turns rows into bars, in the order of the rows, with their parts. */
export function bars(data: Rows, axes: Axes): { bars: Bar[]; labels: string[] } {
  const byLabel = new Map<string, Bar>();
  const labels: string[] = [];
  for (const row of data.rows) {
    const value = row[axes.x];
    const label = value === null || value === undefined || value === "" ? "(none)" : String(value);
    const bar = byLabel.get(label) ?? { label, total: 0, parts: [] };
    byLabel.set(label, bar);
    for (const y of axes.ys) {
      const part = labelOf(row, axes, y, data.columns);
      const amount = numeric(row[y] ?? null) ?? 0;
      if (!labels.includes(part)) labels.push(part);
      bar.parts.push({ label: part, value: amount });
      bar.total += amount;
    }
  }
  return { bars: [...byLabel.values()], labels };
}

/** The axes of a dashboard's chart: x, then `by` if there is one, then the ys. */
export function axesOf(chart: { kind: string; x: string | null; by: string | null }, columns: Column[]): Axes {
  const hasX = chart.x !== null;
  const by = chart.by === null ? null : hasX ? 1 : 0;
  const first = (hasX ? 1 : 0) + (by === null ? 0 : 1);
  const ys = columns.map((_, index) => index).filter((index) => index >= first);
  const isBar = chart.kind === "bar" && !isTime(columns[0]?.type ?? "");
  return { kind: isBar ? "bar" : "line", x: 0, by, ys };
}

/** Picks sensible axes for any answer, or nothing when it has no numbers to draw. */
export function pick(data: Rows): Axes | null {
  const numbers = indexes(data.columns, (it) => isNumeric(it.type) && !it.name.startsWith("_"));
  if (numbers.length === 0 || data.rows.length === 0) return null;
  const distinct = (index: number) => new Set(data.rows.map((row) => String(row[index]))).size;
  const texts = indexes(data.columns, (it) => it.type === "text" || it.type === "bool");
  const time = data.columns.findIndex((it) => isTime(it.type));
  if (time >= 0 && distinct(time) > 1) {
    const repeats = distinct(time) < data.rows.length;
    const by = repeats ? (texts.find((it) => distinct(it) <= 40) ?? null) : null;
    const ys = by === null ? numbers.slice(0, 4) : numbers.slice(-1);
    return { kind: "line", x: time, by, ys };
  }
  const x = texts[0] ?? (numbers.length > 1 ? numbers[0] : undefined);
  if (x === undefined) return null;
  const repeats = distinct(x) < data.rows.length;
  const by = repeats ? (texts.find((it) => it !== x && distinct(it) <= SERIES_MAX) ?? null) : null;
  const ys = numbers.filter((it) => it !== x).slice(0, by === null ? 2 : 1);
  return { kind: "bar", x, by, ys: data.rows.length > 60 ? ys.slice(0, 1) : ys };
}

function indexes(columns: Column[], wanted: (column: Column) => boolean): number[] {
  return columns.flatMap((column, index) => (wanted(column) ? [index] : []));
}

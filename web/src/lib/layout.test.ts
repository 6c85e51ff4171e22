import { describe, expect, test } from "vitest";
import { curve, narrowed, narrowSpans, place, spans } from "./layout";
import type { ChartKind, Edge, Graph, NodeKind } from "./types";

const chart = (kind: ChartKind, span: number | null = null) => ({ kind, span });

describe("cards", () => {
  test("every row is full", () => {
    const kinds: ChartKind[] = ["line", "number", "bar", "table", "number", "area", "number", "number"];
    for (let length = 1; length <= kinds.length; length += 1) {
      const widths = spans(kinds.slice(0, length).map((kind) => chart(kind)));
      expect(widths).toHaveLength(length);
      let left = 0;
      for (const width of widths) left = (left + width) % 12;
      expect(left).toBe(0);
    }
  });
  test("the shop's dashboard is two even rows", () => {
    expect(spans([chart("line"), chart("number"), chart("bar"), chart("table")])).toEqual([8, 4, 6, 6]);
  });
  test("nonsense widths are bounded", () => {
    expect(spans([chart("line", 99), chart("bar", 0)])).toEqual([12, 12]);
  });
  test("on a phone numbers pair up and no half stands alone", () => {
    const of = (...kinds: ChartKind[]) => narrowSpans(kinds.map((kind) => ({ kind })));
    expect(of("number", "number", "number")).toEqual([6, 6, 12]);
    expect(of("number", "line", "number", "number")).toEqual([12, 12, 6, 6]);
    expect(of("number", "number", "number", "number")).toEqual([6, 6, 6, 6]);
  });
});

describe("the graph", () => {
  const node = (id: string, kind: NodeKind) => ({ id, name: id, kind });
  const edge = (from: string, to: string): Edge => ({ from, to, rows: 0, lag_ms: 0, rejects: 0, per_second: 0 });
  const graph: Graph = {
    nodes: [node("door", "door"), node("orders", "stream"), node("clean", "table"), node("sums", "table"), node("board", "dashboard")],
    edges: [edge("door", "orders"), edge("orders", "clean"), edge("clean", "sums"), edge("sums", "board")],
  };
  test("flows from left to right without overlaps", () => {
    const { nodes, width } = place(graph, false);
    const ordered = graph.nodes.map((it) => nodes.get(it.id));
    for (let index = 1; index < ordered.length; index += 1) {
      const [before, after] = [ordered[index - 1], ordered[index]];
      expect((before?.x ?? 0) + (before?.width ?? 0)).toBeLessThanOrEqual(after?.x ?? 0);
    }
    expect(width).toBeGreaterThan(0);
  });
  test("on a phone flows downwards and keeps what rows go through", () => {
    const small = narrowed(graph);
    expect(small.nodes.map((it) => it.id)).toEqual(["orders", "clean", "sums"]);
    expect(small.edges).toHaveLength(2);
    const { nodes } = place(small, true);
    expect(nodes.get("orders")?.y ?? 0).toBeLessThan(nodes.get("sums")?.y ?? 0);
  });
  test("nothing is laid out as nothing", () => {
    expect(place({ nodes: [], edges: [] }, false).wires).toEqual([]);
    expect(curve([], false)).toBe("");
  });
});

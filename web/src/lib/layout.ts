// Where the nodes of the pipeline and the cards of a dashboard stand.
import { Graph as Dagre, layout as arrange } from "@dagrejs/dagre";
import type { Chart, Graph, NodeKind } from "./types";

export interface Placed {
  id: string;
  x: number;
  y: number;
  width: number;
  height: number;
}

export interface Wire {
  id: string;
  from: string;
  to: string;
  path: string;
  labelX: number;
  labelY: number;
}

export interface Layout {
  width: number;
  height: number;
  nodes: Map<string, Placed>;
  wires: Wire[];
}

const SIZES: Record<NodeKind, [number, number]> = {
  door: [112, 52],
  stream: [176, 78],
  dead: [142, 54],
  lookup: [136, 74],
  table: [192, 78],
  alert: [154, 56],
  dashboard: [154, 56],
};

/** Room for "12,345/s" between two nodes. */
const LABEL = { width: 58, height: 26 };

/** Whether rows flow along an edge, so that it has figures. */
export function isFlow(kinds: ReadonlyMap<string, NodeKind>, edge: { from: string; to: string }): boolean {
  const [from, to] = [kinds.get(edge.from), kinds.get(edge.to)];
  return from !== "lookup" && from !== "door" && to !== "alert" && to !== "dashboard";
}

const SHOWN_NARROW: readonly NodeKind[] = ["stream", "table", "alert"];

/** On a phone there is room for what rows go through; the rest has its own pages. */
export function narrowed(graph: Graph): Graph {
  const nodes = graph.nodes.filter((it) => SHOWN_NARROW.includes(it.kind));
  const kept = new Set(nodes.map((it) => it.id));
  return { nodes, edges: graph.edges.filter((it) => kept.has(it.from) && kept.has(it.to)) };
}

/** Lays the graph out, left to right on wide screens, downwards on narrow ones. */
export function place(graph: Graph, isNarrow: boolean): Layout {
  const dagre = new Dagre({ multigraph: false });
  dagre.setGraph({
    rankdir: isNarrow ? "TB" : "LR",
    nodesep: isNarrow ? 12 : 34,
    ranksep: isNarrow ? 24 : 30,
    edgesep: 14,
    marginx: 10,
    marginy: 10,
  });
  dagre.setDefaultEdgeLabel(() => ({}));
  const kinds = new Map(graph.nodes.map((it) => [it.id, it.kind]));
  for (const node of graph.nodes) {
    const [width, height] = SIZES[node.kind];
    dagre.setNode(node.id, { width: isNarrow ? Math.min(width, 148) : width, height });
  }
  for (const edge of graph.edges) {
    const label = isFlow(kinds, edge) ? LABEL : { width: 0, height: 0 };
    dagre.setEdge(edge.from, edge.to, { ...label, labelpos: "c" });
  }
  arrange(dagre);
  const nodes = new Map<string, Placed>();
  for (const id of dagre.nodes()) {
    const { x, y, width, height } = dagre.node(id);
    nodes.set(id, { id, x: x - width / 2, y: y - height / 2, width, height });
  }
  const wires = dagre.edges().map(({ v, w }) => {
    const edge = dagre.edge(v, w);
    const within = (edge.points as Point[]).slice(1, -1);
    // Wires leave and arrive at the middle of a side, so that several from one node fan out.
    const points = [side(nodes.get(v), isNarrow, 1), ...within, side(nodes.get(w), isNarrow, 0)];
    return {
      id: `${v}→${w}`,
      from: v,
      to: w,
      path: curve(points, isNarrow),
      labelX: edge.x ?? 0,
      labelY: edge.y ?? 0,
    };
  });
  const { width = 0, height = 0 } = dagre.graph();
  return { width, height, nodes, wires };
}

interface Point {
  x: number;
  y: number;
}

/** The middle of the side where wires leave (1) or arrive (0). */
function side(node: Placed | undefined, isNarrow: boolean, end: 0 | 1): Point {
  if (!node) return { x: 0, y: 0 };
  return isNarrow
    ? { x: node.x + node.width / 2, y: node.y + node.height * end }
    : { x: node.x + node.width * end, y: node.y + node.height / 2 };
}

/** A smooth line through the points that leaves and arrives along the flow. */
export function curve(points: { x: number; y: number }[], isNarrow: boolean): string {
  const [first, ...rest] = points;
  if (!first) return "";
  let path = `M${round(first.x)},${round(first.y)}`;
  let before = first;
  for (const point of rest) {
    const half = isNarrow ? (point.y - before.y) / 2 : (point.x - before.x) / 2;
    path += isNarrow
      ? `C${round(before.x)},${round(before.y + half)} ${round(point.x)},${round(point.y - half)} `
      : `C${round(before.x + half)},${round(before.y)} ${round(point.x - half)},${round(point.y)} `;
    path += `${round(point.x)},${round(point.y)}`;
    before = point;
  }
  return path;
}

function round(value: number): number {
  return Math.round(value * 10) / 10;
}

const WIDTHS: Record<Chart["kind"], number> = { line: 8, area: 8, bar: 6, table: 6, number: 4 };

/** The same for phones: two numbers side by side, everything else alone. */
export function narrowSpans(charts: Pick<Chart, "kind">[]): number[] {
  const result: number[] = [];
  charts.forEach((chart, index) => {
    const isSecond = index > 0 && charts[index - 1]?.kind === "number" && result[index - 1] === 6;
    const hasPartner = charts[index + 1]?.kind === "number" || (isSecond && !isPaired(result, index));
    result.push(chart.kind === "number" && hasPartner ? 6 : 12);
  });
  return result;
}

/** Whether the halves before `index` are paired up already. */
function isPaired(widths: number[], index: number): boolean {
  let halves = 0;
  while (widths[index - 1 - halves] === 6) halves += 1;
  return halves % 2 === 0;
}

/** Gives each chart its width in twelfths so that every row of cards is full. */
export function spans(charts: Pick<Chart, "kind" | "span">[]): number[] {
  const wanted = charts.map((it) => Math.min(12, Math.max(2, it.span ?? WIDTHS[it.kind])));
  const result: number[] = [];
  let row: number[] = [];
  const close = () => {
    const used = row.reduce((sum, it) => sum + it, 0);
    let left = 12 - used;
    const grown = row.map((it) => it + Math.floor((left * it) / Math.max(1, used)));
    left = 12 - grown.reduce((sum, it) => sum + it, 0);
    grown.forEach((it, index) => result.push(it + (index < left ? 1 : 0)));
    row = [];
  };
  for (const width of wanted) {
    if (row.reduce((sum, it) => sum + it, 0) + width > 12) close();
    row.push(width);
  }
  if (row.length > 0) close();
  return result;
}

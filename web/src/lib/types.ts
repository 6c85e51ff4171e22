// What the program says, as JSON; the words are those of crates/show/src/facts.rs.

export interface Column {
  name: string;
  type: string;
  nullable?: boolean;
}

export interface Problem {
  message: string;
  help: string | null;
  tolerable: boolean;
}

export interface Reject {
  kind: string;
  check: string | null;
  count: number;
}

export interface Stream {
  name: string;
  description: string | null;
  doors: { kind: string; records: number; per_second: number }[];
  columns: Column[];
  checks: { name: string; sql: string }[];
  time: string | null;
  key: string | null;
  replay: string;
  shards: number;
  received: number;
  stored: number;
  dead: number;
  pending: number;
  bytes: number;
  rejects: Reject[];
  lag_ms: number;
  last_arrived_ms: number | null;
  per_second: number;
  rejects_per_second: number;
  history: number[];
  residue: number;
}

export type TableKind = "append" | "windowed" | "running" | "recomputed" | "lookup";

export interface Table {
  name: string;
  description: string | null;
  kind: TableKind;
  layer: string | null;
  flow: string | null;
  sql: string;
  reads: string[];
  columns: Column[];
  time: string | null;
  rows: number;
  bytes: number;
  files: number;
  written: number;
  dead: number;
  corrections: number;
  updated_ms: number | null;
  watermark_ms: number | null;
  stale_since_ms: number | null;
  stale_reason: string | null;
}

export interface Edge {
  from: string;
  to: string;
  rows: number;
  lag_ms: number;
  rejects: number;
  per_second: number;
}

export type NodeKind = "door" | "stream" | "dead" | "lookup" | "table" | "alert" | "dashboard";

export interface GraphNode {
  id: string;
  name: string;
  kind: NodeKind;
}

export interface Graph {
  nodes: GraphNode[];
  edges: Edge[];
}

export type AlertState = "firing" | "pending" | "resolved";

export interface AlertInstance {
  key: [string, string][];
  state: AlertState;
  since_ms: number;
  title: string;
  row: Record<string, unknown>;
}

export interface Alert {
  name: string;
  description: string | null;
  sql: string;
  reads: string[];
  notify: string[];
  hold: string;
  instances: AlertInstance[];
  asked_ms: number | null;
  error: string | null;
}

export interface Notice {
  id: string;
  alert: string;
  notify: string;
  text: string;
  about: string;
  made_ms: number;
  state: "waiting" | "delivered" | "failed";
  tries: number;
  error: string | null;
}

export type ChartKind = "line" | "area" | "bar" | "number" | "table";

export interface Chart {
  title: string;
  kind: ChartKind;
  from: string;
  x: string | null;
  y: string[];
  by: string | null;
  last_ms: number | null;
  limit: number | null;
  fill: Fill | null;
  step_ms: number | null;
  span: number | null;
}

/** What a chart draws where a window has no rows. */
export type Fill = "zero" | "null" | "previous";

export interface Dashboard {
  name: string;
  title: string;
  charts: Chart[];
}

export interface Flow {
  name: string;
  tables: string[];
  running: boolean;
  error: string | null;
  epoch: number;
  epoch_ms: number | null;
  ticks: number;
  flush_seconds: number;
  flushes: number;
  hot_bytes: number;
  hot_rows: number;
  lag_ms: number;
}

/** What stands in the project's folder and does not run. */
export interface Waiting {
  message: string;
  help: string;
  has_faults: boolean;
  since_ms: number;
}

export interface Facts {
  project: string;
  version: string;
  started_ms: number;
  now_ms: number;
  http: string;
  postgres: string;
  problems: Problem[];
  waiting: Waiting | null;
  streams: Stream[];
  tables: Table[];
  edges: Edge[];
  alerts: Alert[];
  notices: Notice[];
  dashboards: Dashboard[];
  flows: Flow[];
  journal: {
    bytes: number;
    pending_bytes: number;
    commits: number;
    sync_seconds: number;
    disk_free_bytes: number | null;
  };
  graph: Graph;
}

export type Cell = string | number | boolean | null | Cell[] | { [key: string]: Cell };

export interface Rows {
  columns: Column[];
  rows: Cell[][];
  truncated: boolean;
}

export interface Answer extends Rows {
  took_ms: number;
}

export interface ErrorBody {
  kind: string;
  message: string;
  help?: string;
  line?: number;
  column?: number;
  length?: number;
}

export interface ChartData extends Rows {
  sql: string;
  error?: { error: ErrorBody };
}

export interface Letter {
  place: string;
  arrived_ms: number | null;
  kind: string | null;
  check: string | null;
  checks: string[];
  message: string | null;
  state: string | null;
  text: string | null;
  base64: string | null;
}

export interface Reason {
  kind: string | null;
  check: string | null;
  state: string | null;
  count: number;
  newest_ms: number | null;
}

export interface DeadLetters {
  reasons: Reason[];
  letters: Letter[];
}

export interface Replayed {
  sent: number;
  stored: number;
  dead: number;
}

export type EntryKind = "stream" | "table" | "lookup" | "bucket" | "dashboard" | "alert";

/** What is told of something wherever it is listed. */
export interface CatalogBrief {
  kind: EntryKind;
  name: string;
  description: string | null;
  owner: string | null;
  tags: string[];
  layer: string | null;
  rows: number;
  updated_ms: number | null;
  stale_since_ms: number | null;
}

/** What a search of the catalogue finds. */
export interface CatalogHit extends CatalogBrief {
  found_in: string[];
}

/** One thing that is described. */
export interface CatalogEntry extends CatalogBrief {
  declared: string;
  sql: string;
  columns: (Column & { description: string | null; from: { table: string; column: string }[] })[];
  reads: string[];
  read_by: { kind: EntryKind; name: string }[];
  partition: string | null;
  bytes: number;
  files: number;
}

export interface ColumnStatistics {
  name: string;
  type: string;
  nulls: number;
  distinct: number;
  min: Cell;
  max: Cell;
  top: [Cell, number][];
  histogram: number[];
}

export interface Statistics {
  name: string;
  rows: number;
  is_part: boolean;
  columns: ColumnStatistics[];
}

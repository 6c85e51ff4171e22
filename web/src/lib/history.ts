// The statements asked before, newest first, each once.

export interface Asked {
  sql: string;
  at_ms: number;
  rows: number | null;
}

const KEPT_MAX = 50;

export function remember(before: Asked[], asked: Asked): Asked[] {
  const others = before.filter((it) => it.sql.trim() !== asked.sql.trim());
  return [asked, ...others].slice(0, KEPT_MAX);
}

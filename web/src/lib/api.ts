// Requests to the program; a refusal becomes an error that says what to do.
import type {
  Answer,
  CatalogEntry,
  CatalogHit,
  DeadLetters,
  ErrorBody,
  Replayed,
  Statistics,
} from "./types";

export class Refused extends Error {
  constructor(readonly body: ErrorBody) {
    super(body.message);
  }
}

async function request(path: string, init?: RequestInit): Promise<Response> {
  let response: Response;
  try {
    response = await fetch(path, init);
  } catch (error) {
    if (error instanceof DOMException && error.name === "AbortError") throw error;
    throw new Refused({
      kind: "unavailable",
      message: "the program does not answer",
      help: "see whether `mainstem run` still runs, then try again",
    });
  }
  if (response.ok) return response;
  const text = await response.text();
  throw new Refused(bodyOf(text, response.status));
}

/** Reads the error of a refusal, whatever stands between us and the program. */
export function bodyOf(text: string, status: number): ErrorBody {
  try {
    const body = JSON.parse(text) as { error?: ErrorBody };
    if (typeof body.error?.message === "string") return body.error;
  } catch {
    // Not from the program: a proxy perhaps.
  }
  return { kind: "unavailable", message: text.slice(0, 200) || `the answer was HTTP ${status}` };
}

function json(body: unknown): RequestInit {
  return {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify(body),
  };
}

export async function ask(sql: string, rows_max: number, signal?: AbortSignal): Promise<Answer> {
  const init = json({ sql, rows_max });
  const response = await request("/v1/sql", signal ? { ...init, signal } : init);
  return (await response.json()) as Answer;
}

export async function csv(sql: string): Promise<Blob> {
  return (await request("/v1/sql?format=csv", json({ sql }))).blob();
}

export async function dead(
  stream: string,
  filter: Record<string, string>,
  signal?: AbortSignal,
): Promise<DeadLetters> {
  const query = new URLSearchParams(filter).toString();
  const path = `/v1/dead/${encodeURIComponent(stream)}${query ? `?${query}` : ""}`;
  return (await (await request(path, signal ? { signal } : undefined)).json()) as DeadLetters;
}

export async function replay(stream: string, filter: Record<string, string>): Promise<Replayed> {
  const path = `/v1/dead/${encodeURIComponent(stream)}/replay`;
  return (await (await request(path, json(filter))).json()) as Replayed;
}

export async function catalogue(words: string, signal: AbortSignal): Promise<CatalogHit[]> {
  const response = await request(`/v1/catalog?q=${encodeURIComponent(words)}`, { signal });
  return ((await response.json()) as { entries: CatalogHit[] }).entries;
}

export async function entry(name: string, signal: AbortSignal): Promise<CatalogEntry> {
  return (await (await request(`/v1/catalog/${encodeURIComponent(name)}`, { signal })).json()) as CatalogEntry;
}

export async function statistics(name: string, signal: AbortSignal): Promise<Statistics> {
  const path = `/v1/catalog/${encodeURIComponent(name)}/statistics`;
  return (await (await request(path, { signal })).json()) as Statistics;
}

/** Quotes a name for SQL where it needs quotes. */
export function quote(name: string): string {
  return /^[a-z_][a-z0-9_]*$/.test(name) ? name : `"${name.replaceAll('"', '""')}"`;
}

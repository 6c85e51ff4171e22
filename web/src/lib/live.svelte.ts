// What the program tells all pages about once a second, and whether it still does.
import type { ChartData, Facts } from "./types";

/** Without news for this long the figures are old, and the page says so. */
const SILENCE_MS = 4_000;
/** After a refusal (too many pages) the browser does not try again by itself. */
const AGAIN_MS = 5_000;

class Live {
  facts = $state.raw<Facts | null>(null);
  charts = $state.raw<ReadonlyMap<number, { data: ChartData; at_ms: number }>>(new Map());
  /** The program's clock, carried on between its news. */
  now = $state(Date.now());
  isConnected = $state(false);
  #dashboard: string | null = null;
  #source: EventSource | null = null;
  #again: ReturnType<typeof setTimeout> | undefined;
  #heard = 0;
  #offset = 0;

  start(): void {
    this.#open();
    setInterval(() => {
      this.now = Date.now() + this.#offset;
      this.isConnected = performance.now() - this.#heard < SILENCE_MS && this.facts !== null;
    }, 500);
    document.addEventListener("visibilitychange", () => this.#open());
  }

  /** Asks for the charts of a dashboard too; `null` when none is on the screen. */
  watch(dashboard: string | null): void {
    if (dashboard === this.#dashboard) return;
    this.#dashboard = dashboard;
    this.charts = new Map();
    this.#open();
  }

  #open(): void {
    this.#source?.close();
    this.#source = null;
    clearTimeout(this.#again);
    // A hidden page needs no news.
    if (document.hidden) return;
    const name = this.#dashboard;
    const query = name === null ? "" : `?dashboard=${encodeURIComponent(name)}`;
    const source = new EventSource(`/v1/live${query}`);
    this.#source = source;
    source.addEventListener("facts", (event) => {
      const facts = JSON.parse(event.data as string) as Facts;
      this.#heard = performance.now();
      this.#offset = facts.now_ms - Date.now();
      this.now = facts.now_ms;
      this.facts = facts;
      this.isConnected = true;
    });
    source.addEventListener("chart", (event) => {
      const data = JSON.parse(event.data as string) as ChartData & {
        dashboard: string;
        index: number;
      };
      if (data.dashboard !== this.#dashboard) return;
      const charts = new Map(this.charts);
      charts.set(data.index, { data, at_ms: this.now });
      this.charts = charts;
    });
    source.addEventListener("error", () => {
      if (source.readyState === EventSource.CLOSED && source === this.#source) {
        this.#again = setTimeout(() => this.#open(), AGAIN_MS);
      }
    });
  }
}

export const live = new Live();

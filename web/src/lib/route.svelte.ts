// Which page the address names, and going to another without loading anew.

export const PAGES = ["pipeline", "dashboards", "sql", "streams", "catalog", "dead", "alerts"] as const;
export type PageName = (typeof PAGES)[number];

export interface Route {
  page: PageName | null;
  /** What follows the page's name: a dashboard, a stream. */
  name: string | null;
  query: URLSearchParams;
}

/** Reads a path such as `/dashboards/sales`. */
export function parse(path: string, search = ""): Route {
  const [first = "", second] = path.split("/").filter((it) => it !== "");
  const page = first === "" ? "pipeline" : (PAGES.find((it) => it === first) ?? null);
  let name: string | null = null;
  try {
    name = second === undefined ? null : decodeURIComponent(second);
  } catch {
    // A broken escape names nothing.
  }
  return { page, name, query: new URLSearchParams(search) };
}

class Router {
  now = $state.raw<Route>(parse(location.pathname, location.search));

  start(): void {
    addEventListener("popstate", () => this.#read());
    document.addEventListener("click", (event) => {
      const isPlain = event.button === 0 && !event.metaKey && !event.ctrlKey && !event.shiftKey;
      const link = (event.target as Element).closest?.("a[href^='/']");
      if (!isPlain || !link || link.hasAttribute("download") || link.hasAttribute("target")) return;
      event.preventDefault();
      this.go(link.getAttribute("href") ?? "/");
    });
  }

  go(address: string): void {
    if (address !== location.pathname + location.search) history.pushState(null, "", address);
    this.#read();
    document.getElementById("page")?.scrollTo(0, 0);
    scrollTo(0, 0);
  }

  #read(): void {
    this.now = parse(location.pathname, location.search);
  }
}

export const router = new Router();

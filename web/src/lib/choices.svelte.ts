// What the reader chose and the browser remembers: theme, time zone, past questions.
import type { Zone } from "./format";
import { remember, type Asked } from "./history";

export type Theme = "system" | "light" | "dark";

function load<T>(key: string, otherwise: T): T {
  try {
    const text = localStorage.getItem(key);
    return text === null ? otherwise : (JSON.parse(text) as T);
  } catch {
    return otherwise;
  }
}

function save(key: string, text: string): void {
  try {
    localStorage.setItem(key, text);
  } catch {
    // Storage is off or full: the choice holds until the page is closed.
  }
}

class Choices {
  theme = $state<Theme>("system");
  zone = $state<Zone>("local");
  asked = $state.raw<Asked[]>([]);
  /** Grows when colours change, so that canvases draw again. */
  colours = $state(0);

  start(): void {
    const theme = document.documentElement.dataset.theme;
    this.theme = theme === "light" || theme === "dark" ? theme : "system";
    this.zone = load<Zone>("zone", "local") === "utc" ? "utc" : "local";
    const asked = load<Asked[]>("asked", []);
    this.asked = Array.isArray(asked) ? asked : [];
    const system = matchMedia("(prefers-color-scheme: dark)");
    system.addEventListener("change", () => (this.colours += 1));
  }

  setTheme(theme: Theme): void {
    this.theme = theme;
    if (theme === "system") delete document.documentElement.dataset.theme;
    else document.documentElement.dataset.theme = theme;
    save("theme", theme);
    this.colours += 1;
  }

  setZone(zone: Zone): void {
    this.zone = zone;
    save("zone", JSON.stringify(zone));
  }

  remember(asked: Asked): void {
    this.asked = remember(this.asked, asked);
    save("asked", JSON.stringify(this.asked));
  }

  forget(): void {
    this.asked = [];
    save("asked", "[]");
  }
}

export const choices = new Choices();

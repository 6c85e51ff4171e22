// Starts the machine's Chromium with nothing but the page under test.
import { chromium } from "playwright-core";

const FLAGS = [
  "--no-sandbox",
  "--disable-gpu",
  "--disable-quic",
  "--no-first-run",
  "--disable-background-networking",
  "--disable-component-update",
  "--disable-sync",
  "--hide-scrollbars",
];

export async function start() {
  const executablePath = process.env.CHROMIUM ?? "/usr/bin/chromium";
  return chromium.launch({ executablePath, args: FLAGS });
}

export const DESKTOP = { viewport: { width: 1360, height: 850 } };
export const PHONE = {
  viewport: { width: 390, height: 844 },
  deviceScaleFactor: 2,
  isMobile: true,
  hasTouch: true,
};

/** Opens a page and waits until it has heard from the program. */
export async function open(context, address, path) {
  const page = await context.newPage();
  await page.goto(new URL(path, address).href);
  await page.getByText("Live", { exact: true }).first().waitFor({ state: "attached", timeout: 15_000 });
  return page;
}

// Takes a picture of every page, light and dark, on a desk and on a phone:
// `npm run screens -- http://127.0.0.1:7070 OUTDIR [PAGE …]`
import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { DESKTOP, open, PHONE, start } from "./chromium.mjs";

const [address, folder, ...only] = process.argv.slice(2);
if (!address || !folder) {
  console.error("usage: npm run screens -- URL OUTDIR [PAGE …]");
  process.exit(2);
}

const sql = "SELECT * FROM sales_by_minute ORDER BY minute DESC LIMIT 600";
const PAGES = {
  pipeline: { path: "/" },
  details: { path: "/", then: (page) => page.locator(".node.table").first().click() },
  dashboards: { path: "/dashboards" },
  sql: { path: `/sql?q=${encodeURIComponent(sql)}` },
  chart: {
    path: `/sql?q=${encodeURIComponent(sql)}`,
    then: (page) => page.getByRole("button", { name: "Chart" }).click(),
  },
  fault: {
    path: "/sql",
    then: async (page) => {
      await page.getByLabel("SQL statement").click();
      await page.keyboard.press("Control+A");
      await page.keyboard.type("SELECT region, sum(revenue)\nFROM sales_by_minut ");
      await page.keyboard.press("Escape");
      await page.keyboard.press("Control+Enter");
    },
  },
  streams: { path: "/streams" },
  catalog: { path: "/catalog" },
  entry: { path: "/catalog/orders" },
  dead: { path: "/dead" },
  alerts: { path: "/alerts" },
};

mkdirSync(folder, { recursive: true });
const browser = await start();
for (const [device, shape] of Object.entries({ desktop: DESKTOP, phone: PHONE })) {
  for (const colorScheme of ["light", "dark"]) {
    const context = await browser.newContext({ ...shape, colorScheme });
    for (const [name, { path, then }] of Object.entries(PAGES)) {
      if (only.length > 0 && !only.includes(name)) continue;
      const page = await open(context, address, path);
      // Charts come with the second news, and bars grow.
      await page.waitForTimeout(1800);
      if (then) {
        await then(page);
        await page.waitForTimeout(900);
      }
      await page.screenshot({ path: join(folder, `${name}-${device}-${colorScheme}.png`) });
      await page.close();
    }
    await context.close();
  }
}
await browser.close();

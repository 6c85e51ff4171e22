// Uses the examples' own pages in a real browser, as a visitor would:
// `node tests/pages.mjs shop PROGRAM PAGE` and `node tests/pages.mjs lookup PROGRAM PAGE`, with the
// addresses of the program and of the page; pictures go to the folder in PICTURES, if there is one.
import assert from "node:assert/strict";
import { join } from "node:path";
import { PHONE, start } from "./chromium.mjs";

const [scenario, program, address] = process.argv.slice(2);

/** Answers SQL as the values of its rows. */
async function sql(text) {
  const response = await fetch(new URL("/v1/sql", program), {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify({ sql: text }),
  });
  const answer = await response.json();
  assert.ok(response.ok, JSON.stringify(answer));
  return answer.rows.map((it) => Object.values(it));
}

/** Asks until the answer is as expected. */
async function comes(text, expected) {
  let last;
  for (let tries = 0; tries < 100; tries++) {
    last = await sql(text);
    if (JSON.stringify(last) === JSON.stringify(expected)) return;
    await new Promise((done) => setTimeout(done, 100));
  }
  assert.deepEqual(last, expected, text);
}

async function picture(page, name) {
  if (process.env.PICTURES) await page.screenshot({ path: join(process.env.PICTURES, `${name}.png`) });
}

/** A page that fails if the browser complains of anything. */
async function open(context) {
  const page = await context.newPage();
  page.on("pageerror", (error) => assert.fail(`the page: ${error}`));
  page.on("console", (line) => {
    if (line.type() === "error" && !line.text().includes("favicon")) console.error("console:", line.text());
  });
  return page;
}

/** Nothing hangs over the edge of the screen, and texts can be read. */
async function fits(page) {
  const overhang = await page.evaluate(() => document.documentElement.scrollWidth - document.documentElement.clientWidth);
  assert.equal(overhang, 0, "it is wider than the screen");
}

const SCENARIOS = {
  async shop(browser) {
    for (const colorScheme of ["light", "dark"]) {
      const before = Number((await sql("SELECT count(*) FROM clicks"))[0][0]);
      const context = await browser.newContext({ ...PHONE, colorScheme });
      const page = await open(context);
      await page.goto(address);
      await page.waitForFunction(() => typeof window.mainstem === "function");
      await comes("SELECT count(*) FROM clicks", [[before + 1]]);
      await page.getByRole("button").nth(1).click();
      await page.getByText("Sandals put into the basket").waitFor();
      await fits(page);
      await picture(page, `shop-${colorScheme}`);
      await comes("SELECT count(*) FROM clicks", [[before + 2]]);
      // The page is closed at once after a click: what was gathered still arrives.
      await page.getByRole("button").nth(2).click();
      await page.close({ runBeforeUnload: true });
      await comes("SELECT count(*) FROM clicks", [[before + 3]]);
      // And when another page is opened.
      const next = await open(context);
      await next.goto(address);
      await next.waitForFunction(() => typeof window.mainstem === "function");
      for (let click = 0; click < 60; click++) await next.evaluate(() => window.mainstem("click", { product: "p9" }));
      await next.goto("about:blank");
      await comes("SELECT count(*) FROM clicks", [[before + 64]]);
      await context.close();
    }
    await comes(
      "SELECT product, event, count(*) FROM clicks WHERE product IS NOT NULL GROUP BY product, event ORDER BY product",
      [["p2", "add_to_basket", 2], ["p3", "add_to_basket", 2], ["p9", "click", 120]],
    );
    assert.deepEqual(await sql("SELECT count(*) FROM clicks__dead"), [[0]]);
    // More than a browser takes at a time comes in pieces, none lost.
    const context = await browser.newContext();
    const page = await open(context);
    await page.goto(address);
    await page.waitForFunction(() => typeof window.mainstem === "function");
    await page.evaluate(() => {
      for (let click = 0; click < 200; click++) window.mainstem("flood", { product: "x".repeat(2_000) });
    });
    await comes("SELECT count(*) FROM clicks WHERE event = 'flood'", [[200]]);
    // A page whose visitor lets no such script in works all the same.
    await page.route("**/beacon.js", (route) => route.abort());
    await page.goto(address);
    await page.getByRole("button").first().click();
    await page.getByText("Boots put into the basket").waitFor();
    await context.close();
  },

  async lookup(browser) {
    for (const colorScheme of ["light", "dark"]) {
      const context = await browser.newContext({ ...PHONE, colorScheme });
      const page = await open(context);
      await page.goto(address);
      await fits(page);
      await picture(page, `lookup-empty-${colorScheme}`);
      await page.getByLabel("Customer").fill("c3");
      await page.getByRole("button", { name: "Show" }).click();
      await page.getByText(/20 orders, read in/).waitFor();
      assert.equal(await page.locator("li").count(), 20);
      await fits(page);
      await picture(page, `lookup-${colorScheme}`);
      await page.getByRole("button", { name: "Older orders" }).click();
      await page.getByText(/40 orders, read in/).waitFor();
      await page.getByRole("button", { name: "Older orders" }).click();
      await page.getByText(/50 orders, read in/).waitFor();
      assert.equal(await page.getByRole("button", { name: "Older orders" }).isVisible(), false);
      const ids = await page.locator("li small:last-child").allTextContents();
      assert.equal(new Set(ids).size, 50, "each order once");
      await picture(page, `lookup-all-${colorScheme}`);
      await page.getByLabel("Customer").fill("nobody/here?&#");
      await page.keyboard.press("Enter");
      await page.getByText("nobody/here?&# has no orders yet").waitFor();
      assert.equal(await page.locator("li").count(), 0);
      assert.equal(await page.getByRole("button", { name: "Older orders" }).isVisible(), false);
      await picture(page, `lookup-none-${colorScheme}`);
      await context.close();
    }
  },
};

const browser = await start();
try {
  await SCENARIOS[scenario](browser);
  console.log("ok");
} finally {
  await browser.close();
}

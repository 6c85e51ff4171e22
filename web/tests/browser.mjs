// Uses the console in a real browser as a person would, against any running program:
// `npm run browser -- http://127.0.0.1:7070`
// The program should run examples/shop with traffic; what is checked is content, not pixels.
import assert from "node:assert/strict";
import { DESKTOP, open, PHONE, start } from "./chromium.mjs";

const [address] = process.argv.slice(2);
if (!address) {
  console.error("usage: npm run browser -- URL");
  process.exit(2);
}

const count = (text) => Number(text.replaceAll(",", ""));
const visible = { state: "visible", timeout: 15_000 };

/** Replaces the statement in the editor. */
async function type(page, sql) {
  await page.getByLabel("SQL statement").click();
  await page.keyboard.press("Control+A");
  await page.keyboard.insertText(sql);
}

const TESTS = {
  async "the pipeline shows the streams and what flows"(page) {
    await page.goto(new URL("/", address).href);
    await page.locator(".node.stream").first().waitFor(visible);
    assert.ok((await page.locator(".node.table").count()) > 0, "there are tables");
    assert.ok((await page.locator(".wire").count()) > 0, "they are connected");
  },

  async "a node opens its details, and Escape closes them"(page) {
    await page.locator(".node.table").first().click();
    const drawer = page.locator("aside.drawer");
    await drawer.waitFor(visible);
    await drawer.getByText("SELECT", { exact: false }).first().waitFor(visible);
    await page.keyboard.press("Escape");
    await drawer.waitFor({ state: "detached" });
  },

  async "charts of a dashboard have series"(page) {
    await page.goto(new URL("/dashboards", address).href);
    await page.locator("section[data-chart='line'] canvas").first().waitFor(visible);
    const line = page.locator("section[data-chart='line']").first();
    await line.hover({ position: { x: 320, y: 160 } });
    await line.locator(".tip .row").first().waitFor(visible);
    const bars = page.locator("section[data-chart='bar'] .line");
    if ((await page.locator("section[data-chart='bar']").count()) > 0) {
      await bars.first().waitFor(visible);
    }
    assert.equal(await page.locator("section .refusal").count(), 0, "no chart is refused");
  },

  async "records are conserved"(page) {
    await page.goto(new URL("/streams", address).href);
    await page.locator(".equation").first().waitFor(visible);
    const equations = await page.locator(".equation").evaluateAll((all) =>
      all.map((it) => ({
        holds: it.getAttribute("data-holds"),
        terms: ["received", "stored", "dead", "pending"].map(
          (name) => it.querySelector(`[data-term=${name}]`)?.textContent ?? "",
        ),
      })),
    );
    assert.ok(equations.some((it) => count(it.terms[0]) > 0), "records were received");
    for (const { terms, holds } of equations) {
      const [received, stored, dead, pending] = terms.map(count);
      assert.equal(received, stored + dead + pending, `the equation holds: ${terms.join(" ")}`);
      assert.equal(holds, "true");
    }
  },

  async "a question returns its rows"(page) {
    await page.goto(new URL("/sql", address).href);
    await type(page, "SELECT 1 AS one, 'two' AS two");
    await page.keyboard.press("Control+Enter");
    const answer = page.getByLabel("Answer", { exact: true });
    await answer.getByText("1 row").waitFor(visible);
    assert.ok((await answer.locator("tbody td").first().textContent())?.includes("1"));
  },

  async "numbers stand at the right, and make a chart"(page) {
    const stream = await page.evaluate(async () => {
      const facts = await (await fetch("/v1/pipeline")).json();
      const windowed = facts.tables.find((it) => it.kind === "windowed" && it.rows > 1);
      return windowed?.name ?? facts.streams[0].name;
    });
    await type(page, `SELECT * FROM ${stream} LIMIT 50`);
    await page.getByRole("button", { name: "Run" }).click();
    const number = page.locator(".answer td.number").first();
    await number.waitFor(visible);
    // The style sheet of this page is loaded with it and may come a moment later.
    const isRight = () => {
      const cell = document.querySelector(".answer td.number");
      return cell !== null && getComputedStyle(cell).textAlign === "right";
    };
    await page.waitForFunction(isRight, null, { timeout: 10_000 });
    const chart = page.getByRole("button", { name: "Chart", exact: true });
    if (await chart.isEnabled()) {
      await chart.click();
      await page.locator(".answer canvas, .answer .bars").first().waitFor(visible);
    }
  },

  async "a bad statement is marked where it is wrong"(page) {
    await type(page, "SELECT *\nFROM no_such_table_here");
    await page.keyboard.press("Control+Enter");
    await page.locator(".refusal").waitFor(visible);
    await page.locator(".cm-fault").first().waitFor(visible);
    const marked = await page.locator(".cm-fault").first().textContent();
    assert.ok("no_such_table_here".includes(marked ?? "?"), `marked: ${marked}`);
    assert.match((await page.locator(".refusal").textContent()) ?? "", /line 2, column 6/);
  },

  async "dead letters show bytes and reasons"(page) {
    await page.goto(new URL("/dead", address).href);
    await page.getByRole("heading", { name: "Dead letters" }).waitFor(visible);
    await page.locator(".letters .record, .empty").first().waitFor(visible);
    const record = page.locator(".letters .record").first();
    if ((await record.count()) > 0) {
      await record.click();
      await page.getByRole("button", { name: "Replay this one" }).waitFor(visible);
    }
  },

  async "alerts are listed"(page) {
    await page.goto(new URL("/alerts", address).href);
    await page.locator("details summary, .empty").first().waitFor(visible);
  },

  async "the dark theme applies and is remembered"(page) {
    const ground = () => page.evaluate(() => getComputedStyle(document.documentElement).backgroundColor);
    const light = await ground();
    const button = page.locator("[data-control=theme]").first();
    await button.click();
    await button.click();
    const dark = await ground();
    assert.notEqual(dark, light);
    await page.reload();
    assert.equal(await ground(), dark, "it holds after loading again");
    await button.click();
  },
};

const browser = await start();
const faults = [];
let failed = 0;

const context = await browser.newContext({ ...DESKTOP, colorScheme: "light" });
const page = await open(context, address, "/");
page.on("pageerror", (error) => faults.push(error.message));
page.on("console", (message) => {
  if (/Content Security Policy|Refused to/.test(message.text())) faults.push(message.text());
});
for (const [name, test] of Object.entries(TESTS)) {
  try {
    await test(page);
    console.log(`ok      ${name}`);
  } catch (error) {
    failed += 1;
    console.log(`FAILED  ${name}\n        ${error instanceof Error ? error.message : error}`);
  }
}
await context.close();

// Every page fits a phone: nothing but boxes of their own scrolls sideways.
const phone = await browser.newContext(PHONE);
for (const path of ["/", "/dashboards", "/sql", "/streams", "/catalog", "/catalog/sales_by_minute", "/dead", "/alerts"]) {
  const small = await open(phone, address, path);
  await small.waitForTimeout(700);
  const over = await small.evaluate(() => document.documentElement.scrollWidth - innerWidth);
  if (over > 0) {
    failed += 1;
    console.log(`FAILED  ${path} is ${over} px too wide for a phone`);
  }
  await small.close();
}
await browser.close();

for (const fault of faults) console.log(`FAILED  in the page: ${fault}`);
if (failed > 0 || faults.length > 0) process.exit(1);
console.log("the console works");

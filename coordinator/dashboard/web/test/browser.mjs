// What the tests do in a browser: Chromium, driven as a person drives it.
import { createRequire } from "node:module";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import assert from "node:assert/strict";
import { execFile, spawn } from "node:child_process";
import { promisify } from "node:util";
import { chromium } from "playwright-core";

const axe = readFileSync(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");

export const url = process.env.ADIT_URL;
const pictures = process.env.ADIT_PICTURES; // a directory to keep them in, to be looked at

/** adit runs the command line, which is signed in as the first user. */
export async function adit(...args) {
  const { stdout } = await promisify(execFile)(process.env.ADIT, args, { timeout: 60_000 });
  return stdout;
}

/** start starts a command line, which goes on until what is returned is called. */
export function start(...args) {
  const running = spawn(process.env.ADIT, args, { stdio: "ignore" });
  return () => running.kill();
}

export async function open() {
  const browser = await chromium.launch({ executablePath: process.env.CHROMIUM, args: ["--no-sandbox"] });
  const context = await browser.newContext({ viewport: { width: 1024, height: 800 }, colorScheme: "light" });
  await context.addInitScript(() => {
    window.shifts = [];
    new PerformanceObserver((list) => {
      for (const e of list.getEntries()) {
        if (!e.hadRecentInput) window.shifts.push({ by: e.value, what: e.sources.map((s) => s.node?.outerHTML?.slice(0, 120)) });
      }
    }).observe({ type: "layout-shift", buffered: true });
    delete window.RTCPeerConnection; // peer to peer has a test of its own, between two networks
    // From a key to what a WebSocket says next.
    window.echoes = [];
    let key = 0;
    addEventListener("keydown", () => (key = performance.now()), true);
    window.WebSocket = class extends WebSocket {
      constructor(...of) {
        super(...of);
        this.addEventListener("message", (e) => {
          if (key && typeof e.data !== "string") window.echoes.push(performance.now() - key);
          if (typeof e.data !== "string") key = 0;
        });
      }
    };
  });
  const page = await context.newPage();
  page.setDefaultTimeout(30_000);
  const wrong = [];
  page.on("console", (m) => m.type() === "error" && wrong.push(m.text() + " at " + m.location().url));
  page.on("pageerror", (err) => wrong.push(String(err)));
  return { browser, page, wrong };
}

// How many bytes of scripts and styles a page may take, as they are sent, without the terminal's own.
const budget = 300 << 10;

/** loaded is how many a page has taken, which is within what it may. */
export async function loaded(page) {
  const files = await page.evaluate(() => performance.getEntriesByType("resource").filter((r) => /\.(js|css)$/.test(r.name) && !/\/terminal-[^/]*$/.test(r.name)).map((r) => r.encodedBodySize));
  const bytes = files.reduce((sum, n) => sum + n, 0);
  assert.ok(bytes > 10 << 10 && bytes <= budget, `${page.url()} takes ${bytes} bytes of scripts and styles`);
  return bytes;
}

const sizes = [
  [375, 812],
  [1024, 800],
  [1920, 1080],
];

// What browsers' makers call a good score of layout shifts; ours are far below, unless the machine is busy.
const mostShift = 0.1;

/** still judges whether anything moved while the page was made. */
export async function still(page, name) {
  const shifts = await page.evaluate(() => window.shifts.splice(0));
  const moved = shifts.reduce((sum, s) => sum + s.by, 0);
  if (moved > 0) console.log(`${name}: layout shift ${moved.toFixed(4)}`);
  assert.ok(moved < mostShift, `${name}: the layout shifted by ${moved}: ${JSON.stringify(shifts)}`);
}

/**
 * look judges the page as it is, in both themes: what axe-core finds, how much it loads, and
 * whether it fits on the narrowest screen.
 */
export async function look(page, name) {
  await page.getByRole("heading", { level: 1 }).first().waitFor(); // before, there is nothing to judge
  await still(page, name);
  await loaded(page);
  await page.evaluate(axe);
  for (const colorScheme of ["light", "dark"]) {
    await page.emulateMedia({ colorScheme, reducedMotion: "reduce" });
    for (const [width, height] of pictures ? sizes : sizes.slice(0, 2)) {
      await page.setViewportSize({ width, height });
      const over = await page.evaluate(() => {
        if (document.documentElement.scrollWidth <= innerWidth) return [];
        return [...document.querySelectorAll("body *")].filter((e) => e.getBoundingClientRect().right > innerWidth).map((e) => e.outerHTML.slice(0, 120));
      });
      assert.deepEqual(over, [], `${name}: wider than ${width} px`);
      if (pictures) await page.screenshot({ path: join(pictures, `${name}-${width}-${colorScheme}.png`), fullPage: true });
    }
    await page.setViewportSize({ width: 1024, height: 800 });
    const found = await page.evaluate(() => window.axe.run(document, { runOnly: ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "best-practice"] }));
    const violations = found.violations.map((v) => `${v.id}: ${v.help}: ${v.nodes.map((n) => n.html + " " + n.failureSummary).join("\n")}`);
    assert.deepEqual(violations, [], `${name}, ${colorScheme}`);
  }
  await page.emulateMedia({ colorScheme: "light", reducedMotion: null });
  await page.evaluate(() => (window.shifts.length = 0));
}

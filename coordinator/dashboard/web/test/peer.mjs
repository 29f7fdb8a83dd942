// A page with a terminal, on a machine of a test's network: it does what it is told on
// standard input, a line each, and says when that is done.
import { createHash } from "node:crypto";
import { createReadStream } from "node:fs";
import { createInterface } from "node:readline";
import { chromium } from "playwright-core";

const browser = await chromium.launch({ executablePath: process.env.CHROMIUM, args: ["--no-sandbox"] });
const page = await browser.newPage();
page.setDefaultTimeout(45_000);
// From a key, when the browser got it, to the message that its channel brings next, and
// to what that changes on the page; and to the answer to a ping of the page's own.
await page.addInitScript(() => {
  const now = (window.measured = { echo: [], drawn: [], ping: [] });
  window.connections = 0;
  let key = 0;
  let drawn = 0;
  let pinged = 0;
  addEventListener("keydown", (e) => (key = drawn = e.timeStamp), true);
  new MutationObserver((list) => {
    if (!drawn || !list.some((m) => m.target.parentElement?.closest(".xterm-rows"))) return;
    now.drawn.push(performance.now() - drawn);
    drawn = 0;
  }).observe(document, { childList: true, subtree: true, characterData: true });
  window.RTCPeerConnection = class extends RTCPeerConnection {
    constructor(...of) {
      super(...of);
      window.connections++;
    }
  };
  const make = RTCPeerConnection.prototype.createDataChannel;
  RTCPeerConnection.prototype.createDataChannel = function (...of) {
    const channel = make.apply(this, of);
    if (!of[0].startsWith("terminal/")) return channel;
    channel.addEventListener("message", (e) => {
      const text = typeof e.data === "string";
      if (!text && key) now.echo.push(performance.now() - key);
      if (!text) key = 0;
      if (text && pinged && JSON.parse(e.data).kind === "pong") now.ping.push(performance.now() - pinged), (pinged = 0);
    });
    window.ping = () => ((pinged = performance.now()), channel.send('{"kind":"ping"}'));
    return channel;
  };
});
const terminal = page.getByRole("region", { name: "Terminal web", exact: true });

/** ended waits until a file was moved, and returns what is said of it. */
async function ended(name) {
  const item = page.locator(".transfers li").filter({ has: page.getByText(name, { exact: true }) });
  const said = await item.getByRole("status").innerText();
  await item.getByRole("button").click();
  return said;
}

/** visits opens a page, signs in if need be, and waits for what it shows. */
async function visits(url, what) {
  await page.goto(url);
  const name = page.getByLabel("User name");
  await name.or(what).waitFor();
  if (await name.isVisible()) {
    await name.fill("alice");
    await page.getByLabel("Password").fill("correct horse");
    await page.getByRole("button", { name: "Sign in" }).click();
  }
  await what.waitFor();
}

/** pictured is what is to be seen of a preview, and how it is said to have come. */
async function pictured() {
  const frame = page.frameLocator("iframe.preview");
  const h1 = frame.locator("h1");
  await h1.waitFor();
  const of = (e) => [getComputedStyle(e).color, getComputedStyle(e).letterSpacing, getComputedStyle(e.ownerDocument.body).backgroundImage.slice(0, 20)];
  const [color, spacing, background] = await h1.evaluate(of);
  const images = await frame.locator("img").evaluateAll((all) => all.map((i) => i.naturalWidth));
  const said = await page.getByText(/ms; it has scripts|ms$/).first().innerText();
  return JSON.stringify({ text: await frame.locator("body").innerText(), color, spacing, background, images, said });
}

const complaints = [];
// What this program runs in all frames does not run where nothing may.
page.on("console", (m) => m.type() === "error" && !m.text().startsWith("Blocked script execution in 'about:srcdoc'") && complaints.push(m.text()));
page.on("pageerror", (err) => complaints.push(String(err)));

const can = {
  async open(url) {
    await page.goto(url);
    await page.getByLabel("User name").fill("alice");
    await page.getByLabel("Password").fill("correct horse");
    await page.getByRole("button", { name: "Sign in" }).click();
    await page.getByText("Screen reader").click();
    await terminal.click();
  },
  says: (text) => page.locator(".terminal-state").getByText(text).waitFor(),
  async types(text) {
    await page.keyboard.type(text); // with a screen reader, what comes otherwise is not typed
    await page.keyboard.press("Enter");
  },
  /** slowly types as people do. */
  async slowly(text) {
    await page.keyboard.type(text + "\n", { delay: 50 });
  },
  files: (url) => visits(url, page.getByRole("region", { name: "Files" })),
  /** previews what a port shows, and returns what of it is to be seen. */
  async previews(url) {
    await visits(url, page.locator("iframe.preview"));
    return pictured();
  },
  /** follows a link of a preview. */
  async follows(name) {
    const frame = page.frameLocator("iframe.preview");
    await frame.getByRole("link", { name }).click();
    await frame.getByRole("link", { name }).waitFor({ state: "detached" });
    return pictured();
  },
  /** complaints are what the page wrote to its console. */
  complaints: () => JSON.stringify(complaints),
  /** way waits until the page says that its bytes go so. */
  way: (text) => page.locator(".way").getByText(text).waitFor(),
  /** brings a file here, and returns its digest and what the page says of that. */
  async brings(name) {
    const [download] = await Promise.all([page.waitForEvent("download"), page.getByRole("button", { name: "Get " + name, exact: true }).click()]);
    const digest = createHash("sha256");
    for await (const p of createReadStream(await download.path())) digest.update(p);
    return digest.digest("hex") + " " + (await ended(name));
  },
  /** sends a file there, and returns what the page says of that. */
  async sends(path) {
    await page.getByLabel("Files to send").setInputFiles(path);
    return ended(path.split("/").pop());
  },
  goes: (url) => page.goto(url),
  refused: (text) => page.getByText(text).first().waitFor(),
  /** connections is how many peer connections the page has made. */
  connections: async () => String(await page.evaluate(() => window.connections)),
  /** echoes types so many keys, one by one, each beside a ping of the channel, and returns what percentiles were measured, in ms. */
  async echoes(n) {
    await page.getByText("Screen reader").click(); // without it again, as people type
    await terminal.click();
    await page.evaluate(() => Object.values(window.measured).forEach((list) => list.splice(0)));
    for (let i = 0; i < Number(n); i++) {
      await page.keyboard.press("x");
      await page.waitForFunction((i) => window.measured.echo.length > i && window.measured.drawn.length > i, i);
      await page.evaluate(() => window.ping());
      await page.waitForFunction((i) => window.measured.ping.length > i, i);
    }
    const figures = await page.evaluate(() => window.measured);
    await page.keyboard.press("Control+U"); // an interrupt would take along what is typed next
    await page.getByText("Screen reader").click();
    await terminal.click();
    const of = (list, q) => list.sort((a, b) => a - b)[Math.floor(q * (list.length - 1))];
    return JSON.stringify(Object.fromEntries(Object.entries(figures).map(([what, list]) => [what, { n: list.length, p50: of(list, 0.5), p95: of(list, 0.95) }])));
  },
  shows: (text) => terminal.locator(".xterm-accessibility").getByText(text).first().waitFor(),
};

for await (const line of createInterface({ input: process.stdin })) {
  const [verb, ...rest] = line.split(" ");
  try {
    const said = await can[verb](rest.join(" "));
    console.log("done: " + line + (typeof said === "string" ? "\t" + said : ""));
  } catch (err) {
    console.log(`failed: ${line}: ${err}; the page says ${await page.locator("body").innerText()}`);
    break;
  }
}
await browser.close();

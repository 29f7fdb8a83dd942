// A page with a terminal, on a machine of a test's network: it does what it is told on
// standard input, a line each, and says when that is done.
import { createInterface } from "node:readline";
import { chromium } from "playwright-core";

const browser = await chromium.launch({ executablePath: process.env.CHROMIUM, args: ["--no-sandbox"] });
const page = await browser.newPage();
page.setDefaultTimeout(45_000);
const terminal = page.getByRole("region", { name: "Terminal web", exact: true });

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
  shows: (text) => terminal.locator(".xterm-accessibility").getByText(text).first().waitFor(),
};

for await (const line of createInterface({ input: process.stdin })) {
  const [verb, ...rest] = line.split(" ");
  try {
    await can[verb](rest.join(" "));
    console.log("done: " + line);
  } catch (err) {
    console.log(`failed: ${line}: ${err}; the page says ${await page.locator("body").innerText()}`);
    break;
  }
}
await browser.close();

// Two apps below paths of one host, in a browser that is signed in: what their pages can
// get at. Usage: paths.mjs DASHBOARD OWN PUBLIC SERVER
import { chromium } from "playwright-core";

const [dashboard, own, open, server] = process.argv.slice(2);
const browser = await chromium.launch({ executablePath: process.env.CHROMIUM, args: ["--no-sandbox", `--host-resolver-rules=MAP apps.test ${server}`] });
const page = await browser.newPage();
page.setDefaultTimeout(30_000);

/** probe opens a page and returns what its script says that it got at. */
async function probe(url, other) {
  await page.goto(url + "?" + new URLSearchParams({ other, api: dashboard + "/api/v1/users/me" }));
  await page.locator("#done").waitFor();
  return JSON.parse(await page.locator("#done").innerText());
}

await page.goto(own);
await page.getByLabel("User name").fill("alice");
await page.getByLabel("Password").fill("correct horse");
await page.getByRole("button", { name: "Sign in" }).click();
await page.waitForURL(own + "*");
console.log(JSON.stringify({ own: await probe(own, own), public: await probe(open, own) }));
await browser.close();

// code-server in a workspace, used as a person uses it: a file is opened, edited and
// saved, and a command is run in the editor's terminal.
// Usage: codeserver.mjs URL FILE TEXT COMMAND SERVER, with the names of apps on SERVER
import { chromium } from "playwright-core";
import { join } from "node:path";

const [url, file, text, command, server] = process.argv.slice(2);
const pictures = process.env.ADIT_PICTURES;
const browser = await chromium.launch({ executablePath: process.env.CHROMIUM, args: ["--no-sandbox", `--host-resolver-rules=MAP *.apps.test ${server}`, `--unsafely-treat-insecure-origin-as-secure=${new URL(url).origin}`] });
const page = await browser.newPage({ viewport: { width: 1280, height: 800 } });
page.setDefaultTimeout(60_000);
try {
  await page.goto(url);
  await page.getByLabel("User name").fill("alice");
  await page.getByLabel("Password").fill("correct horse");
  await page.getByRole("button", { name: "Sign in" }).click();
  await page.locator(".monaco-workbench").waitFor();
  await page.locator(".monaco-list-row", { hasText: file }).dblclick();
  const editor = page.locator(".monaco-editor .view-lines").first();
  await editor.waitFor();
  await editor.click();
  await page.keyboard.press("Control+End");
  await page.keyboard.type(text);
  await page.keyboard.press("Control+s");
  await page.locator(".tab.dirty").waitFor({ state: "detached" });
  await page.keyboard.press("Control+`");
  await page.locator(".terminal-wrapper.active .xterm-screen").waitFor();
  await page.locator(".terminal-wrapper.active .xterm-helper-textarea").focus();
  await page.keyboard.type(command);
  await page.keyboard.press("Enter");
  await page.locator(".monaco-list-row", { hasText: "made-there" }).waitFor(); // the explorer sees what the command made
  if (pictures) await page.screenshot({ path: join(pictures, "code-server.png") });
} catch (err) {
  if (pictures) await page.screenshot({ path: join(pictures, "code-server.png") });
  throw err;
} finally {
  await browser.close();
}

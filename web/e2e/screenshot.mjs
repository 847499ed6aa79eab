// Writes a picture of the running demo: npm run screenshot -- ../docs/screenshot.png [seconds of data]
import { setTimeout } from "node:timers/promises";
import { chromium } from "@playwright/test";
import { launchOptions } from "./browser.mjs";
import { Server } from "./server.mjs";

const [path = "../docs/screenshot.png", seconds = "40"] = process.argv.slice(2);
const server = await Server.start();
const browser = await chromium.launch(launchOptions);
try {
  const page = await browser.newPage({ viewport: { width: 1280, height: 800 }, colorScheme: "light" });
  await page.goto(server.url);
  await page.getByRole("button", { name: /nurse/i }).first().click();
  await page.locator("[data-points]").first().waitFor();
  await setTimeout(Number(seconds) * 1000);
  await page.screenshot({ path });
} finally {
  await browser.close();
  await server.stop();
}

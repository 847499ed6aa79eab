import { defineConfig } from "@playwright/test";
import { launchOptions } from "./browser.mjs";

export default defineConfig({
  testDir: ".",
  outputDir: "../../test-results/web",
  workers: 1,
  timeout: 60_000,
  reporter: "list",
  use: { launchOptions, viewport: { width: 1280, height: 800 } },
});

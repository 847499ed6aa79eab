import { fileURLToPath } from "node:url";
import { svelte } from "@sveltejs/vite-plugin-svelte";
import { defineConfig } from "vitest/config";

// `npm run dev` shows the app against a server that already runs.
const server = process.env["HEALTHMATE_URL"] ?? "http://127.0.0.1:8080";
const proxied = Object.fromEntries(["/v1", "/demo"].map((path) => [path, server]));

export default defineConfig({
  plugins: [svelte()],
  resolve: {
    // The client is built from its source, so that building this folder needs nothing built before.
    alias: { "@healthmate/client": fileURLToPath(new URL("../sdk/typescript/src/index.ts", import.meta.url)) },
  },
  build: {
    target: "es2022",
    // Nothing inline: the server's content security policy allows only files.
    assetsInlineLimit: 0,
    modulePreload: { polyfill: false },
  },
  server: { proxy: { ...proxied, "/ws": { target: server, ws: true } } },
  test: { include: ["test/**/*.test.ts"] },
});

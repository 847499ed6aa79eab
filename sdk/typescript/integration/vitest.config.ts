import { defineConfig } from "vitest/config";

// The real server in HEALTHMATE_BIN. Node 20 has WebSocket behind a flag; later ones need none.
const flags = Number(process.versions.node.split(".")[0]) < 22 ? ["--experimental-websocket"] : [];

export default defineConfig({
  test: {
    include: ["integration/**/*.test.ts"],
    testTimeout: 60_000,
    hookTimeout: 60_000,
    execArgv: flags,
    // What stays unacknowledged comes again, and who is gone counts as gone, as soon as the server allows.
    env: { HEALTHMATE_SESSIONS__REDELIVERY_AFTER_S: "1", HEALTHMATE_LIMITS__PRESENCE_GRACE_S: "1" },
  },
});

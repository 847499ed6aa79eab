import { beforeEach, expect, test } from "vitest";
import { refusal, settle, Stage } from "./fake.js";

/** The fake server's tokens are good for a day; four fifths of it are 19.2 hours. */
const RENEWED_AFTER_MS = 0.8 * 24 * 3_600_000;
let stage: Stage;
let fetched: number;
let offline: boolean;

/** Lets time pass while the server's heartbeats keep the connection alive. */
function pass(ms: number): void {
  for (let left = ms; left > 0; left -= 60_000) {
    stage.time.advance(Math.min(left, 60_000));
    stage.socket.says("heartbeat", { epoch: "e1", heads: {} });
  }
}

const tokens = () => stage.socket.of("authenticate").map(({ token }) => token);

beforeEach(async () => {
  fetched = 0;
  offline = false;
  stage = new Stage({
    token: async () => {
      if (offline) throw new Error("offline");
      return `token-${++fetched}`;
    },
  });
  stage.client.connect();
  await settle();
  stage.signIn();
});

test("a fresh token follows before the present one ends, and nothing else changes", async () => {
  stage.client.subscribe("health:patient-1", { event: () => {} });
  pass(RENEWED_AFTER_MS - 1);
  expect(tokens()).toEqual(["token-1"]);
  pass(1);
  await settle();
  expect(tokens()).toEqual(["token-1", "token-2"]);
  const states = stage.states.length;
  stage.signIn();
  expect(stage.states).toHaveLength(states);
  expect(stage.socket.of("subscribe")).toHaveLength(1);
});

test("a fresh token follows at once when the server says that the present one ends", async () => {
  stage.socket.says("token_expiring", { expires_at: "2026-11-24T07:00:00.000000Z", seconds: 60 });
  stage.socket.says("token_expiring", { expires_at: "2026-11-24T07:00:00.000000Z", seconds: 59 });
  await settle();
  expect(tokens()).toEqual(["token-1", "token-2"]);
  pass(RENEWED_AFTER_MS);
  await settle();
  expect(tokens()).toEqual(["token-1", "token-2"]);
});

test("a token that cannot be fetched is asked for again while there is time", async () => {
  offline = true;
  pass(RENEWED_AFTER_MS);
  await settle();
  offline = false;
  pass(0.8 * (24 * 3_600_000 - RENEWED_AFTER_MS));
  await settle();
  expect(tokens()).toEqual(["token-1", "token-2"]);
});

test("a token that ended in use is followed by a fresh one on a new connection", async () => {
  stage.socket.says("authentication_failed", refusal("token_expired"));
  stage.socket.closes(4500);
  stage.time.advance(250);
  await settle();
  stage.socket.onopen?.({});
  expect(tokens()).toEqual(["token-2"]);
  stage.socket.says("authentication_failed", refusal("token_expired"));
  stage.socket.closes(4500);
  expect(stage.client.status.state).toBe("closed");
});

test("no token is fetched for a connection that was closed", async () => {
  stage.client.close();
  stage.time.advance(RENEWED_AFTER_MS);
  await settle();
  expect(fetched).toBe(1);
});

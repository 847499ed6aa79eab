import { expect, test } from "vitest";
import { refusal, settle, Stage } from "./fake.js";

test("connects to /ws/combined and signs in by message, never in the URL", () => {
  const stage = new Stage();
  stage.client.connect();
  expect(stage.socket.url).toBe("ws://localhost:8080/ws/combined");
  expect(stage.socket.protocols).toEqual(["healthmate.v1"]);
  stage.signIn();
  expect(stage.socket.of("authenticate")).toEqual([{ type: "authenticate", token: "secret" }]);
  expect(stage.states).toEqual(["connecting", "connected", "authenticated"]);
  expect(stage.client.user?.role).toBe("nurse");
});

test("whoever hears of the sign-in knows the user and subscribes once", () => {
  const stage = new Stage();
  stage.client.onStatus(({ state }) => {
    if (state === "authenticated") stage.client.subscribe(`health:${stage.client.user?.user_id}`, { event: () => {} });
  });
  stage.client.connect();
  stage.signIn();
  expect(stage.socket.of("subscribe").map(({ topic }) => topic)).toEqual(["health:nurse-1"]);
});

test("keeps the path that a proxy adds", () => {
  const stage = new Stage({ url: "https://example.org/care/" });
  stage.client.connect();
  expect(stage.socket.url).toBe("wss://example.org/care/ws/combined");
});

test("asks a token function anew for each connection", async () => {
  let count = 0;
  const stage = new Stage({ token: async () => `token-${++count}` });
  stage.client.connect();
  await settle();
  stage.signIn();
  stage.socket.closes(4000);
  stage.time.advance(250);
  await settle();
  stage.signIn();
  expect(stage.socket.of("authenticate")[0].token).toBe("token-2");
});

test("a token that cannot be fetched is tried again later", async () => {
  const failures = [new Error("offline")];
  const problems: unknown[] = [];
  const stage = new Stage({
    token: async () => {
      const failure = failures.pop();
      if (failure) throw failure;
      return "late";
    },
  });
  stage.client.onProblem((problem) => problems.push(problem));
  stage.client.connect();
  await settle();
  expect(stage.client.status.state).toBe("reconnecting");
  expect(problems).toHaveLength(1);
  stage.time.advance(250);
  await settle();
  expect(stage.sockets).toBe(1);
});

test("a token that arrives after close opens no socket", async () => {
  const stage = new Stage({ token: async () => "late" });
  stage.client.connect();
  stage.client.close();
  await settle();
  expect(stage.sockets).toBe(0);
});

test.each([1000, 1001, 1006, 4000, 4001, 4499, 5000])("comes back after close code %i", (code) => {
  const stage = new Stage();
  stage.client.connect();
  stage.signIn();
  stage.socket.closes(code);
  expect(stage.client.status).toEqual({ state: "reconnecting", retryAt: stage.time.now() + 125 });
  stage.time.advance(125);
  expect(stage.client.status).toEqual({ state: "reconnecting" });
  stage.signIn();
  expect(stage.client.status).toEqual({ state: "authenticated" });
});

test("comes back when the server asked it to, once", () => {
  const stage = new Stage();
  stage.client.connect();
  stage.signIn();
  stage.socket.says("reconnect", { after_ms: 7000 });
  stage.socket.closes(4000);
  expect(stage.client.status).toEqual({ state: "reconnecting", retryAt: stage.time.now() + 7000 });
  stage.time.advance(7000);
  stage.socket.closes(1006);
  expect(stage.client.status).toEqual({ state: "reconnecting", retryAt: stage.time.now() + 125 });
});

test.each([1002, 1003, 1007, 1009, 4500, 4501, 4999])("stays away after close code %i", (code) => {
  const stage = new Stage();
  stage.client.connect();
  stage.socket.closes(code, "no");
  stage.time.advance(3_600_000);
  expect(stage.sockets).toBe(1);
  expect(stage.client.status).toEqual({ state: "closed", ended: { code: String(code), message: "no" } });
});

test("a refused sign-in tells why", () => {
  const stage = new Stage();
  stage.client.connect();
  stage.socket.says("authentication_failed", refusal("token_expired"));
  stage.socket.closes(4500, "authentication failed");
  expect(stage.client.status.ended).toEqual({ code: "token_expired", message: "token_expired happened" });
});

test("failures in a row wait longer, a connection that lasted starts again from the beginning", () => {
  const stage = new Stage();
  stage.client.connect();
  const delays: number[] = [];
  const fail = () => {
    stage.socket.closes(1006);
    const delay = stage.client.status.retryAt! - stage.time.now();
    delays.push(delay);
    stage.time.advance(delay);
  };
  fail();
  fail();
  stage.signIn();
  stage.time.advance(4_999);
  fail();
  stage.signIn();
  stage.time.advance(5_000);
  fail();
  expect(delays).toEqual([125, 250, 500, 125]);
});

test("silence for two heartbeat intervals and five seconds is a dead connection", () => {
  const stage = new Stage();
  stage.client.connect();
  const first = stage.signIn();
  stage.time.advance(60_000);
  first.says("heartbeat", { epoch: "e1", heads: {} });
  stage.time.advance(64_999);
  expect(stage.client.status.state).toBe("authenticated");
  stage.time.advance(1);
  expect(stage.client.status.state).toBe("reconnecting");
  expect(first.closedByClient).toBe(true);
  first.says("heartbeat", { epoch: "e1", heads: {} });
  stage.time.advance(125);
  expect(stage.sockets).toBe(2);
});

test("each heartbeat is answered, or a client that only listens would look lost", () => {
  const stage = new Stage();
  stage.client.connect();
  stage.signIn();
  stage.socket.says("heartbeat", { epoch: "e1", heads: {} });
  expect(stage.socket.of("ping")).toHaveLength(1);
});

test("a socket that never gets as far as signing in is given up", () => {
  const stage = new Stage();
  stage.client.connect();
  stage.time.advance(15_000);
  expect(stage.client.status.state).toBe("reconnecting");
});

test("retryNow does not wait for the backoff", () => {
  const stage = new Stage();
  stage.client.connect();
  stage.socket.closes(1006);
  stage.client.retryNow();
  stage.client.retryNow();
  expect(stage.sockets).toBe(2);
  stage.time.advance(14_000);
  expect(stage.sockets).toBe(2);
});

test("close ends it: no socket, no timer, no further attempt", () => {
  const stage = new Stage();
  stage.client.connect();
  stage.signIn();
  stage.client.close();
  stage.time.advance(3_600_000);
  expect(stage.socket.closedByClient).toBe(true);
  expect(stage.sockets).toBe(1);
  expect(stage.client.status).toEqual({ state: "closed" });
});

test("a message that breaks the contract is reported and skipped, an unknown type is skipped", () => {
  const stage = new Stage();
  const problems: string[] = [];
  stage.client.onProblem((problem) => problems.push(String(problem)));
  stage.client.connect();
  stage.signIn();
  stage.socket.onmessage?.({ data: "{" });
  stage.socket.says("heartbeat", { epoch: "e1" });
  stage.socket.says("weather", {});
  expect(problems).toEqual([
    "ProtocolError: message must be JSON",
    "ProtocolError: heartbeat.data.heads must be an object",
  ]);
  expect(stage.client.status.state).toBe("authenticated");
});

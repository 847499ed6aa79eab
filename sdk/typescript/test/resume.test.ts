import { beforeEach, expect, test } from "vitest";
import type { SubscriptionHandle } from "../src/index.js";
import { event, refusal, Stage } from "./fake.js";

const TOPIC = "health:patient-1";
const OTHER = "health:patient-2";
let stage: Stage;
let log: unknown[];
let handle: SubscriptionHandle;

const handler = {
  event: ({ offset }: { offset: number }) => log.push(offset),
  gap: (gap: object) => log.push(gap),
  reset: (reason: string) => log.push(`reset: ${reason}`),
  denied: ({ code }: { code: string }) => log.push(`denied: ${code}`),
};

const deliver = (...offsets: number[]) => {
  for (const offset of offsets) stage.socket.says("health_update", event(offset), { topic: TOPIC, offset });
};
const answered = (data: object = {}) =>
  stage.socket.answers("subscribe", "subscription_success", { topic: TOPIC, epoch: "e1", head: 5, ...data });
/** The server takes a topic of the session up again, without having been asked. */
const returned = (data: object = {}) =>
  stage.socket.says("subscription_success", { topic: TOPIC, epoch: "e1", head: 9, resumed: "complete", ...data });
const topicsAsked = () => stage.socket.of("subscribe").map(({ topic }) => topic);
const signIn = () => stage.socket.of("authenticate")[0];

beforeEach(() => {
  stage = new Stage();
  log = [];
  stage.client.connect();
  handle = stage.client.subscribe(TOPIC, handler);
  stage.signIn();
  answered();
  deliver(6, 7);
});

test("the first sign-in names no session, the one after a loss names it and what is held", () => {
  expect(signIn()).toEqual({ type: "authenticate", token: "secret" });
  stage.reconnect({ resumed: true });
  expect(signIn()).toEqual({ type: "authenticate", token: "secret", session_id: "s1", offsets: { [TOPIC]: 7 } });
});

test("in the session, the server's answers stand for subscribing; nothing comes twice, nothing is lost", () => {
  stage.reconnect({ resumed: true });
  deliver(8);
  returned();
  deliver(7, 8, 9, 10);
  expect(topicsAsked()).toEqual([]);
  expect(log).toEqual([6, 7, 8, 9, 10]);
  stage.reconnect({ resumed: true });
  expect(signIn().offsets).toEqual({ [TOPIC]: 10 });
});

test.each([false, undefined])("where the session is gone (resumed: %s), it subscribes from its position", (resumed) => {
  stage.reconnect({ session_id: "s2", ...(resumed !== undefined && { resumed }) });
  expect(stage.socket.of("subscribe").map(({ since }) => since)).toEqual([{ epoch: "e1", offset: 7 }]);
  answered({ head: 9, resumed: "complete" });
  deliver(8, 9);
  expect(log).toEqual([6, 7, 8, 9]);
  stage.reconnect();
  expect(signIn().session_id).toBe("s2");
});

test("an answer of the session without a word on what was missed moves no position", () => {
  stage.reconnect({ resumed: true });
  returned({ resumed: undefined });
  deliver(8);
  expect(log).toEqual([6, 7, 8]);
});

test("a connection lost before the session's answers came is resumed all the same", () => {
  stage.reconnect({ resumed: true });
  stage.reconnect({ resumed: true });
  expect(signIn().offsets).toEqual({ [TOPIC]: 7 });
  returned();
  deliver(8);
  expect(log).toEqual([6, 7, 8]);
});

test("what the session's log has lost is told as after any other absence", () => {
  stage.reconnect({ resumed: true });
  returned({ head: 21, resumed: "gap", from: 8, to: 19, reason: "retention" });
  deliver(20, 21);
  expect(log).toEqual([6, 7, { from: 8, to: 19, reason: "retention" }, 20, 21]);
});

test("access that ended meanwhile ends the subscription", () => {
  stage.reconnect({ resumed: true });
  stage.socket.says("subscription_denied", { topic: TOPIC, ...refusal("access_denied") });
  deliver(8);
  stage.reconnect({ resumed: true });
  expect(log).toEqual([6, 7, "denied: access_denied"]);
  expect(signIn().offsets).toEqual({});
});

test("a topic that the session cannot serve now is asked for later", () => {
  stage.reconnect({ resumed: true });
  stage.socket.says("subscription_denied", { topic: TOPIC, ...refusal("storage_unavailable", true) });
  stage.time.advance(125);
  expect(stage.socket.of("subscribe")).toMatchObject([{ topic: TOPIC, since: { epoch: "e1", offset: 7 } }]);
});

test("a topic that the session says nothing of is asked for at the first heartbeat", () => {
  stage.reconnect({ resumed: true });
  stage.socket.says("heartbeat", { epoch: "e1", heads: {} });
  expect(stage.socket.of("subscribe")).toMatchObject([{ topic: TOPIC, since: { epoch: "e1", offset: 7 } }]);
});

test("what was subscribed while away, or never answered, is not in the session and is asked for", () => {
  stage.client.subscribe(OTHER, handler, { since: { epoch: "e1", offset: 3 } });
  stage.socket.closes(1006);
  stage.client.subscribe("health:patient-3", handler);
  stage.time.advance(125);
  stage.signIn({ resumed: true });
  expect(signIn().offsets).toEqual({ [TOPIC]: 7 });
  expect(topicsAsked()).toEqual([OTHER, "health:patient-3"]);
});

test.each([
  ["the session's answer", () => returned(), 1],
  ["the first heartbeat", () => stage.socket.says("heartbeat", { epoch: "e1", heads: {} }), 2],
])("who joins a topic of the session while away asks after %s", (_, answer, requests) => {
  stage.socket.closes(1006);
  stage.client.subscribe(TOPIC, { event: () => {} }, { include: ["waveform"], since: { epoch: "e1", offset: 7 } });
  stage.time.advance(125);
  stage.signIn({ resumed: true });
  expect(topicsAsked()).toEqual([]);
  answer();
  expect(topicsAsked()).toHaveLength(requests);
  expect(stage.socket.of("subscribe").at(-1)).toMatchObject({ topic: TOPIC, include: ["waveform"] });
});

test("what nobody includes any more since the connection was lost is given up", () => {
  const second = stage.client.subscribe(TOPIC, { event: () => {} }, { include: ["waveform"] });
  answered({ head: 7 });
  stage.socket.closes(1006);
  second.unsubscribe();
  stage.time.advance(125);
  stage.signIn({ resumed: true });
  returned();
  expect(stage.socket.of("subscribe")).toMatchObject([{ topic: TOPIC, since: { epoch: "e1", offset: 7 } }]);
  expect(stage.socket.of("subscribe")[0].include).toBeUndefined();
  deliver(8);
  answered({ head: 9, resumed: "complete" });
  deliver(8, 9);
  expect(log).toEqual([6, 7, 8, 9]);
});

test("what was unsubscribed while away is given up once the session brings it back", () => {
  stage.socket.closes(1006);
  handle.unsubscribe();
  stage.time.advance(125);
  stage.signIn({ resumed: true });
  returned();
  deliver(8);
  expect(stage.socket.of("unsubscribe")).toMatchObject([{ topic: TOPIC }]);
  expect(log).toEqual([6, 7]);
});

test("of several listeners to one topic, the one furthest behind counts", () => {
  const behind: number[] = [];
  const since = { epoch: "e1", offset: 4 };
  stage.client.subscribe(TOPIC, { event: ({ offset }) => behind.push(offset) }, { since });
  answered({ head: 7, resumed: "complete" });
  deliver(5);
  stage.reconnect({ resumed: true });
  expect(signIn().offsets).toEqual({ [TOPIC]: 5 });
  returned();
  deliver(6, 7, 8);
  expect(behind).toEqual([5, 6, 7, 8]);
  expect(log).toEqual([6, 7, 8]);
});

test("a polite close forgets the session, a loss does not close politely", () => {
  const lost = stage.socket;
  stage.time.advance(65_000);
  expect(lost.closeCode).toBe(4001);
  stage.time.advance(125);
  const resumed = stage.signIn({ resumed: true });
  stage.client.close();
  expect(resumed.closeCode).toBe(1000);
  stage.client.connect();
  stage.signIn({ session_id: "s3" });
  expect(signIn()).toEqual({ type: "authenticate", token: "secret" });
  expect(topicsAsked()).toEqual([TOPIC]);
});

test("measurements that were not acknowledged go out again in the session", async () => {
  const sent = stage.client.send({ metric: "heart_rate", value: 70, unit: "/min", taken_at: "2026-11-23T07:00:00Z" });
  const [first] = stage.socket.of("health_update");
  stage.reconnect({ resumed: true });
  const [again] = stage.socket.of("health_update");
  expect(again.batch).toEqual(first.batch);
  stage.socket.answers("health_update", "acknowledgment", { patient: "patient-1", results: [{ offset: 8 }] });
  expect((await sent).results).toEqual([{ offset: 8 }]);
});

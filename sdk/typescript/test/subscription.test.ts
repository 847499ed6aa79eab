import { beforeEach, expect, test } from "vitest";
import type { SubscriptionHandle } from "../src/index.js";
import { event, type FakeSocket, refusal, Stage } from "./fake.js";

const TOPIC = "health:patient-1";
let stage: Stage;
let log: unknown[];
let handle: SubscriptionHandle;

const handler = {
  event: ({ offset }: { offset: number }) => log.push(offset),
  gap: (gap: object) => log.push(gap),
  reset: (reason: string) => log.push(`reset: ${reason}`),
  denied: ({ code }: { code: string }) => log.push(`denied: ${code}`),
};

function subscribed(data: object = {}): void {
  stage.socket.answers("subscribe", "subscription_success", { topic: TOPIC, epoch: "e1", head: 5, ...data });
}

function deliver(...offsets: number[]): void {
  for (const offset of offsets) stage.socket.says("health_update", event(offset), { topic: TOPIC, offset });
}

function requests(socket: FakeSocket = stage.socket): unknown[] {
  return socket.of("subscribe").map(({ since }) => since);
}

beforeEach(() => {
  stage = new Stage();
  log = [];
  stage.client.connect();
  handle = stage.client.subscribe(TOPIC, handler);
  stage.signIn();
  subscribed();
});

test("without a position, delivery starts after the head", () => {
  expect(requests()).toEqual([undefined]);
  expect(handle.position).toEqual({ epoch: "e1", offset: 5 });
  deliver(6, 7);
  expect(log).toEqual([6, 7]);
});

test("a reconnect resumes from the position and drops repeats", () => {
  deliver(6, 7);
  stage.reconnect();
  expect(requests()).toEqual([{ epoch: "e1", offset: 7 }]);
  subscribed({ head: 9, resumed: "complete" });
  deliver(7, 8, 8, 9);
  expect(log).toEqual([6, 7, 8, 9]);
});

test("a stored position is where a later session continues", () => {
  stage.client.subscribe("health:patient-2", handler, { since: { epoch: "e0", offset: 3 } });
  expect(requests()[1]).toEqual({ epoch: "e0", offset: 3 });
});

test("a hole makes it subscribe again from its position, ignoring what was under way", () => {
  deliver(6, 9, 10);
  expect(requests()).toEqual([undefined, { epoch: "e1", offset: 6 }]);
  subscribed({ head: 10, resumed: "complete" });
  deliver(7, 8, 9, 10);
  expect(log).toEqual([6, 7, 8, 9, 10]);
});

test("a hole that is still there after asking again is reported and passed", () => {
  deliver(6, 9);
  subscribed({ head: 9, resumed: "complete" });
  deliver(9, 10);
  expect(log).toEqual([6, { from: 7, to: 8, reason: "unexplained" }, 9, 10]);
  expect(requests()).toHaveLength(2);
});

test("what retention took is reported, and delivery goes on behind it", () => {
  deliver(6);
  stage.reconnect();
  subscribed({ head: 21, resumed: "gap", from: 7, to: 19, reason: "retention" });
  deliver(20, 21);
  expect(log).toEqual([6, { from: 7, to: 19, reason: "retention" }, 20, 21]);
});

test.each(["new_epoch", "ahead_of_log"])("%s resets the topic and starts at the oldest event", (reason) => {
  deliver(6);
  stage.reconnect();
  subscribed({ epoch: "e2", head: 2, resumed: "gap", reason });
  deliver(1, 2);
  expect(log).toEqual([6, `reset: ${reason}`, 1, 2]);
  expect(handle.position).toEqual({ epoch: "e2", offset: 2 });
});

test("a reset whose log has lost its beginning reports that too", () => {
  stage.reconnect();
  subscribed({ epoch: "e2", head: 4, resumed: "gap", from: 1, to: 3, reason: "new_epoch" });
  deliver(4);
  expect(log).toEqual(["reset: new_epoch", { from: 1, to: 3, reason: "new_epoch" }, 4]);
});

test("a heartbeat ahead of the position asks again, once nothing came for a second", () => {
  deliver(6);
  stage.socket.says("heartbeat", { epoch: "e1", heads: { [TOPIC]: 7 } });
  stage.time.advance(999);
  expect(requests()).toHaveLength(1);
  stage.time.advance(1);
  expect(requests()[1]).toEqual({ epoch: "e1", offset: 6 });
});

test("a heartbeat ahead of events still being delivered asks nothing", () => {
  stage.socket.says("heartbeat", { epoch: "e1", heads: { [TOPIC]: 7 } });
  deliver(6);
  stage.time.advance(5_000);
  stage.socket.says("heartbeat", { epoch: "e1", heads: { [TOPIC]: 6 } });
  stage.time.advance(5_000);
  expect(requests()).toHaveLength(1);
});

test("a heartbeat of another epoch asks again", () => {
  stage.socket.says("heartbeat", { epoch: "e2", heads: { [TOPIC]: 5 } });
  stage.time.advance(1_000);
  expect(requests()).toHaveLength(2);
});

test("a refusal is final, unless it says that trying again can help", () => {
  stage.client.subscribe("health:patient-2", handler);
  stage.socket.answers("subscribe", "error", refusal("storage_unavailable", true));
  stage.time.advance(250);
  expect(requests()).toHaveLength(3);
  stage.socket.answers("subscribe", "subscription_denied", { topic: "health:patient-2", ...refusal("access_denied") });
  expect(log).toEqual(["denied: access_denied"]);
  stage.reconnect();
  expect(stage.socket.of("subscribe").map(({ topic }) => topic)).toEqual([TOPIC]);
});

test("access that ends while subscribed ends the subscription", () => {
  stage.socket.says("subscription_denied", { topic: TOPIC, ...refusal("access_denied") });
  deliver(6);
  expect(log).toEqual(["denied: access_denied"]);
  stage.reconnect();
  expect(requests()).toEqual([]);
});

test("a short name becomes the topic that the server names", () => {
  stage.client.subscribe("health_updates", handler);
  subscribed({ topic: "health:nurse-1", head: 0 });
  stage.socket.says("health_update", event(1), { topic: "health:nurse-1", offset: 1 });
  expect(log).toEqual([1]);
});

test("unsubscribing leaves another listener of the same topic alone", () => {
  const second = stage.client.subscribe(TOPIC, handler);
  subscribed();
  second.unsubscribe();
  expect(stage.socket.of("unsubscribe")).toEqual([]);
  handle.unsubscribe();
  expect(stage.socket.of("unsubscribe")).toHaveLength(1);
  deliver(6);
  expect(log).toEqual([]);
});

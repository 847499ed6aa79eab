import { beforeEach, expect, test } from "vitest";
import { event, refusal, settle, Stage } from "./fake.js";

const TOPIC = "health:patient-1";
let stage: Stage;
let log: unknown[];

const handler = {
  event: ({ offset }: { offset: number }): unknown => log.push(offset),
  reset: (reason: string) => log.push(`reset: ${reason}`),
  merged: (events: number) => log.push(`merged: ${events}`),
  waveform: ({ data }: { data: { sequence?: number } }) => log.push(`strip ${data.sequence}`),
  presence: ({ data }: { data: { user_id: string; presence: string } }) => log.push(`${data.user_id} ${data.presence}`),
};

const answered = (data: object = {}) =>
  stage.socket.answers("subscribe", "subscription_success", { topic: TOPIC, epoch: "e1", head: 5, ...data });
const deliver = (...offsets: number[]) => {
  for (const offset of offsets) stage.socket.says("health_update", event(offset), { topic: TOPIC, offset });
};
const value = (metric: string, offset: number) =>
  stage.socket.says("health_update", { ...event(offset), metric }, { topic: TOPIC, offset });
const strip = (sequence: number) => ({
  patient: "patient-1",
  author: "device-1",
  waveform: "ecg_lead_ii",
  unit: "mV",
  started_at: "2026-11-23T07:00:00Z",
  sample_rate_hz: 250,
  samples: [0, 0.1, null],
  sequence,
});
const requests = () => stage.socket.of("subscribe").map(({ type: _, correlation_id: __, ...rest }) => rest);

beforeEach(() => {
  stage = new Stage();
  log = [];
  stage.client.connect();
  stage.signIn();
});

test("latest: values come as they are, superseded ones are counted, none comes twice", () => {
  const handle = stage.client.subscribe(TOPIC, handler, { delivery: "latest" });
  expect(requests()).toEqual([{ topic: TOPIC, delivery: "latest" }]);
  answered({ delivery: "latest" });
  value("body_weight", 2);
  value("heart_rate", 5);
  stage.socket.says("events_merged", { topic: TOPIC, merged: 4 });
  value("heart_rate", 10);
  expect(handle.position).toBeUndefined();
  expect(stage.socket.of("subscribe")).toHaveLength(1);
  stage.reconnect({ resumed: false });
  answered({ head: 10, delivery: "latest" });
  value("body_weight", 2);
  value("heart_rate", 10);
  value("heart_rate", 11);
  expect(log).toEqual([2, 5, "merged: 4", 10, 11]);
});

test("latest: in the session it needs no offset, and a heartbeat ahead means nothing", () => {
  stage.client.subscribe(TOPIC, handler, { delivery: "latest" });
  answered({ delivery: "latest" });
  stage.reconnect({ resumed: true });
  expect(stage.socket.of("authenticate")[0].offsets).toEqual({});
  stage.socket.says("subscription_success", { topic: TOPIC, epoch: "e1", head: 9, delivery: "latest" });
  value("heart_rate", 9);
  stage.socket.says("heartbeat", { epoch: "e1", heads: { [TOPIC]: 12 } });
  stage.time.advance(5_000);
  expect(stage.socket.of("subscribe")).toEqual([]);
  expect(log).toEqual([9]);
});

test("latest: under another epoch, offsets count anew", () => {
  stage.client.subscribe(TOPIC, handler, { delivery: "latest" });
  answered({ delivery: "latest" });
  value("heart_rate", 5);
  stage.reconnect();
  answered({ epoch: "e2", head: 1, delivery: "latest" });
  value("heart_rate", 1);
  expect(log).toEqual([5, "reset: new_epoch", 1]);
});

test("latest goes neither with a position nor with acknowledging", () => {
  const since = { epoch: "e1", offset: 1 };
  expect(() => stage.client.subscribe(TOPIC, handler, { delivery: "latest", since })).toThrow(TypeError);
  expect(() => stage.client.subscribe(TOPIC, handler, { delivery: "latest", acknowledge: true })).toThrow(TypeError);
  expect(stage.socket.of("subscribe")).toEqual([]);
});

test("who wants every event of a topic decides for those who want the newest", () => {
  stage.client.subscribe(TOPIC, handler, { delivery: "latest" });
  answered({ delivery: "latest" });
  stage.client.subscribe(TOPIC, { event: () => {} });
  expect(requests().at(-1)).toEqual({ topic: TOPIC });
});

test("ephemeral events come to those who asked for them, and cost no offset", () => {
  stage.client.subscribe(TOPIC, handler, { include: ["waveform"] });
  expect(requests()).toEqual([{ topic: TOPIC, include: ["waveform"] }]);
  answered();
  stage.socket.says("health_waveform", strip(1), { topic: TOPIC });
  stage.socket.says("presence_update", { user_id: "doctor-1", presence: "joined" }, { topic: TOPIC });
  deliver(6);
  stage.socket.says("health_waveform", strip(3), { topic: TOPIC });
  stage.socket.says("health_waveform", strip(9), { topic: "health:patient-2" });
  expect(log).toEqual(["strip 1", 6, "strip 3"]);
});

test("listeners of one topic share what is included, and give up what nobody wants any more", () => {
  stage.client.subscribe(TOPIC, { event: () => {} });
  answered();
  const second = stage.client.subscribe(TOPIC, handler, { include: ["waveform", "presence"] });
  answered();
  stage.socket.says("presence_update", { user_id: "doctor-1", presence: "left" }, { topic: TOPIC });
  expect(log).toEqual(["doctor-1 left"]);
  second.unsubscribe();
  expect(requests()).toEqual([
    { topic: TOPIC },
    { topic: TOPIC, include: ["waveform", "presence"] },
    { topic: TOPIC, since: { epoch: "e1", offset: 5 } },
  ]);
});

test("a strip is handed over or dropped, never kept", () => {
  const { patient: _, author: __, ...data } = strip(1);
  expect(stage.client.sendWaveform(data, "patient-1")).toBe(true);
  expect(stage.socket.of("health_waveform")).toMatchObject([{ patient: "patient-1", data }]);
  stage.socket.bufferedAmount = 65_537;
  expect(stage.client.sendWaveform(data)).toBe(false);
  stage.socket.closes(1006);
  expect(stage.client.sendWaveform(data)).toBe(false);
  stage.time.advance(125);
  stage.signIn({ resumed: true });
  expect(stage.socket.of("health_waveform")).toEqual([]);
  expect(() => stage.client.sendWaveform({ ...data, samples: [] })).toThrow("0 given");
  expect(() => stage.client.sendWaveform({ ...data, samples: Array(1001).fill(0) })).toThrow("1001 given");
});

test("a refused strip is a problem, not an answer to something else", () => {
  const problems: unknown[] = [];
  stage.client.onProblem((problem) => problems.push(problem));
  const { patient: _, author: __, ...data } = strip(1);
  stage.client.sendWaveform(data);
  stage.socket.answers("health_waveform", "error", refusal("access_denied"));
  expect(problems).toMatchObject([{ code: "access_denied" }]);
});

test("presence is asked for and answered", async () => {
  const present = [{ user_id: "doctor-1", role: "doctor", since: "2026-11-23T07:00:00Z", watching: true }];
  const asked = stage.client.presence(TOPIC);
  expect(stage.socket.of("get_presence")).toMatchObject([{ topic: TOPIC }]);
  stage.socket.answers("get_presence", "presence_response", { topic: TOPIC, present });
  expect(await asked).toEqual(present);
  const refused = stage.client.presence("health:patient-2");
  stage.socket.answers("get_presence", "error", refusal("access_denied"));
  await expect(refused).rejects.toMatchObject({ code: "access_denied" });
});

/** Handlers that have begun and wait to be told how they end. */
let open: { offset: number; done: () => void; fail: (problem: Error) => void }[];

const slow = {
  ...handler,
  event: ({ offset }: { offset: number }) =>
    new Promise<void>((done, fail) => {
      log.push(offset);
      open.push({ offset, done, fail });
    }),
};
const acknowledged = () => stage.socket.of("acknowledge").map(({ topic, offset }) => [topic, offset]);

async function finish(problem?: Error): Promise<void> {
  const { done, fail } = open.shift()!;
  if (problem === undefined) done();
  else fail(problem);
  await settle();
  stage.time.advance(100);
}

function subscribeSlowly() {
  open = [];
  const handle = stage.client.subscribe(TOPIC, slow, { acknowledge: true });
  answered();
  return handle;
}

test("acknowledge: one event after the other, each acknowledged once it is handled", async () => {
  const handle = subscribeSlowly();
  expect(requests()).toEqual([{ topic: TOPIC, acknowledge: true }]);
  deliver(6, 7);
  expect(log).toEqual([6]);
  expect(handle.position).toEqual({ epoch: "e1", offset: 5 });
  await finish();
  expect(log).toEqual([6, 7]);
  expect(acknowledged()).toEqual([[TOPIC, 6]]);
  expect(handle.position).toEqual({ epoch: "e1", offset: 6 });
  await finish();
  expect(acknowledged()).toEqual([[TOPIC, 6], [TOPIC, 7]]);
});

test("acknowledge: what is handled quickly is acknowledged together", async () => {
  stage.client.subscribe(TOPIC, handler, { acknowledge: true });
  answered();
  deliver(6, 7, 8);
  await settle();
  stage.time.advance(100);
  expect(log).toEqual([6, 7, 8]);
  expect(acknowledged()).toEqual([[TOPIC, 8]]);
});

test("acknowledge: sent again while it waits or is worked on, an event is handled once", async () => {
  subscribeSlowly();
  deliver(6, 7, 6, 7);
  await finish();
  deliver(7);
  await finish();
  expect(log).toEqual([6, 7]);
  expect(open).toEqual([]);
});

test("acknowledge: what failed, and all that followed, is handled when the server sends it again", async () => {
  const problems: unknown[] = [];
  stage.client.onProblem((problem) => problems.push(problem));
  subscribeSlowly();
  deliver(6, 7);
  await finish(new Error("disk full"));
  expect(problems).toEqual([new Error("disk full")]);
  deliver(8);
  expect(log).toEqual([6]);
  expect(stage.socket.of("subscribe")).toHaveLength(1);
  deliver(6, 7, 8);
  for (let left = 3; left > 0; left--) await finish();
  expect(log).toEqual([6, 6, 7, 8]);
  expect(acknowledged().at(-1)).toEqual([TOPIC, 8]);
});

test("acknowledge: a heartbeat ahead of a slow handler asks nothing", async () => {
  subscribeSlowly();
  deliver(6);
  stage.socket.says("heartbeat", { epoch: "e1", heads: { [TOPIC]: 7 } });
  stage.time.advance(5_000);
  expect(stage.socket.of("subscribe")).toHaveLength(1);
});

test("acknowledge: over a lost connection, what is worked on is not begun again, and is acknowledged afterwards", async () => {
  subscribeSlowly();
  deliver(6, 7);
  stage.reconnect({ resumed: true });
  expect(stage.socket.of("authenticate")[0].offsets).toEqual({ [TOPIC]: 5 });
  await finish();
  expect(acknowledged()).toEqual([]);
  stage.socket.says("subscription_success", { topic: TOPIC, epoch: "e1", head: 7, resumed: "complete" });
  stage.time.advance(100);
  expect(acknowledged()).toEqual([[TOPIC, 6]]);
  deliver(6, 7);
  expect(log).toEqual([6, 7]);
});

test("acknowledge: what belongs to the time before a reset moves no position", async () => {
  const handle = subscribeSlowly();
  deliver(6, 7);
  stage.reconnect();
  answered({ epoch: "e2", head: 3, resumed: "gap", reason: "new_epoch" });
  await finish();
  expect(handle.position).toEqual({ epoch: "e2", offset: 0 });
  deliver(1);
  await finish();
  expect(log).toEqual([6, "reset: new_epoch", 1]);
  expect(acknowledged()).toEqual([[TOPIC, 1]]);
});

test("acknowledge: when the server gives up, it subscribes again from what is handled", async () => {
  subscribeSlowly();
  deliver(6);
  await finish(new Error("no"));
  stage.socket.says("subscription_denied", { topic: TOPIC, ...refusal("not_acknowledged", true) });
  stage.time.advance(125);
  expect(requests().at(-1)).toEqual({ topic: TOPIC, since: { epoch: "e1", offset: 5 }, acknowledge: true });
  answered({ head: 6, resumed: "complete" });
  deliver(6);
  await finish();
  expect(acknowledged()).toEqual([[TOPIC, 6]]);
});

test("acknowledge: nobody else may listen to that topic", () => {
  const handle = subscribeSlowly();
  expect(() => stage.client.subscribe(TOPIC, handler)).toThrow(TypeError);
  handle.unsubscribe();
  stage.client.subscribe(TOPIC, handler);
  expect(() => stage.client.subscribe(TOPIC, handler, { acknowledge: true })).toThrow(TypeError);
});

test("acknowledge: after unsubscribing, nothing more is begun or acknowledged", async () => {
  const handle = subscribeSlowly();
  deliver(6, 7);
  handle.unsubscribe();
  await finish();
  expect(log).toEqual([6]);
  expect(acknowledged()).toEqual([]);
});

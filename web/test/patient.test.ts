import type { HealthMateClient, StoredMeasurement, SubscribeOptions, TopicHandler } from "@healthmate/client";
import { beforeEach, expect, test } from "vitest";
import { Api, type Patient } from "../src/lib/api.js";
import { LivePatient } from "../src/lib/patient.svelte.js";

const stored = (offset: number, metric = "heart_rate"): StoredMeasurement => ({
  offset,
  patient: "patient-1",
  metric,
  value: 60 + offset,
  unit: metric === "heart_rate" ? "/min" : "%",
  taken_at: new Date(Date.UTC(2026, 10, 23, 7, 0, offset)).toISOString(),
  recorded_at: "2026-11-23T07:30:00Z",
  author: "device-1",
});

/** What the server's history holds. */
let log: StoredMeasurement[];
let requests: URL[];
let failure: Response | undefined;
/** Whom the signed-in user may read. */
let patients: Patient[];
let handler: TopicHandler;
let frames: (() => void)[];
let patient: LivePatient;
/** Subscriptions to signals, as they begin and end. */
let listening: string[];

async function answer(path: string): Promise<Response> {
  const url = new URL(path, "http://server");
  requests.push(url);
  if (failure !== undefined) return failure;
  if (url.pathname === "/v1/patients") return Response.json({ patients });
  const before = Number(url.searchParams.get("cursor") ?? Infinity);
  const older = log.filter(({ offset }) => offset < before).reverse();
  const measurements = older.slice(0, Number(url.searchParams.get("limit")));
  const more = older.length > measurements.length && { next_cursor: String(measurements.at(-1)!.offset) };
  return Response.json({ measurements, ...more });
}

const live = (offset: number, metric?: string) => {
  const { offset: _, ...data } = stored(offset, metric);
  handler.event?.({ type: "health_update", timestamp: data.recorded_at, topic: "health:patient-1", offset, data });
};
const taken = (head: number) => handler.subscribed?.({ topic: "health:patient-1", epoch: "e1", head });

async function drawn() {
  await new Promise((resolve) => setImmediate(resolve));
  for (const draw of frames.splice(0)) draw();
  return patient.view;
}

const times = (metric: string) => patient.view.readings.find((one) => one.metric === metric)?.ring.length;

beforeEach(() => {
  log = [1, 2, 3, 4, 5].map((offset) => stored(offset));
  requests = [];
  frames = [];
  listening = [];
  failure = undefined;
  patients = [];
  const client = {
    subscribe: (_: string, given: TopicHandler, options?: SubscribeOptions) => {
      if (options?.include === undefined) {
        handler = given;
        return { position: { epoch: "e1", offset: 5 }, unsubscribe: () => {} };
      }
      listening.push(`${options.include} after ${options.since?.offset}`);
      return { position: undefined, unsubscribe: () => listening.push("ended") };
    },
  } as unknown as HealthMateClient;
  const api = new Api("secret", (path) => answer(String(path)));
  patient = new LivePatient({ id: "patient-1", name: "Ada" }, client, api, (draw) => frames.push(draw));
});

test("history is asked for after the subscription stands, and joins live events without a repeat", async () => {
  expect(requests).toEqual([]);
  taken(5);
  live(6);
  log.push(stored(6));
  live(7);
  const view = await drawn();
  expect(requests).toHaveLength(1);
  expect(view).toMatchObject({ first: 1, last: 7, missing: 0 });
  expect(times("heart_rate")).toBe(7);
  expect(view.readings[0]).toMatchObject({ value: 67 });
  expect(patient.loaded).toBe(true);
});

test("a chosen patient's history comes in pages", async () => {
  log = Array.from({ length: 2500 }, (_, index) => stored(index + 1));
  patient.choose();
  taken(2500);
  await drawn();
  expect(requests.map(({ search }) => search)).toEqual([
    "?limit=1000",
    "?limit=1000&cursor=1501",
    "?limit=1000&cursor=501",
  ]);
  expect(await drawn()).toMatchObject({ first: 1, last: 2500, missing: 0 });
});

test("signals are listened to while the patient is chosen, once the subscription stands", () => {
  patient.choose();
  expect(listening).toEqual([]);
  taken(5);
  taken(5);
  expect(listening).toEqual(["waveform,presence after 5"]);
  patient.lookAway();
  taken(5);
  expect(listening).toEqual(["waveform,presence after 5", "ended"]);
  patient.choose();
  patient.leave();
  expect(listening.slice(2)).toEqual(["waveform,presence after 5", "ended"]);
});

test("events that come in a burst are drawn once", async () => {
  taken(5);
  await drawn();
  for (let offset = 6; offset < 100; offset++) live(offset);
  expect(frames).toHaveLength(1);
});

test("metrics are kept apart, offsets are counted together", async () => {
  taken(5);
  live(6, "oxygen_saturation");
  live(7);
  const view = await drawn();
  expect(view.readings.map(({ metric }) => metric)).toEqual(["heart_rate", "oxygen_saturation"]);
  expect(view).toMatchObject({ missing: 0, last: 7 });
});

test("events lost to retention come from the history; only what is in neither is reported", async () => {
  taken(5);
  await drawn();
  log.push(stored(9), stored(10));
  handler.gap?.({ from: 6, to: 10, reason: "retention" });
  taken(11);
  live(11);
  const view = await drawn();
  expect(view.lost).toEqual([{ from: 6, to: 8, reason: "retention" }]);
  expect(view.missing).toBe(3);
});

test("a new epoch forgets everything held and loads again", async () => {
  taken(5);
  await drawn();
  log = [stored(1)];
  handler.reset?.("new_epoch");
  taken(1);
  const view = await drawn();
  expect(view).toMatchObject({ first: 1, last: 1 });
  expect(times("heart_rate")).toBe(1);
});

test("when access ends, nothing of the patient stays on the screen", async () => {
  taken(5);
  handler.denied?.({ topic: "health:patient-1", code: "access_denied", message: "you are not in this care team", retry: false });
  const view = await drawn();
  expect(view).toMatchObject({ readings: [], first: undefined });
  expect(patient.problem).toBe("you are not in this care team");
});

test("after access ended, a page that is opened again asks again", async () => {
  const denied = { topic: "health:patient-1", code: "access_denied", reason: "ended", message: "it has ended", retry: false };
  handler.denied?.(denied);
  expect(patient.view.readings).toEqual([]);
  patient.choose();
  taken(5);
  await drawn();
  expect(times("heart_rate")).toBe(5);
  expect(patient.problem).toBeUndefined();
});

test("who managed the care team sees neither it nor the access log once access has ended, and again when it is renewed", async () => {
  const managed = { id: "patient-1", name: "Ada", manages: true };
  patients = [managed];
  patient.update(managed);
  const [team, accessLog] = [patient.team, patient.accessLog];
  expect([team, accessLog]).not.toContain(undefined);
  patient.update(managed);
  expect([patient.team, patient.accessLog]).toEqual([team, accessLog]);
  handler.denied?.({ topic: "health:patient-1", code: "access_denied", reason: "ended", message: "it has ended", retry: false });
  expect([patient.denied, patient.team, patient.accessLog]).toEqual([true, undefined, undefined]);
  patient.choose();
  taken(5);
  await drawn();
  expect(patient.denied).toBe(false);
  expect([patient.team, patient.accessLog]).not.toContain(undefined);
});

test("a failure shows the server's detail, and the next subscription tries again", async () => {
  const problem = { title: "Unavailable", status: 503, detail: "storage is busy", code: "storage_unavailable", retry: true };
  failure = Response.json(problem, { status: 503 });
  taken(5);
  await drawn();
  expect(patient.problem).toBe("storage is busy");
  expect(patient.loaded).toBe(false);
  failure = undefined;
  taken(5);
  await drawn();
  expect(patient.problem).toBeUndefined();
  expect(patient.view.last).toBe(5);
});

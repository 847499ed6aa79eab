import type { HealthMateClient, PresentUser, SubscribeOptions, TopicHandler } from "@healthmate/client";
import { beforeEach, expect, test } from "vitest";
import { LiveSignals } from "../src/lib/signals.svelte.js";
import { Sweep } from "../src/lib/sweep.js";
import { rangeOf } from "../src/lib/sweep-chart.js";
import { waveformStyle } from "../src/lib/waveforms.js";

/** Ten samples per second: a sweep of sixty places. */
const sweepOf = (...strips: [startedAt: number, samples: (number | null)[]][]) => {
  const sweep = new Sweep(10);
  for (const [startedAt, samples] of strips) sweep.push(startedAt, samples);
  return sweep;
};
const places = ({ values }: Sweep, from: number, to: number) => [...values.slice(from, to)];

test("every moment has its place, and a new sample overwrites the one of a sweep ago", () => {
  const sweep = sweepOf([6_000, [1, 2, 3]], [6_300, [4]]);
  expect(places(sweep, 0, 5)).toEqual([1, 2, 3, 4, NaN]);
  sweep.push(6_400, Array(56).fill(0));
  expect(sweep.head).toBe(0);
  sweep.push(12_000, [7]);
  expect(places(sweep, 0, 3)).toEqual([7, 2, 3]);
});

test("a strip that begins a little early or late continues the one before", () => {
  expect(places(sweepOf([6_000, [1, 2]], [6_250, [3]], [6_260, [4]]), 0, 5)).toEqual([1, 2, 3, 4, NaN]);
});

test("a lost strip leaves a blank over what was there a sweep ago, and so does a sample that is none", () => {
  const sweep = sweepOf([6_000, Array(60).fill(9)], [12_000, [1]], [12_300, [4, null, 6]]);
  expect(places(sweep, 0, 7)).toEqual([1, NaN, NaN, 4, NaN, 6, 9]);
});

test("a silence longer than a sweep leaves nothing", () => {
  const sweep = sweepOf([6_000, Array(60).fill(9)], [3_600_000, [1]]);
  expect(sweep.values.filter((value) => !Number.isNaN(value))).toEqual(Float32Array.of(1));
});

test("a strip that comes twice or late adds only what is new; a clock that was set back begins anew", () => {
  const sweep = sweepOf([6_000, [1, 2, 3, 4]], [6_000, [5, 5, 5, 5, 5]]);
  expect(places(sweep, 0, 6)).toEqual([1, 2, 3, 4, 5, NaN]);
  sweep.push(3_600_400, [1]);
  sweep.push(60_000, [2, 3]);
  expect(places(sweep, 0, 6)).toEqual([2, 3, NaN, NaN, NaN, NaN]);
});

test("the height shows all values, and never less than the signal's span", () => {
  expect(rangeOf(Float32Array.of(NaN, 1, 3), 1)).toEqual([1, 3]);
  expect(rangeOf(Float32Array.of(1, NaN), 4)).toEqual([-1, 3]);
  expect(rangeOf(Float32Array.of(NaN), 4)).toEqual([-2, 2]);
});

test("signals have names that people use, also those of a later server", () => {
  expect(["ecg_lead_ii", "ecg_lead_avr", "ecg_lead_v3", "pleth", "brain_waves"].map((name) => waveformStyle(name).label)).toEqual([
    "ECG, lead II",
    "ECG, lead aVR",
    "ECG, lead V3",
    "Pulse wave",
    "Brain waves",
  ]);
});

const TOPIC = "health:patient-1";
let handler: Required<Pick<TopicHandler, "waveform" | "presence" | "subscribed" | "denied">>;
let subscribed: SubscribeOptions[];
let unsubscribed: number;
let present: PresentUser[] | Error;
let frames: (() => void)[];
let signals: LiveSignals;

const strip = (waveform: string, startedAt: number, rate = 10) => {
  const data = { patient: "patient-1", author: "device-1", waveform, unit: "mV", sample_rate_hz: rate, samples: [1] };
  const started_at = new Date(startedAt).toISOString();
  handler.waveform({ type: "health_waveform", timestamp: started_at, topic: TOPIC, data: { ...data, started_at } });
};
const user = (user_id: string, role = "nurse", watching = true) => ({ user_id, role, since: "2026-11-23T07:00:00Z", watching });

async function drawn() {
  await new Promise((resolve) => setImmediate(resolve));
  for (const draw of frames.splice(0)) draw();
  return signals.signals;
}

beforeEach(() => {
  subscribed = [];
  unsubscribed = 0;
  frames = [];
  present = [];
  const client = {
    user: { user_id: "me" },
    subscribe: (_: string, given: typeof handler, options: SubscribeOptions) => {
      handler = given;
      subscribed.push(options);
      return { position: undefined, unsubscribe: () => unsubscribed++ };
    },
    presence: async () => {
      if (present instanceof Error) throw present;
      return present;
    },
  } as unknown as HealthMateClient;
  signals = new LiveSignals(TOPIC, client, (draw) => frames.push(draw), () => 5_000);
  signals.start({ epoch: "e1", offset: 7 });
});

test("it listens once, from where the measurements stand", () => {
  signals.start({ epoch: "e1", offset: 9 });
  expect(subscribed).toEqual([{ include: ["waveform", "presence"], since: { epoch: "e1", offset: 7 } }]);
});

test("strips of a burst are drawn once, each signal by itself", async () => {
  strip("ecg_lead_ii", 6_000);
  strip("ecg_lead_ii", 6_100);
  strip("pleth", 6_000);
  expect(frames).toHaveLength(1);
  const [ecg, pleth] = await drawn();
  expect([ecg!.waveform, ecg!.heardAt, pleth!.waveform]).toEqual(["ecg_lead_ii", 5_000, "pleth"]);
  expect(places(ecg!.sweep, 0, 3)).toEqual([1, 1, NaN]);
  strip("ecg_lead_ii", 6_200);
  expect((await drawn())[0]).not.toBe(ecg);
});

test("a signal that comes at another rate begins anew", async () => {
  strip("ecg_lead_ii", 6_000);
  strip("ecg_lead_ii", 6_100, 20);
  expect((await drawn()).map(({ sweep }) => sweep.rate)).toEqual([20]);
});

test("the others who watch are shown, whenever somebody comes or goes", async () => {
  present = [user("me"), user("doctor-1", "doctor"), user("nurse-2", "nurse", false), user("device-1", "device")];
  handler.subscribed({ topic: TOPIC, epoch: "e1", head: 7 });
  await drawn();
  expect(signals.watchers.map(({ user_id }) => user_id)).toEqual(["doctor-1"]);
  present = [user("me")];
  handler.presence({} as Parameters<typeof handler.presence>[0]);
  await drawn();
  expect(signals.watchers).toEqual([]);
});

test("of a server that does not tell, nobody is known to watch", async () => {
  present = new Error("unknown_type");
  handler.subscribed({ topic: TOPIC, epoch: "e1", head: 7 });
  await drawn();
  expect(signals.watchers).toEqual([]);
});

test("stopped, it holds nothing and can be started again", async () => {
  present = [user("doctor-1")];
  handler.subscribed({ topic: TOPIC, epoch: "e1", head: 7 });
  strip("ecg_lead_ii", 6_000);
  await drawn();
  signals.stop();
  expect(await drawn()).toEqual([]);
  expect(signals.watchers).toEqual([]);
  expect(unsubscribed).toBe(1);
  signals.start(undefined);
  expect(subscribed.at(-1)).toEqual({ include: ["waveform", "presence"] });
});

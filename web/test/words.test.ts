import { expect, test } from "vitest";
import { peopleFirst } from "../src/lib/api.js";
import { ago } from "../src/lib/clock.svelte.js";
import { describeChart, extentOf } from "../src/lib/describe.js";
import { compareMetrics, formatTime, metricStyle } from "../src/lib/metrics.js";
import { Ring } from "../src/lib/ring.js";
import { sparkline } from "../src/lib/sparkline.js";
import { trendOf } from "../src/lib/trend.js";
import { WINDOWS } from "../src/lib/windows.js";

function ringOf(values: number[]): Ring {
  const ring = new Ring(100);
  values.forEach((value, index) => ring.push(index, value));
  return ring;
}

test.each([
  ["rising", [60, 60, 60, 60, 60, 70, 70, 70, 70, 70]],
  ["falling", [70, 70, 70, 70, 70, 60, 60, 60, 60, 60]],
  ["steady", [60, 61, 60, 61, 60, 61, 60, 61, 60, 61]],
  ["unknown", [60, 70, 80]],
])("ten points that are %s", (trend, values) => {
  expect(trendOf(ringOf(values), 2)).toBe(trend);
});

test("a chart in words names latest value, unit, trend, time and extent", () => {
  const ring = ringOf([60, 61, 72]);
  const style = metricStyle("heart_rate", "/min");
  const time = Date.UTC(2026, 10, 23, 7, 5, 9) / 1000;
  const reading = { metric: "heart_rate", ring, style, value: 72, time, trend: "rising" as const };
  const words = describeChart(reading, extentOf(ring.since(0)), WINDOWS[0]!, time);
  expect(words).toBe(
    `Heart rate chart, last 1 min: latest 72 bpm, rising, taken ${formatTime(time, time)}; from 60 to 72 bpm`,
  );
});

test("a demo offers people, carers first, and no devices", () => {
  const roles = ["admin", "device", "patient", "nurse", "patient"];
  const signIns = roles.map((role, index) => ({ user: `demo-${index}`, name: "", role, token: "" }));
  expect(peopleFirst(signIns).map(({ user }) => user)).toEqual(["demo-3", "demo-2", "demo-4", "demo-0"]);
});

test("a sparkline fills its box with the newest sixty points", () => {
  const points = sparkline(ringOf(Array.from({ length: 100 }, (_, index) => index)), 1).split(" ");
  expect(points).toHaveLength(60);
  expect([points[0], points.at(-1)]).toEqual(["0.0,22.0", "100.0,2.0"]);
  expect(sparkline(ringOf([7]), 0)).toBe("0.0,12.0");
});

test("another day is shown with its date", () => {
  const time = new Date(2026, 10, 23, 7, 5, 9).getTime() / 1000;
  expect(formatTime(time, time)).toBe("07:05:09");
  expect(formatTime(time, time + 86_400)).toBe("23 Nov 2026, 07:05:09");
});

test("unknown metrics come last, under their own name and unit", () => {
  expect(metricStyle("pain_level", "{score}")).toMatchObject({ label: "Pain level", unit: "{score}" });
  expect(["pain_level", "glucose", "heart_rate"].sort(compareMetrics)).toEqual(["heart_rate", "glucose", "pain_level"]);
});

test.each([
  [4, "now"],
  [59, "59 s ago"],
  [60, "1 min ago"],
  [3600, "1 h ago"],
  [172_800, "2 d ago"],
])("%i seconds are %s", (seconds, words) => {
  expect(ago(0, seconds * 1000)).toBe(words);
});

import { formatTime } from "./metrics.js";
import type { Reading } from "./patient.svelte.js";
import type { Slice } from "./ring.js";
import type { TimeWindow } from "./windows.js";

/** What a slice's values span. */
export interface Extent {
  min: number;
  max: number;
  mean: number;
}

/** @param slice with at least one point */
export function extentOf({ values }: Slice): Extent {
  let min = Infinity;
  let max = -Infinity;
  let sum = 0;
  for (const value of values) {
    min = Math.min(min, value);
    max = Math.max(max, value);
    sum += value;
  }
  return { min, max, mean: sum / values.length };
}

/** A chart in words, for those who do not see it. */
export function describeChart(reading: Reading, { min, max }: Extent, shown: TimeWindow, now: number): string {
  const { label, unit, digits } = reading.style;
  const period = Number.isFinite(shown.seconds) ? `last ${shown.label}` : "all measurements";
  const trend = reading.trend === "unknown" ? "no trend yet" : reading.trend;
  const latest = `latest ${reading.value.toFixed(digits)} ${unit}, ${trend}, taken ${formatTime(reading.time, now)}`;
  return `${label} chart, ${period}: ${latest}; from ${min.toFixed(digits)} to ${max.toFixed(digits)} ${unit}`;
}

import type { Ring } from "./ring.js";

export type Trend = "rising" | "falling" | "steady" | "unknown";

/** Points on each side of the comparison. */
const SIDE = 5;

export const ARROWS: Record<Trend, string> = { rising: "↗", falling: "↘", steady: "→", unknown: "" };

/**
 * Compares the mean of the newest five points with that of the five before them.
 *
 * @param steady differences below this, in the metric's unit, are no trend
 */
export function trendOf(ring: Ring, steady: number): Trend {
  if (ring.length < 2 * SIDE) return "unknown";
  const mean = (from: number) => {
    let sum = 0;
    for (let place = from; place < from + SIDE; place++) sum += ring.value(place);
    return sum / SIDE;
  };
  const change = mean(ring.length - SIDE) - mean(ring.length - 2 * SIDE);
  if (Math.abs(change) < steady) return "steady";
  return change > 0 ? "rising" : change < 0 ? "falling" : "steady";
}

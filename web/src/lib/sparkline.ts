import type { Ring } from "./ring.js";

/** Points drawn. */
const POINTS = 60;
/** The box that the line fills. */
const WIDTH = 100;
const HEIGHT = 24;
const MARGIN = 2;

/**
 * The newest points of a metric as an SVG polyline in a box of 100 by 24.
 *
 * @param steady what counts as no change, so that noise does not fill the box
 */
export function sparkline(ring: Ring, steady: number): string {
  const first = Math.max(0, ring.length - POINTS);
  const places = Array.from({ length: ring.length - first }, (_, index) => first + index);
  const values = places.map((place) => ring.value(place));
  const [low, high] = [Math.min(...values), Math.max(...values)];
  const span = Math.max(high - low, steady * 10, Number.MIN_VALUE);
  const start = ring.time(first);
  const length = ring.time(ring.length - 1) - start || 1;
  const point = (place: number, index: number) => {
    const x = ((ring.time(place) - start) / length) * WIDTH;
    const y = HEIGHT / 2 - ((values[index]! - (low + high) / 2) / span) * (HEIGHT - 2 * MARGIN);
    return `${x.toFixed(1)},${y.toFixed(1)}`;
  };
  return places.map(point).join(" ");
}

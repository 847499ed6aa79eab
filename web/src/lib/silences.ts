/** Intervals that tell what is usual. */
const SAMPLE = 101;
/** How many times the usual interval counts as silence. */
const FACTOR = 6;
/** In seconds; shorter pauses are no silence even in the densest data. */
const AT_LEAST = 2;

/**
 * Where nothing was measured for much longer than usual: a line drawn across would show values that nobody took.
 *
 * @param times in seconds, in order
 * @returns places before which there was silence
 */
export function silences(times: ArrayLike<number>): number[] {
  const interval = (place: number) => times[place]! - times[place - 1]!;
  const first = Math.max(1, times.length - SAMPLE);
  const sample = Array.from({ length: Math.max(0, times.length - first) }, (_, index) => interval(first + index));
  sample.sort((a, b) => a - b);
  const limit = Math.max(AT_LEAST, FACTOR * (sample[sample.length >> 1] ?? 0));
  const places: number[] = [];
  for (let place = 1; place < times.length; place++) if (interval(place) > limit) places.push(place);
  return places;
}

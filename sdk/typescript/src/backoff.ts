export const FIRST_CEILING_MS = 250;
export const LAST_CEILING_MS = 30_000;

/**
 * How long to wait before an attempt: anywhere between zero and a ceiling that doubles from 0.25 s to 30 s ("full
 * jitter"), so that clients cut off together do not come back together.
 *
 * @param attempt 0 for the first attempt after a connection was lost
 * @param random uniform in [0, 1)
 * @returns milliseconds
 */
export function backoffDelay(attempt: number, random: () => number): number {
  // 2^7 quarter seconds is already above the last ceiling; larger powers would only lose precision.
  const ceiling = Math.min(LAST_CEILING_MS, FIRST_CEILING_MS * 2 ** Math.min(attempt, 7));
  return Math.floor(random() * ceiling);
}

/** How much of a signal is on the screen. */
export const SWEEP_SECONDS = 6;
/** Clocks of devices are not exact: a strip that begins so close to the end of the last one continues it. */
const JOINT_SECONDS = 0.05;

/**
 * The newest seconds of one signal, as a bedside monitor shows them: every moment has its place, and a new sample
 * overwrites the one of a sweep ago. NaN where nothing was measured.
 */
export class Sweep {
  readonly rate: number;
  readonly values: Float32Array;
  /** Number of the next sample, counted from 1970. */
  #next: number | undefined;

  /** @param rate samples per second */
  constructor(rate: number) {
    this.rate = rate;
    this.values = new Float32Array(Math.max(2, Math.round(rate * SWEEP_SECONDS))).fill(NaN);
  }

  /** Place of the next sample: the newest is before it, the oldest at or behind it. */
  get head(): number {
    return (this.#next ?? 0) % this.values.length;
  }

  /**
   * Adds a strip. One that leaves something out leaves a blank; of one that comes late, only what is new counts.
   *
   * @param startedAt of the first sample, in milliseconds since 1970
   */
  push(startedAt: number, samples: readonly (number | null)[]): void {
    const start = this.#place((startedAt * this.rate) / 1000);
    const next = this.#next ?? start;
    const blanks = Math.min(start - next, this.values.length);
    for (let blank = 0; blank < blanks; blank++) this.values[(next + blank) % this.values.length] = NaN;
    this.#next = Math.max(start, next);
    for (const sample of samples.slice(Math.max(0, next - start))) {
      this.values[this.head] = sample ?? NaN;
      this.#next++;
    }
  }

  /** Number of the first sample of a strip that says to begin at `exact`. */
  #place(exact: number): number {
    const next = this.#next;
    const start = Math.round(exact);
    if (next === undefined) return start;
    if (Math.abs(exact - next) <= this.rate * JOINT_SECONDS) return next;
    // A device whose clock was set back goes on from there.
    if (start < next - this.values.length) {
      this.values.fill(NaN);
      this.#next = start;
    }
    return start;
  }
}

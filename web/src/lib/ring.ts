/** A window of a ring, oldest first. */
export interface Slice {
  /** Seconds since 1970. */
  times: Float64Array;
  values: Float64Array;
}

/**
 * The newest points of one metric in order of time, in memory that never grows. A point that is newer than all others,
 * as live points are, costs no allocation; an older one is moved to its place.
 */
export class Ring {
  readonly capacity: number;
  readonly #times: Float64Array;
  readonly #values: Float64Array;
  #start = 0;
  #length = 0;

  constructor(capacity: number) {
    this.capacity = capacity;
    this.#times = new Float64Array(capacity);
    this.#values = new Float64Array(capacity);
  }

  get length(): number {
    return this.#length;
  }

  /** Time of the point at this place, counted from the oldest. */
  time(place: number): number {
    return this.#times[this.#slot(place)]!;
  }

  value(place: number): number {
    return this.#values[this.#slot(place)]!;
  }

  /** Adds a point; a full ring lets go of the oldest one, which may be the new one itself. */
  push(time: number, value: number): void {
    if (this.#length === this.capacity) {
      if (time < this.time(0)) return;
      this.#start = this.#slot(1);
      this.#length--;
    }
    let place = this.#length++;
    for (; place > 0 && this.time(place - 1) > time; place--) this.#put(place, this.time(place - 1), this.value(place - 1));
    this.#put(place, time, value);
  }

  /**
   * Adds many points that are mostly older than the ones held, such as a page of history.
   *
   * @param points in any order
   */
  merge(points: readonly { time: number; value: number }[]): void {
    const held = Array.from({ length: this.#length }, (_, place) => ({ time: this.time(place), value: this.value(place) }));
    const newest = [...points, ...held].sort((a, b) => a.time - b.time).slice(-this.capacity);
    this.clear();
    for (const { time, value } of newest) this.#put(this.#length++, time, value);
  }

  /** The points taken at or after `since`, copied. */
  since(since: number): Slice {
    const first = this.#firstAtOrAfter(since);
    const count = this.#length - first;
    const slice = { times: new Float64Array(count), values: new Float64Array(count) };
    for (let index = 0; index < count; index++) {
      slice.times[index] = this.time(first + index);
      slice.values[index] = this.value(first + index);
    }
    return slice;
  }

  clear(): void {
    this.#start = 0;
    this.#length = 0;
  }

  #slot(place: number): number {
    return (this.#start + place) % this.capacity;
  }

  #put(place: number, time: number, value: number): void {
    const slot = this.#slot(place);
    this.#times[slot] = time;
    this.#values[slot] = value;
  }

  #firstAtOrAfter(since: number): number {
    let low = 0;
    let high = this.#length;
    while (low < high) {
      const middle = (low + high) >> 1;
      if (this.time(middle) < since) low = middle + 1;
      else high = middle;
    }
    return low;
  }
}

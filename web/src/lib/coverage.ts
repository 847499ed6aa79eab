/** Offsets `from` to `to`, both included. */
export interface OffsetRange {
  from: number;
  to: number;
}

/** Which offsets of a topic are held, as ranges that neither touch nor overlap, in order. */
export class Coverage {
  #ranges: OffsetRange[] = [];

  get first(): number | undefined {
    return this.#ranges[0]?.from;
  }

  get last(): number | undefined {
    return this.#ranges.at(-1)?.to;
  }

  /** What lies between the first and the last offset and is not held. */
  get holes(): OffsetRange[] {
    return this.#ranges.slice(1).map((range, index) => ({ from: this.#ranges[index]!.to + 1, to: range.from - 1 }));
  }

  /** How many offsets lie in the holes. */
  get missing(): number {
    return this.holes.reduce((sum, hole) => sum + hole.to - hole.from + 1, 0);
  }

  /** The parts of a range that are not held. */
  missingIn({ from, to }: OffsetRange): OffsetRange[] {
    const parts: OffsetRange[] = [];
    let next = from;
    for (const range of this.#ranges) {
      if (range.to < next) continue;
      if (range.from > to) break;
      if (range.from > next) parts.push({ from: next, to: range.from - 1 });
      next = range.to + 1;
    }
    if (next <= to) parts.push({ from: next, to });
    return parts;
  }

  /** @returns false when the offset was held already */
  add(offset: number): boolean {
    const ranges = this.#ranges;
    // From the end: live events almost always follow the last one.
    let index = ranges.length;
    while (index > 0 && ranges[index - 1]!.from > offset) index--;
    const before = ranges[index - 1];
    const after = ranges[index];
    if (before !== undefined && offset <= before.to) return false;
    const joinsBefore = before?.to === offset - 1;
    const joinsAfter = after?.from === offset + 1;
    if (joinsBefore && joinsAfter) ranges.splice(index - 1, 2, { from: before.from, to: after.to });
    else if (joinsBefore) before.to = offset;
    else if (joinsAfter) after.from = offset;
    else ranges.splice(index, 0, { from: offset, to: offset });
    return true;
  }

  clear(): void {
    this.#ranges = [];
  }
}

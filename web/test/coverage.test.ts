import { expect, test } from "vitest";
import { Coverage } from "../src/lib/coverage.js";

function covering(...offsets: number[]): Coverage {
  const coverage = new Coverage();
  for (const offset of offsets) coverage.add(offset);
  return coverage;
}

test("offsets in any order join into ranges", () => {
  const coverage = covering(5, 3, 9, 4, 10, 1);
  expect(coverage.first).toBe(1);
  expect(coverage.last).toBe(10);
  expect(coverage.holes).toEqual([{ from: 2, to: 2 }, { from: 6, to: 8 }]);
  expect(coverage.missing).toBe(4);
});

test("the last piece closes a hole", () => {
  const coverage = covering(1, 3, 2);
  expect(coverage.holes).toEqual([]);
  expect(coverage.missing).toBe(0);
});

test("an offset that is held already is told apart", () => {
  const coverage = covering(1, 2, 5);
  expect([1, 2, 5].map((offset) => coverage.add(offset))).toEqual([false, false, false]);
  expect(coverage.add(3)).toBe(true);
});

test("what of a range is not held", () => {
  const coverage = covering(4, 5, 8);
  expect(coverage.missingIn({ from: 1, to: 10 })).toEqual([
    { from: 1, to: 3 },
    { from: 6, to: 7 },
    { from: 9, to: 10 },
  ]);
  expect(coverage.missingIn({ from: 4, to: 5 })).toEqual([]);
  expect(new Coverage().missingIn({ from: 2, to: 3 })).toEqual([{ from: 2, to: 3 }]);
});

test("any order of all offsets ends without holes", () => {
  const coverage = covering();
  // 37 and 101 have no common divisor: every offset comes once, far apart from the one before.
  for (let index = 0; index < 101; index++) expect(coverage.add(((index * 37) % 101) + 1)).toBe(true);
  expect([coverage.first, coverage.last, coverage.missing]).toEqual([1, 101, 0]);
});

import { expect, test } from "vitest";
import { silences } from "../src/lib/silences.js";

test("a pause of more than six usual intervals is a silence", () => {
  expect(silences([0, 1, 2, 3, 9, 10, 11])).toEqual([]);
  expect(silences([0, 1, 2, 3, 9.1, 10.1, 11.1])).toEqual([4]);
});

test("what is usual depends on the data", () => {
  const fiveMinutes = Array.from({ length: 20 }, (_, index) => index * 300);
  expect(silences(fiveMinutes)).toEqual([]);
  expect(silences([...fiveMinutes, 20 * 300 + 1800])).toEqual([20]);
});

test("dense data may pause for two seconds, and too little data has no silence", () => {
  expect(silences([0, 0, 0, 0, 2, 2, 2, 2])).toEqual([]);
  expect(silences([])).toEqual([]);
  expect(silences([5])).toEqual([]);
});

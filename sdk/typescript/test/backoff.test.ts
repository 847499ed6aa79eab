import { expect, test } from "vitest";
import { backoffDelay } from "../src/backoff.js";

const largest = () => 1 - Number.EPSILON;

test("the ceiling doubles from a quarter of a second to thirty seconds", () => {
  const ceilings = [0, 1, 2, 3, 4, 5, 6, 7, 8, 1000].map((attempt) => backoffDelay(attempt, largest) + 1);
  expect(ceilings).toEqual([250, 500, 1000, 2000, 4000, 8000, 16000, 30000, 30000, 30000]);
});

test("the delay is spread over everything below the ceiling", () => {
  expect(backoffDelay(9, () => 0)).toBe(0);
  expect(backoffDelay(9, () => 0.5)).toBe(15000);
});

import { expect, test } from "vitest";
import { Ring } from "../src/lib/ring.js";

function ringOf(capacity: number, ...times: number[]): Ring {
  const ring = new Ring(capacity);
  for (const time of times) ring.push(time, time * 10);
  return ring;
}

const times = (ring: Ring, since = -Infinity) => [...ring.since(since).times];

test("a full ring lets go of the oldest point", () => {
  const ring = ringOf(3, 1, 2, 3, 4, 5);
  expect(times(ring)).toEqual([3, 4, 5]);
  expect([...ring.since(0).values]).toEqual([30, 40, 50]);
});

test("a late point takes its place in time", () => {
  expect(times(ringOf(5, 1, 4, 2, 3))).toEqual([1, 2, 3, 4]);
  expect(times(ringOf(3, 1, 2, 5, 4))).toEqual([2, 4, 5]);
});

test("a point older than all of a full ring is not kept", () => {
  expect(times(ringOf(3, 2, 3, 4, 1))).toEqual([2, 3, 4]);
});

test("history joins what came live, the newest win", () => {
  const ring = ringOf(4, 5, 6);
  ring.merge([3, 1, 2].map((time) => ({ time, value: time * 10 })));
  expect(times(ring)).toEqual([2, 3, 5, 6]);
  ring.push(7, 70);
  expect(times(ring)).toEqual([3, 5, 6, 7]);
  expect([...ring.since(0).values]).toEqual([30, 50, 60, 70]);
});

test("a window begins with the first point at or after its start", () => {
  const ring = ringOf(4, 1, 2, 3, 4, 5, 6);
  expect(times(ring, 4)).toEqual([4, 5, 6]);
  expect(times(ring, 4.5)).toEqual([5, 6]);
  expect(times(ring, 7)).toEqual([]);
});

test("points of the same time are all kept, in the order they came", () => {
  const ring = new Ring(4);
  for (const value of [1, 2, 3]) ring.push(9, value);
  expect([...ring.since(0).values]).toEqual([1, 2, 3]);
});

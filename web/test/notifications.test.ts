import type { TopicHandler } from "@healthmate/client";
import { expect, test } from "vitest";
import type { Api } from "../src/lib/api.js";
import { type ListedNotification, Notifications } from "../src/lib/notifications.svelte.js";

const notice = (id: string): ListedNotification => ({
  id,
  kind: "break_glass",
  priority: "urgent",
  title: `title ${id}`,
  body: "body",
  created_at: "2026-11-23T07:00:00Z",
});

function bench(held: ListedNotification[]) {
  let handler: TopicHandler | undefined;
  const client = {
    subscribe: (_topic: string, given: TopicHandler) => {
      handler = given;
      return { position: undefined, unsubscribe() {} };
    },
  };
  const unseen = () => held.filter(({ seen_at }) => seen_at === undefined).length;
  const api = {
    notifications: async () => ({ notifications: [...held], unseen: unseen() }),
    seeNotification: async (id: string) => {
      held = held.map((one) => (one.id === id ? { ...one, seen_at: "2026-11-23T07:00:01Z" } : one));
    },
  };
  const notifications = new Notifications(client, api as unknown as Api);
  const subscribed = () => handler?.subscribed?.({ topic: "notifications:u", epoch: "e", head: held.length });
  const event = (data: ListedNotification) =>
    handler?.notification?.({ type: "notification", timestamp: data.created_at, topic: "notifications:u", offset: 1, data });
  return { notifications, subscribed, event };
}

const settled = () => new Promise((resolve) => setTimeout(resolve));

test("what was told before and what is told now is listed once, the newest first", async () => {
  const { notifications, subscribed, event } = bench([notice("b"), notice("a")]);
  subscribed();
  await settled();
  expect([notifications.list.map(({ id }) => id), notifications.unseen]).toEqual([["b", "a"], 2]);
  event(notice("c"));
  event(notice("b"));
  expect([notifications.list.map(({ id }) => id), notifications.unseen]).toEqual([["c", "b", "a"], 3]);
});

test("what is seen counts no longer", async () => {
  const { notifications, subscribed } = bench([notice("b"), notice("a")]);
  subscribed();
  await settled();
  await notifications.see("a");
  expect([notifications.unseen, notifications.list.map(({ seen_at }) => seen_at !== undefined)]).toEqual([1, [false, true]]);
});

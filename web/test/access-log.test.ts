import { expect, test } from "vitest";
import { AccessLog } from "../src/lib/access-log.svelte.js";
import { whatWasDone, whoDid, whyNot } from "../src/lib/access-words.js";
import { type Access, Api } from "../src/lib/api.js";

const line = (user: string, more: Partial<Access> = {}): Access => ({
  at: "2026-11-23T07:00:00Z",
  actor: "user",
  user,
  role: "nurse",
  action: "read",
  object: "measurements",
  reason: "care_team",
  outcome: "success",
  ...more,
});

/** A server that holds these lines, the newest first; `refuse` answers in its place. */
function bench(held: Access[]) {
  const asked: string[] = [];
  let refuse: (() => Promise<Response>) | undefined;
  const answer = async (path: string): Promise<Response> => {
    asked.push(path);
    if (refuse !== undefined) return refuse();
    const query = new URL(path, "http://server").searchParams;
    const from = Number(query.get("cursor") ?? 0);
    const to = from + Number(query.get("limit"));
    const accesses = held.slice(from, to);
    const names = Object.fromEntries(accesses.map(({ user = "" }) => [user, `Name of ${user}`]));
    return Response.json({ accesses, names, ...(accesses.length === to - from && { next_cursor: String(to) }) });
  };
  const log = new AccessLog("ada", new Api("secret", (path) => answer(String(path))), () => "ada");
  return { log, asked, refuse: (how: typeof refuse) => (refuse = how) };
}

const lines = (count: number, user: string) => Array.from({ length: count }, () => line(user));

test("pages join, and end with the last one", async () => {
  const { log, asked } = bench([...lines(50, "nora"), ...lines(10, "dan")]);
  await log.load();
  expect([log.shown.length, log.more]).toEqual([50, true]);
  await log.older();
  expect([log.shown.length, log.more, log.names["dan"]]).toEqual([60, false, "Name of dan"]);
  expect(asked).toEqual(["?limit=50", "?limit=50&cursor=50"].map((query) => `/v1/patients/ada/access-log${query}`));
  await log.load();
  expect([log.shown.length, log.more]).toEqual([50, true]);
});

test("what the reader did can be left out, and then the next pages are read until somebody else is found", async () => {
  const { log, asked } = bench([...lines(120, "ada"), line("nora"), ...lines(400, "ada")]);
  log.onlyOthers = true;
  await log.load();
  expect(log.shown.map(({ user }) => user)).toEqual(["nora"]);
  expect(asked).toHaveLength(3);
  await log.older();
  expect([log.shown.length, log.more]).toEqual([1, false]);
  log.onlyOthers = false;
  expect(log.shown).toHaveLength(521);
});

test("after a cut the lines stay, with a sentence; who may not see them any more sees none", async () => {
  const { log, refuse } = bench([line("nora")]);
  await log.load();
  refuse(() => Promise.reject(new TypeError("Failed to fetch")));
  await log.load();
  expect([log.shown.length, log.problem]).toEqual([1, "the server cannot be reached: try again once the connection is back"]);
  refuse(async () => Response.json({ detail: "you are not in this patient's care team" }, { status: 403 }));
  await log.load();
  expect([log.accesses, log.problem]).toEqual([undefined, "you are not in this patient's care team"]);
  refuse(undefined);
  await log.load();
  expect([log.shown.length, log.problem]).toEqual([1, undefined]);
});

test.each<[Partial<Access>, string, string | undefined]>([
  [{ action: "subscribe", object: "health:ada" }, "opened the live measurements", undefined],
  [{ action: "subscribe", object: "notifications:ada" }, "opened the notifications", undefined],
  [{ object: "measurements:heart_rate" }, "read heart rate", undefined],
  [{ object: "access_log" }, "looked at who saw this data", undefined],
  [{ outcome: "denied", reason: "not_in_care_team" }, "wanted to read measurements", "Refused: not in the care team"],
  [{ outcome: "denied", reason: "new_reason" }, "wanted to read measurements", "Refused: new reason"],
  [{ outcome: "failed" }, "wanted to read measurements", "Not done"],
  [{ action: "access_granted", object: "user:dan" }, "set the access of Dan Weber", undefined],
  [
    { action: "access_granted", object: "user:dan", reason: "vitals,chat 2026-11-26T08:00:00Z/.." },
    "set the access of Dan Weber to vitals, chat",
    undefined,
  ],
  [{ action: "access_ended", object: "user:gone" }, "ended the access of gone", undefined],
  [{ action: "break_glass_started", object: "user:nora" }, "opened this data in an emergency", undefined],
  [{ action: "new_action", object: "new_thing" }, "new action new thing", undefined],
])("%o in words", (access, what, refused) => {
  expect([whatWasDone(line("nora", access), { dan: "Dan Weber" }), whyNot(line("nora", access))]).toEqual([what, refused]);
});

test("who it was: you, a name, an id, or nobody's", () => {
  const { user: _, ...nobody } = line("nora");
  expect(whoDid(line("ada"), { ada: "Ada" }, true)).toBe("You");
  expect(whoDid(line("nora"), { nora: "Nora Lind" }, false)).toBe("Nora Lind");
  expect(whoDid(line("nora"), {}, false)).toBe("nora");
  expect(whoDid({ ...nobody, actor: "command_line" }, {}, false)).toBe("An operator of the server");
});

import { beforeEach, expect, test, vi } from "vitest";
import { kept, withPassword } from "../src/lib/access.js";

/** What the tab keeps. */
let stored: Map<string, string>;
let answers: ((response: Response) => void)[];

beforeEach(() => {
  stored = new Map();
  answers = [];
  vi.stubGlobal("sessionStorage", {
    getItem: (key: string) => stored.get(key) ?? null,
    setItem: (key: string, value: string) => void stored.set(key, value),
    removeItem: (key: string) => void stored.delete(key),
  });
  vi.stubGlobal("location", { origin: "https://health.example" });
  vi.stubGlobal("fetch", () => new Promise<Response>((resolve) => answers.push(resolve)));
});

/** Answers the oldest request with tokens; an access token of no seconds is exchanged at its first use. */
async function give(number: number): Promise<void> {
  const tokens = { user: "nora", access_token: `a${number}`, expires_in: 0, refresh_token: `r${number}` };
  answers.shift()?.(Response.json(tokens));
  await new Promise((resolve) => setTimeout(resolve));
}

async function signedIn() {
  const signingIn = withPassword("nora", "secret");
  await give(1);
  return signingIn;
}

test("the tab keeps the newest refresh token, and nothing else", async () => {
  const access = await signedIn();
  expect([...stored]).toEqual([["healthmate.refresh", "r1"]]);
  const token = (access.token as () => Promise<string>)();
  await give(2);
  expect(await token).toBe("a2");
  expect([...stored]).toEqual([["healthmate.refresh", "r2"]]);
  expect(kept.load()).toBeDefined();
});

test("an exchange that is under way when the user signs out leaves no token behind", async () => {
  const access = await signedIn();
  void access.signOut();
  kept.forget();
  await give(2);
  expect([...stored]).toEqual([]);
  expect(kept.load()).toBeUndefined();
});

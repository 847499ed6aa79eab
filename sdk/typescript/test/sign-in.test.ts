import { expect, test } from "vitest";
import { HealthMateError } from "../src/errors.js";
import { SignIn } from "../src/sign-in.js";

/** A server that gives tokens which are good for 900 s, and remembers what it was asked. */
class Server {
  now = 0;
  asked: { path: string; body: any; authorization: string | null }[] = [];
  refusal: { status: number; body: object } | undefined;
  #given = 0;

  readonly options = {
    url: "https://health.example/base/",
    now: () => this.now,
    fetch: (async (url: string, init: RequestInit) => {
      const authorization = new Headers(init.headers).get("Authorization");
      this.asked.push({ path: new URL(url).pathname, body: JSON.parse(String(init.body)), authorization });
      if (this.refusal !== undefined) return Response.json(this.refusal.body, { status: this.refusal.status });
      if (url.endsWith("/logout")) return new Response(null, { status: 204 });
      const n = ++this.#given;
      return Response.json({ user: "nora", access_token: `access-${n}`, expires_in: 900, refresh_token: `refresh-${n}` });
    }) as typeof fetch,
  };
}

const PATH = "/base/v1/auth";

test("a password gives a token that is kept until it is about to end", async () => {
  const server = new Server();
  const signIn = await SignIn.withPassword(server.options, "nora", "secret", "a test");
  expect(server.asked[0]).toEqual({
    path: `${PATH}/login`,
    body: { user: "nora", password: "secret", label: "a test" },
    authorization: null,
  });
  const kept: string[] = [];
  signIn.onRefreshToken((token) => kept.push(token));
  expect(await signIn.token()).toBe("access-1");
  server.now = 630_000 - 1;
  expect(await signIn.token()).toBe("access-1");
  server.now = 630_000;
  expect(await signIn.token()).toBe("access-2");
  expect(server.asked[1]).toEqual({ path: `${PATH}/refresh`, body: { refresh_token: "refresh-1" }, authorization: null });
  expect([kept, signIn.refreshToken]).toEqual([["refresh-2"], "refresh-2"]);
});

test("two who ask at once share one exchange", async () => {
  const server = new Server();
  const signIn = new SignIn(server.options, "kept");
  expect(await Promise.all([signIn.token(), signIn.token()])).toEqual(["access-1", "access-1"]);
  expect(server.asked.map(({ body }) => body)).toEqual([{ refresh_token: "kept" }]);
});

test("a sign-in that was ended is told; a server that is away is asked again", async () => {
  const server = new Server();
  const signIn = new SignIn(server.options, "kept");
  const ended: string[] = [];
  signIn.onEnded(({ code }) => ended.push(code));
  server.refusal = { status: 503, body: { code: "storage_unavailable", detail: "later", retry: true } };
  await expect(signIn.token()).rejects.toThrow("later");
  expect(ended).toEqual([]);
  server.refusal = { status: 401, body: { code: "token_revoked", detail: "sign in again", retry: false } };
  await expect(signIn.token()).rejects.toBeInstanceOf(HealthMateError);
  expect(ended).toEqual(["token_revoked"]);
});

test("a wrong password and an answer that is no JSON are errors", async () => {
  const server = new Server();
  server.refusal = { status: 401, body: { code: "sign_in_refused", detail: "no", retry: false } };
  await expect(SignIn.withPassword(server.options, "nora", "wrong")).rejects.toMatchObject({ code: "sign_in_refused" });
  const broken = { ...server.options, fetch: (async () => new Response("oops", { status: 502 })) as typeof fetch };
  await expect(SignIn.withPassword(broken, "nora", "wrong")).rejects.toMatchObject({ code: "internal", retry: true });
});

test("signing out says so with the access token", async () => {
  const server = new Server();
  const signIn = await SignIn.withPassword(server.options, "nora", "secret");
  await signIn.signOut({ everywhere: true });
  expect(server.asked[1]).toEqual({ path: `${PATH}/logout`, body: { everywhere: true }, authorization: "Bearer access-1" });
});

test("a server that cannot be reached has a code, and ends no sign-in", async () => {
  const server = new Server();
  const away = { ...server.options, fetch: () => Promise.reject(new TypeError("Failed to fetch")) };
  const problem = { name: "HealthMateError", code: "unreachable", message: "the server cannot be reached", retry: true };
  await expect(SignIn.withPassword(away, "nora", "secret")).rejects.toMatchObject(problem);
  const signIn = new SignIn(away, "kept");
  const ended: string[] = [];
  signIn.onEnded(({ code }) => ended.push(code));
  await expect(signIn.token()).rejects.toMatchObject(problem);
  expect(ended).toEqual([]);
});

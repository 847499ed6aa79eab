import { expect, test } from "vitest";
import { Passkeys, passkeysOffered } from "../src/passkeys.js";
import { SignIn } from "../src/sign-in.js";

const bytes = (...values: number[]) => new Uint8Array(values).buffer;

/** A server and an authenticator that remember what they were asked. */
class World {
  asked: { method: string; path: string; body: any; authorization: string | null }[] = [];
  refusal: { status: number; body: object } | undefined;
  /** What the authenticator was asked for. */
  wanted: any;
  throws: Error | undefined;

  readonly options = {
    url: "https://health.example",
    fetch: (async (url: string, init: RequestInit) => {
      const authorization = new Headers(init.headers).get("Authorization");
      const { pathname } = new URL(url);
      const body = init.body === undefined ? undefined : JSON.parse(String(init.body));
      this.asked.push({ method: init.method ?? "GET", path: pathname, body, authorization });
      if (this.refusal !== undefined) return Response.json(this.refusal.body, { status: this.refusal.status });
      if (init.method === "DELETE") return new Response(null, { status: 204 });
      if (pathname.endsWith("/sign-in/options")) return Response.json({ challenge: "-_8", rpId: "health.example" });
      if (pathname.endsWith("/options")) {
        const excludeCredentials = [{ type: "public-key", id: "AQ" }];
        return Response.json({ challenge: "-_8", user: { id: "Ag", name: "nora" }, excludeCredentials, timeout: 5 });
      }
      if (pathname.endsWith("/sign-in")) {
        return Response.json({ user: "nora", access_token: "access", expires_in: 900, refresh_token: "refresh" });
      }
      return Response.json(init.method === "GET" ? { passkeys: [{ id: "AQ" }] } : { id: "-_8", name: "Phone" });
    }) as typeof fetch,
    credentials: {
      create: async (wanted?: CredentialCreationOptions) => this.#give(wanted, {
        clientDataJSON: bytes(1), attestationObject: bytes(251, 255),
      }),
      get: async (wanted?: CredentialRequestOptions) => this.#give(wanted, {
        clientDataJSON: bytes(1), authenticatorData: bytes(2), signature: bytes(3), userHandle: bytes(4),
      }),
    },
  };

  #give(wanted: any, response: object): any {
    this.wanted = wanted.publicKey;
    if (this.throws !== undefined) throw this.throws;
    return { id: "-_8", type: "public-key", response };
  }
}

const PATH = "/v1/auth/passkeys";

test("a passkey is made of the server's options, and registered", async () => {
  const world = new World();
  const passkeys = new Passkeys(world.options, async () => "token");
  expect(await passkeys.add("Phone")).toEqual({ id: "-_8", name: "Phone" });
  expect([...world.wanted.challenge, ...world.wanted.user.id, ...world.wanted.excludeCredentials[0].id]).toEqual([251, 255, 2, 1]);
  expect(world.wanted).toMatchObject({ user: { name: "nora" }, timeout: 5 });
  const authorization = "Bearer token";
  const response = { clientDataJSON: "AQ", attestationObject: "-_8" };
  expect(world.asked).toEqual([
    { method: "POST", path: `${PATH}/options`, body: {}, authorization },
    {
      method: "POST",
      path: PATH,
      body: { name: "Phone", credential: { id: "-_8", type: "public-key", response } },
      authorization,
    },
  ]);
  await passkeys.add("Phone", "secret");
  expect(world.asked[2]?.body).toEqual({ password: "secret" });
});

test("passkeys are listed and removed", async () => {
  const world = new World();
  const passkeys = new Passkeys(world.options, "token");
  expect(await passkeys.list()).toEqual([{ id: "AQ" }]);
  expect(await passkeys.remove("a/b")).toBeUndefined();
  expect(world.asked.map(({ method, path }) => [method, path])).toEqual([["GET", PATH], ["DELETE", `${PATH}/a%2Fb`]]);
});

test("a passkey signs in", async () => {
  const world = new World();
  const signIn = await SignIn.withPasskey(world.options, "a test");
  expect([...world.wanted.challenge]).toEqual([251, 255]);
  const response = { clientDataJSON: "AQ", authenticatorData: "Ag", signature: "Aw", userHandle: "BA" };
  expect(world.asked[1]).toMatchObject({
    path: `${PATH}/sign-in`,
    body: { credential: { id: "-_8", type: "public-key", response }, label: "a test" },
  });
  expect([await signIn.token(), signIn.refreshToken]).toEqual(["access", "refresh"]);
});

test("what the browser throws has a code", async () => {
  const world = new World();
  const passkeys = new Passkeys(world.options, "token");
  for (const [name, code, retry] of [
    ["NotAllowedError", "passkey_cancelled", true],
    ["InvalidStateError", "passkey_exists", false],
    ["SecurityError", "passkey_unsupported", false],
  ] as const) {
    world.throws = Object.assign(new Error(name), { name });
    await expect(passkeys.add("Phone")).rejects.toMatchObject({ code, retry });
  }
  world.throws = undefined;
  world.refusal = { status: 403, body: { code: "sign_in_too_old", detail: "send it", field: "password", retry: false } };
  await expect(passkeys.add("Phone")).rejects.toMatchObject({ code: "sign_in_too_old", field: "password" });
  const { credentials, ...without } = new World().options;
  await expect(SignIn.withPasskey(without)).rejects.toMatchObject({ code: "passkey_unsupported" });
});

test("passkeys are offered where server and browser have them", async () => {
  const world = new World();
  expect(await passkeysOffered(world.options)).toBe(true);
  const { credentials, ...without } = world.options;
  expect(await passkeysOffered(without)).toBe(false);
  world.refusal = { status: 404, body: { code: "not_found" } };
  expect(await passkeysOffered(world.options)).toBe(false);
});

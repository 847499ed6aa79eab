import type { Token } from "./connection.js";
import { HealthMateError } from "./errors.js";
import { request, type RequestOptions } from "./request.js";

/** One of the user's passkeys. */
export interface Passkey {
  id: string;
  /** What the user calls it. */
  name: string;
  created_at: string;
  last_used_at?: string;
}

export interface PasskeyOptions extends RequestOptions {
  /** The browser's; a test has its own. */
  credentials?: Pick<CredentialsContainer, "create" | "get">;
}

/** The user's passkeys: adding, listing and removing them. Signing in with one is `SignIn.withPasskey`. */
export class Passkeys {
  readonly #options: PasskeyOptions;
  readonly #token: Token;

  /** @param token as for `HealthMateClient`; of a user, not an API token */
  constructor(options: PasskeyOptions, token: Token) {
    this.#options = options;
    this.#token = token;
  }

  /** The oldest first. */
  async list(): Promise<Passkey[]> {
    return (await this.#request("GET", "")).passkeys;
  }

  /**
   * Has the authenticator make a passkey, and registers it. Call it in the handler of a click.
   *
   * @param name what the user calls it, 1 to 64 characters
   * @param password needed where the user did not sign in lately
   * @throws HealthMateError `sign_in_too_old`: ask for the password; `passkey_exists`: this authenticator has one already;
   *   `passkey_cancelled`: the user would not, or took too long; `passkey_unsupported`
   */
  async add(name: string, password?: string): Promise<Passkey> {
    const options = await this.#request("POST", "/options", password === undefined ? {} : { password });
    const publicKey = {
      ...options,
      challenge: decoded(options.challenge),
      user: { ...options.user, id: decoded(options.user.id) },
      excludeCredentials: options.excludeCredentials.map((one: { id: string }) => ({ ...one, id: decoded(one.id) })),
    };
    const made = await attempt(() => container(this.#options).create({ publicKey }));
    const { clientDataJSON, attestationObject } = made.response as AuthenticatorAttestationResponse;
    const response = { clientDataJSON: encoded(clientDataJSON), attestationObject: encoded(attestationObject) };
    return this.#request("POST", "", { name, credential: { id: made.id, type: made.type, response } });
  }

  /** Nobody signs in with it any more. */
  async remove(id: string): Promise<void> {
    await this.#request("DELETE", `/${encodeURIComponent(id)}`);
  }

  async #request(method: "GET" | "POST" | "DELETE", path: string, body?: object): Promise<any> {
    const token = typeof this.#token === "string" ? this.#token : await this.#token();
    return request(this.#options, method, `${PATH}${path}`, { token, ...(body !== undefined && { body }) });
  }
}

/**
 * Whether this page can sign in with a passkey: the browser has them, the server takes them, and they are of this page's
 * domain.
 */
export async function passkeysOffered(options: PasskeyOptions): Promise<boolean> {
  if (options.credentials === undefined && !("PublicKeyCredential" in globalThis)) return false;
  const rpId = await request(options, "POST", `${PATH}/sign-in/options`).then(
    (told) => told.rpId as string,
    () => undefined,
  );
  const host = globalThis.location?.hostname;
  return rpId !== undefined && (host === undefined || host === rpId || host.endsWith(`.${rpId}`));
}

/** What an authenticator signed, for the server to check. */
export async function signedByPasskey(options: PasskeyOptions): Promise<object> {
  const told = await request(options, "POST", `${PATH}/sign-in/options`);
  const publicKey = { ...told, challenge: decoded(told.challenge) };
  const signed = await attempt(() => container(options).get({ publicKey }));
  const { clientDataJSON, authenticatorData, signature, userHandle } = signed.response as AuthenticatorAssertionResponse;
  const response = {
    clientDataJSON: encoded(clientDataJSON),
    authenticatorData: encoded(authenticatorData),
    signature: encoded(signature),
    userHandle: encoded(userHandle ?? new ArrayBuffer(0)),
  };
  return { id: signed.id, type: signed.type, response };
}

const PATH = "/v1/auth/passkeys";

function container(options: PasskeyOptions): Pick<CredentialsContainer, "create" | "get"> {
  const credentials = options.credentials ?? globalThis.navigator?.credentials;
  if (credentials === undefined) throw failure("passkey_unsupported", "this browser has no passkeys, or the page is not secure");
  return credentials;
}

/** What the browser gives; what it throws says little to people. */
async function attempt(ask: () => Promise<Credential | null>): Promise<PublicKeyCredential> {
  const given = await ask().catch((problem: unknown) => {
    const name = problem instanceof Error || problem instanceof DOMException ? problem.name : "";
    if (name === "InvalidStateError") throw failure("passkey_exists", "this device has a passkey of yours already");
    if (name === "NotSupportedError" || name === "SecurityError") {
      throw failure("passkey_unsupported", "this browser, or this page's address, cannot use passkeys of this server");
    }
    throw failure("passkey_cancelled", "no passkey was used", true);
  });
  if (given === null) throw failure("passkey_cancelled", "no passkey was used", true);
  return given as PublicKeyCredential;
}

const failure = (code: string, message: string, retry = false) => new HealthMateError({ code, message, retry });

/** Bytes, from base64url. */
function decoded(text: string): Uint8Array<ArrayBuffer> {
  const bytes = atob(text.replaceAll("-", "+").replaceAll("_", "/"));
  return Uint8Array.from(bytes, (byte) => byte.charCodeAt(0));
}

/** Base64url without padding. */
function encoded(bytes: ArrayBuffer): string {
  const text = btoa(Array.from(new Uint8Array(bytes), (byte) => String.fromCharCode(byte)).join(""));
  return text.replaceAll("+", "-").replaceAll("/", "_").replaceAll("=", "");
}

import { realNow } from "./environment.js";
import { HealthMateError } from "./errors.js";
import { Observers } from "./observers.js";
import { type PasskeyOptions, signedByPasskey } from "./passkeys.js";
import { request } from "./request.js";

/** An access token is exchanged once less than this part of its life is left. */
const LEFT = 0.3;

/** What the server gives for a password, a passkey or a refresh token. */
interface SignedIn {
  user: string;
  access_token: string;
  expires_in: number;
  refresh_token: string;
}

export interface SignInOptions extends PasskeyOptions {
  /** Milliseconds; a wall clock, so that waking from sleep is noticed. */
  now?: () => number;
}

/**
 * A sign-in of one user: keeps the access token in memory, and exchanges the refresh token when that is about to end.
 * Give `token` to `HealthMateClient`.
 */
export class SignIn {
  readonly #options: SignInOptions;
  readonly #kept = new Observers<string>();
  readonly #ended = new Observers<HealthMateError>();
  #refreshToken: string;
  #access: { token: string; bornAt: number; lifeMs: number } | undefined;
  /** Two who ask at once share one exchange: a refresh token is good once. */
  #exchange: Promise<string> | undefined;

  /** @param refreshToken the newest one of a sign-in that was begun before */
  constructor(options: SignInOptions, refreshToken: string) {
    this.#options = options;
    this.#refreshToken = refreshToken;
  }

  /**
   * Signs in with a password.
   *
   * @param label what this client calls itself in the user's list of sign-ins, 1 to 64 characters
   * @throws HealthMateError `sign_in_refused`, or `too_many_requests` after too many wrong passwords
   */
  static async withPassword(options: SignInOptions, user: string, password: string, label?: string): Promise<SignIn> {
    const body = { user, password, ...(label !== undefined && { label }) };
    return SignIn.#begun(options, await request(options, "POST", "/v1/auth/login", { body }));
  }

  /**
   * Signs in with a passkey, whosever it is. Call it in the handler of a click; `passkeysOffered` says whether it can work.
   *
   * @param label as for `withPassword`
   * @throws HealthMateError `sign_in_refused`, or `passkey_cancelled` where the user would not, or has none
   */
  static async withPasskey(options: SignInOptions, label?: string): Promise<SignIn> {
    const body = { credential: await signedByPasskey(options), ...(label !== undefined && { label }) };
    return SignIn.#begun(options, await request(options, "POST", "/v1/auth/passkeys/sign-in", { body }));
  }

  static #begun(options: SignInOptions, signedIn: SignedIn): SignIn {
    const signIn = new SignIn(options, signedIn.refresh_token);
    signIn.#take(signedIn);
    return signIn;
  }

  /** The newest refresh token: keep it where only this client can read it. */
  get refreshToken(): string {
    return this.#refreshToken;
  }

  /** An access token that is good for a while: the present one, or a fresh one. */
  readonly token = async (): Promise<string> => {
    const access = this.#access;
    if (access !== undefined && access.bornAt + access.lifeMs * (1 - LEFT) > this.#now()) return access.token;
    this.#exchange ??= this.#renew().finally(() => (this.#exchange = undefined));
    return this.#exchange;
  };

  /** Called with each new refresh token; the one before is good no more. */
  onRefreshToken(listener: (refreshToken: string) => void): () => void {
    return this.#kept.add(listener);
  }

  /** Called when the server has ended the sign-in. */
  onEnded(listener: (reason: HealthMateError) => void): () => void {
    return this.#ended.add(listener);
  }

  /** Ends the sign-in, or all of the user's, with their tokens and connections. */
  async signOut({ everywhere = false } = {}): Promise<void> {
    await request(this.#options, "POST", "/v1/auth/logout", { body: { everywhere }, token: await this.token() });
    this.#access = undefined;
  }

  async #renew(): Promise<string> {
    try {
      const body = { refresh_token: this.#refreshToken };
      const signedIn: SignedIn = await request(this.#options, "POST", "/v1/auth/refresh", { body });
      this.#take(signedIn);
      return signedIn.access_token;
    } catch (problem) {
      if (problem instanceof HealthMateError && !problem.retry) this.#ended.notify(problem);
      throw problem;
    }
  }

  #take({ access_token, expires_in, refresh_token }: SignedIn): void {
    this.#access = { token: access_token, bornAt: this.#now(), lifeMs: expires_in * 1000 };
    this.#refreshToken = refresh_token;
    this.#kept.notify(refresh_token);
  }

  #now(): number {
    return (this.#options.now ?? realNow)();
  }
}

import type { Environment } from "./environment.js";

/** Which part of a token's remaining life passes before the next one is fetched. */
const PART = 0.8;
const AT_LEAST_MS = 1_000;
/** What timers hold; longer ones would fire at once. */
const AT_MOST_MS = 2 ** 31 - 1;

/** Fetches a fresh token before the present one ends, so that an open connection can go on. */
export class Renewal {
  readonly #env: Pick<Environment, "now" | "setTimer">;
  readonly #fetch: () => Promise<string>;
  readonly #onToken: (token: string) => void;
  readonly #onProblem: (problem: unknown) => void;
  #endsAt = 0;
  #cancel: (() => void) | undefined;
  /** Tells a fetch that was overtaken that it was. */
  #generation = 0;

  constructor(
    env: Pick<Environment, "now" | "setTimer">,
    fetch: () => Promise<string>,
    onToken: (token: string) => void,
    onProblem: (problem: unknown) => void,
  ) {
    this.#env = env;
    this.#fetch = fetch;
    this.#onToken = onToken;
    this.#onProblem = onProblem;
  }

  /** @param lifeMs how long the present token is still good */
  start(lifeMs: number): void {
    this.stop();
    this.#endsAt = this.#env.now() + lifeMs;
    this.#arm();
  }

  /** Fetches now, unless a fetch is under way. */
  now(): void {
    if (this.#cancel === undefined) return;
    this.#cancel();
    this.#cancel = undefined;
    void this.#renew();
  }

  stop(): void {
    this.#generation++;
    this.#cancel?.();
    this.#cancel = undefined;
  }

  #arm(): void {
    const left = this.#endsAt - this.#env.now();
    if (left <= 0) return;
    const delay = Math.min(Math.max(PART * left, AT_LEAST_MS), AT_MOST_MS);
    this.#cancel = this.#env.setTimer(() => {
      this.#cancel = undefined;
      void this.#renew();
    }, delay);
  }

  async #renew(): Promise<void> {
    const generation = this.#generation;
    try {
      const token = await this.#fetch();
      if (generation === this.#generation) this.#onToken(token);
    } catch (problem) {
      if (generation !== this.#generation) return;
      this.#onProblem(problem);
      this.#arm();
    }
  }
}

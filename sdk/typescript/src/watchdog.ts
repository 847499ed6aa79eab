import type { Environment } from "./environment.js";

/**
 * Calls `onSilence` when nothing was heard for the limit. One timer serves many messages: hearing something only notes
 * the time, and the timer re-arms itself for what is left.
 */
export class Watchdog {
  readonly #env: Pick<Environment, "now" | "setTimer">;
  readonly #onSilence: () => void;
  #limitMs = 0;
  #heardAt = 0;
  #cancel: (() => void) | undefined;

  constructor(env: Pick<Environment, "now" | "setTimer">, onSilence: () => void) {
    this.#env = env;
    this.#onSilence = onSilence;
  }

  /** Starts anew with this limit in milliseconds. */
  start(limitMs: number): void {
    this.stop();
    this.#limitMs = limitMs;
    this.heard();
    this.#arm(limitMs);
  }

  heard(): void {
    this.#heardAt = this.#env.now();
  }

  stop(): void {
    this.#cancel?.();
    this.#cancel = undefined;
  }

  #arm(ms: number): void {
    this.#cancel = this.#env.setTimer(() => this.#look(), ms);
  }

  #look(): void {
    const left = this.#heardAt + this.#limitMs - this.#env.now();
    if (left > 0) return this.#arm(left);
    this.#cancel = undefined;
    this.#onSilence();
  }
}

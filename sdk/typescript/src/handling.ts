import type { DurableEvent } from "./protocol.js";

/**
 * Hands events to a handler one after the other, each once the handler is done with the one before: at once, or when
 * the promise that it returned resolves.
 */
export class Handling {
  readonly #handle: (event: DurableEvent) => unknown;
  readonly #done: (event: DurableEvent) => void;
  readonly #failed: (problem: unknown) => void;
  #waiting: DurableEvent[] = [];
  #inHand: DurableEvent | undefined;
  /** What becomes of the event in hand does not matter any more. */
  #disowned = false;

  constructor(
    handle: (event: DurableEvent) => unknown,
    done: (event: DurableEvent) => void,
    failed: (problem: unknown) => void,
  ) {
    this.#handle = handle;
    this.#done = done;
    this.#failed = failed;
  }

  /** Offset of the event that the handler works on. */
  get inHand(): number | undefined {
    return this.#disowned ? undefined : this.#inHand?.offset;
  }

  put(event: DurableEvent): void {
    this.#waiting.push(event);
    if (this.#inHand === undefined) void this.#run();
  }

  /** Drops what the handler has not begun with. */
  clear(): void {
    this.#waiting = [];
  }

  /** Drops them, and ends without a word the one it has begun with. */
  disown(): void {
    this.clear();
    this.#disowned = this.#inHand !== undefined;
  }

  async #run(): Promise<void> {
    for (let event = this.#waiting.shift(); event !== undefined; event = this.#waiting.shift()) {
      this.#inHand = event;
      const problem = await this.#attempt(event);
      const disowned = this.#disowned;
      this.#inHand = undefined;
      this.#disowned = false;
      if (disowned) continue;
      if (problem === undefined) this.#done(event);
      else this.#failed(problem.cause);
    }
  }

  async #attempt(event: DurableEvent): Promise<{ cause: unknown } | undefined> {
    try {
      await this.#handle(event);
      return undefined;
    } catch (cause) {
      return { cause };
    }
  }
}

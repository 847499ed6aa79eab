import { type Access, type Api, Problem } from "./api.js";

/** So many lines come at once. */
const PAGE = 50;
/** And so many pages at most, where what comes is hidden. */
const PAGES = 10;

/** Who saw a patient's data. Each look at it is on record itself, so it is asked for only when it is to be shown. */
export class AccessLog {
  /** The newest first; absent until the server has told. */
  accesses: Access[] | undefined = $state.raw();
  /** What people call those in it, by id. */
  names: Record<string, string> = $state.raw({});
  /** Whether there are older ones. */
  more = $state(false);
  busy = $state(false);
  /** Why it cannot be shown, or not further. */
  problem: string | undefined = $state();
  /** Leaves out what the signed-in user did. */
  onlyOthers = $state(false);
  readonly shown: Access[] = $derived.by(() => {
    const all = this.accesses ?? [];
    return this.onlyOthers ? all.filter(({ user }) => user === undefined || user !== this.#own()) : all;
  });

  readonly #patient: string;
  readonly #api: Pick<Api, "accessLog">;
  readonly #own: () => string | undefined;
  #cursor: string | undefined;

  /** @param own says who is signed in */
  constructor(patient: string, api: Pick<Api, "accessLog">, own: () => string | undefined) {
    this.#patient = patient;
    this.#api = api;
    this.#own = own;
  }

  isOwn({ user }: Access): boolean {
    return user !== undefined && user === this.#own();
  }

  /** The newest, in place of what is shown. */
  load(): Promise<void> {
    return this.#try(async () => {
      await this.#page(undefined);
      if (this.shown.length === 0) await this.#further();
    });
  }

  /** Those before the ones that are shown. */
  older(): Promise<void> {
    return this.#try(() => this.#further());
  }

  /** Pages until there is something new to see. */
  async #further(): Promise<void> {
    const before = this.shown.length;
    for (let left = PAGES; left > 0 && this.more && this.shown.length === before; left--) await this.#page(this.#cursor);
  }

  async #page(cursor: string | undefined): Promise<void> {
    const page = await this.#api.accessLog(this.#patient, PAGE, cursor);
    const before = cursor === undefined ? [] : (this.accesses ?? []);
    this.names = { ...this.names, ...page.names };
    this.accesses = [...before, ...page.accesses];
    this.#cursor = page.next_cursor;
    this.more = page.next_cursor !== undefined;
  }

  async #try(work: () => Promise<void>): Promise<void> {
    if (this.busy) return;
    this.busy = true;
    try {
      await work();
      this.problem = undefined;
    } catch (problem) {
      // Whoever may not see it any more sees nothing of it; after a cut what is there may stay.
      if (problem instanceof Problem && problem.status === 403) [this.accesses, this.more] = [undefined, false];
      this.problem = problem instanceof Error ? problem.message : String(problem);
    } finally {
      this.busy = false;
    }
  }
}

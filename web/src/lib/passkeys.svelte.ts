import { HealthMateError, type Passkey, Passkeys } from "@healthmate/client";

/** The signed-in user's passkeys. */
export class OwnPasskeys {
  /** Absent until the server has told. */
  list: Passkey[] | undefined = $state.raw();
  /** What was refused last. */
  problem: string | undefined = $state();
  /** Whether the password is needed to add one: the sign-in is not a fresh one. */
  needsPassword = $state(false);

  readonly #passkeys: Passkeys;

  constructor(passkeys: Passkeys) {
    this.#passkeys = passkeys;
  }

  load(): Promise<boolean> {
    return this.#try(async () => {});
  }

  /** Whether it was added. */
  add(name: string, password: string | undefined): Promise<boolean> {
    return this.#try(async () => {
      await this.#passkeys.add(name, password);
      this.needsPassword = false;
    });
  }

  async remove(id: string): Promise<void> {
    await this.#try(() => this.#passkeys.remove(id));
  }

  /** What is shown is what the server says after it. */
  async #try(change: () => Promise<void>): Promise<boolean> {
    try {
      await change();
      this.list = await this.#passkeys.list();
      this.problem = undefined;
      return true;
    } catch (problem) {
      if (problem instanceof HealthMateError && problem.code === "sign_in_too_old") {
        this.needsPassword = true;
        this.problem = "You signed in some time ago: type your password to go on.";
      } else {
        this.problem = problem instanceof Error ? problem.message : String(problem);
      }
      return false;
    }
  }
}

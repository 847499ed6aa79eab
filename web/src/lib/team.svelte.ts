import type { Api, Grant, Member } from "./api.js";

/** A patient's care team, for those who manage it. */
export class Team {
  /** Absent while it is not known, and for those who do not manage it. */
  members: Member[] | undefined = $state.raw();
  /** What was refused last. */
  problem: string | undefined = $state();

  readonly #patient: string;
  readonly #api: Api;

  constructor(patient: string, api: Api) {
    this.#patient = patient;
    this.#api = api;
  }

  load(): Promise<void> {
    return this.#try(async () => {});
  }

  grant(member: string, grant: Grant): Promise<void> {
    return this.#try(() => this.#api.grant(this.#patient, member, grant));
  }

  end(member: string): Promise<void> {
    return this.#try(() => this.#api.endAccess(this.#patient, member));
  }

  /** What is shown is what the server says after it. */
  async #try(change: () => Promise<void>): Promise<void> {
    try {
      await change();
      this.members = await this.#api.careTeam(this.#patient);
      this.problem = undefined;
    } catch (problem) {
      this.problem = problem instanceof Error ? problem.message : String(problem);
    }
  }
}

import { type ConnectionStatus, HealthMateClient } from "@healthmate/client";
import type { Access } from "./access.js";
import { Api, type Me, Problem } from "./api.js";
import { LivePatient } from "./patient.svelte.js";

/** The signed-in user's connection and the patients that they may read. */
export class Session {
  status: ConnectionStatus = $state.raw({ state: "connecting" });
  user: Me | undefined = $state.raw();
  /** Absent until the server has told. */
  patients: LivePatient[] | undefined = $state.raw();
  /** Why the patients cannot be shown. */
  problem: string | undefined = $state();
  readonly chosen: LivePatient | undefined = $derived.by(() => this.#find(this.#chosenId) ?? this.patients?.[0]);

  readonly #access: Access;
  readonly #client: HealthMateClient;
  readonly #api: Api;
  readonly #onSignedOut: (message: string) => void;
  #chosenId: string | undefined = $state();

  /** @param onSignedOut called when the server refuses the token, or has ended the sign-in, with its reason */
  constructor(access: Access, onSignedOut: (message: string) => void) {
    this.#access = access;
    this.#api = new Api(access.token);
    this.#client = new HealthMateClient({ url: location.origin, token: access.token });
    this.#onSignedOut = onSignedOut;
    access.onEnded((message) => {
      this.close();
      onSignedOut(message);
    });
    this.#client.onStatus((status) => this.#moved(status));
    this.#client.connect();
  }

  choose(id: string): void {
    const before = this.chosen;
    this.#chosenId = id;
    if (before !== this.chosen) before?.lookAway();
    this.chosen?.choose();
  }

  retryNow(): void {
    this.#client.retryNow();
  }

  close(): void {
    this.#client.close();
  }

  /** Ends the sign-in on the server. */
  signOut(): Promise<void> {
    return this.#access.signOut();
  }

  #moved(status: ConnectionStatus): void {
    this.status = status;
    if (status.ended !== undefined) return this.#onSignedOut(status.ended.message);
    if (status.state !== "authenticated") return;
    void this.#loadPatients();
  }

  /** Asks again after each reconnect: people may have joined or left. */
  async #loadPatients(): Promise<void> {
    try {
      const [me, listed] = await Promise.all([this.#api.me(), this.#api.patients()]);
      this.user = me;
      for (const gone of this.patients ?? []) if (!listed.some(({ id }) => id === gone.id)) gone.leave();
      this.patients = listed.map((patient) => this.#find(patient.id) ?? new LivePatient(patient, this.#client, this.#api));
      this.problem = undefined;
      this.chosen?.choose();
    } catch (problem) {
      if (problem instanceof Problem && problem.signedOut) {
        this.close();
        return this.#onSignedOut(problem.message);
      }
      this.problem = problem instanceof Error ? problem.message : String(problem);
    }
  }

  #find(id: string | undefined): LivePatient | undefined {
    return this.patients?.find((patient) => patient.id === id);
  }
}

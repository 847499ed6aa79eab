import { type ConnectionStatus, HealthMateClient, Passkeys } from "@healthmate/client";
import type { Access } from "./access.js";
import { AccessLog } from "./access-log.svelte.js";
import { Api, type Me, Problem } from "./api.js";
import { Notifications } from "./notifications.svelte.js";
import { OwnPasskeys } from "./passkeys.svelte.js";
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
  readonly notifications: Notifications;
  readonly passkeys: OwnPasskeys;
  /** Whether the user may open patients in an emergency. */
  readonly isClinician: boolean = $derived(this.user?.role === "doctor" || this.user?.role === "nurse");

  /** Whether the user runs the service: reads no health data, and may see who saw it. */
  readonly isAdministrator: boolean = $derived(this.user?.role === "admin");

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
    this.notifications = new Notifications(this.#client, this.#api);
    this.passkeys = new OwnPasskeys(new Passkeys({ url: location.origin }, access.token));
    this.#client.onStatus((status) => this.#moved(status));
    this.#client.connect();
  }

  choose(id: string): void {
    const before = this.chosen;
    this.#chosenId = id;
    if (before !== this.chosen) before?.lookAway();
    this.chosen?.choose();
  }

  /** Who saw the data of any patient, for administrators. */
  accessLogOf(patient: string): AccessLog {
    return new AccessLog(patient, this.#api, () => this.#client.user?.user_id);
  }

  /** Opens a patient in an emergency, and chooses the patient; says why not, if that fails. */
  async openInEmergency(patient: string, reason: string, minutes: number): Promise<string | undefined> {
    try {
      await this.#api.breakGlass(patient, reason, minutes);
    } catch (problem) {
      return problem instanceof Error ? problem.message : String(problem);
    }
    await this.#loadPatients();
    this.choose(patient);
    return undefined;
  }

  /** Ends the emergency access to a patient. */
  async endEmergency(patient: LivePatient): Promise<void> {
    if (patient.emergency === undefined) return;
    try {
      await this.#api.endBreakGlass(patient.id, patient.emergency.id);
      this.problem = undefined;
    } catch (problem) {
      this.problem = problem instanceof Error ? problem.message : String(problem);
    }
  }

  /** Somebody looks at the page again: patients may have let them in meanwhile. */
  lookAgain(): void {
    if (this.status.state === "authenticated") void this.#loadPatients();
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
      for (const gone of this.patients ?? []) if (gone.denied || !listed.some(({ id }) => id === gone.id)) gone.leave();
      const kept = (this.patients ?? []).filter(({ denied }) => !denied);
      this.patients = listed.map((patient) => {
        const known = kept.find(({ id }) => id === patient.id);
        known?.update(patient);
        return known ?? new LivePatient(patient, this.#client, this.#api);
      });
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

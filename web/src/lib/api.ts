import type { HealthData, Token } from "@healthmate/client";
import type { ListedNotification } from "./notifications.svelte.js";

/** An emergency access that the signed-in user holds. */
export interface EmergencyAccess {
  id: string;
  ends_at: string;
}

export interface Patient {
  id: string;
  name: string;
  /** Whether the signed-in user manages the care team. */
  manages?: boolean;
  /** Why the patient may be read, where it is an emergency only. */
  break_glass?: EmergencyAccess;
}

export interface NotificationPage {
  notifications: ListedNotification[];
  unseen: number;
}

/** The signed-in user. */
export interface Me {
  id: string;
  name: string;
  role: string;
}

/** The parts of a patient's data, and `manage`, which a member of the care team is let in to. */
export const SCOPES = ["vitals", "alerts", "chat", "medications", "symptoms", "records", "manage"] as const;
export type Scope = (typeof SCOPES)[number];

/** What a member is to the patient. */
export const RELATIONS = [
  "family",
  "friend",
  "caregiver",
  "nurse",
  "general_practitioner",
  "specialist",
  "therapist",
  "other",
] as const;
export type Relation = (typeof RELATIONS)[number];

/** What a member of a care team is given. */
export interface Grant {
  relation: Relation;
  scopes: Scope[];
  /** Until when, in RFC 3339; absent: until it is ended. */
  ends_at?: string;
}

export interface Member extends Grant {
  member: string;
  name: string;
  role: string;
  starts_at: string;
  granted_by?: string;
  holds: boolean;
}

/** One way to sign in to a demo. */
export interface DemoSignIn {
  user: string;
  name: string;
  role: string;
  token: string;
}

/** A refusal of the REST interface (RFC 9457 problem details); `message` is its `detail`. */
export class Problem extends Error {
  override name = "Problem";

  constructor(
    readonly status: number,
    detail: string,
  ) {
    super(detail);
  }

  /** The token is not, or no longer, good. */
  get signedOut(): boolean {
    return this.status === 401;
  }
}

type Fetch = typeof fetch;

async function read(response: Response): Promise<any> {
  const body = await response.json().catch(() => undefined);
  if (response.ok && body !== undefined) return body;
  throw new Problem(response.status, body?.detail ?? body?.title ?? `the server answered with status ${response.status}`);
}

/** The REST interface beside the socket, on the server that served this page. */
export class Api {
  readonly #token: Token;
  readonly #fetch: Fetch;

  constructor(token: Token, fetcher: Fetch = (...args) => fetch(...args)) {
    this.#token = token;
    this.#fetch = fetcher;
  }

  me(): Promise<Me> {
    return this.#get("/v1/me");
  }

  /** Those whom the signed-in user may read. */
  async patients(): Promise<Patient[]> {
    return (await this.#get("/v1/patients")).patients;
  }

  /** A page of measurements, newest first. */
  measurements(patient: string, limit: number, cursor?: string): Promise<Omit<HealthData, "patient">> {
    const query = new URLSearchParams({ limit: String(limit), ...(cursor !== undefined && { cursor }) });
    return this.#get(`/v1/patients/${encodeURIComponent(patient)}/measurements?${query}`);
  }

  /** The newest, and how many are not seen. */
  notifications(limit: number): Promise<NotificationPage> {
    return this.#get(`/v1/notifications?limit=${limit}`);
  }

  seeNotification(id: string): Promise<void> {
    return this.#change("POST", `/v1/notifications/${encodeURIComponent(id)}/seen`);
  }

  /** Opens a patient in an emergency. */
  breakGlass(patient: string, reason: string, minutes: number): Promise<void> {
    const path = `/v1/patients/${encodeURIComponent(patient)}/break-glass`;
    return this.#change("POST", path, { reason, duration_minutes: minutes });
  }

  endBreakGlass(patient: string, access: string): Promise<void> {
    const path = `/v1/patients/${encodeURIComponent(patient)}/break-glass/${encodeURIComponent(access)}`;
    return this.#change("DELETE", path);
  }

  /** A patient's care team; `undefined` where the signed-in user does not manage it. */
  async careTeam(patient: string): Promise<Member[] | undefined> {
    try {
      return (await this.#get(teamOf(patient))).members;
    } catch (problem) {
      if (problem instanceof Problem && problem.status === 403) return undefined;
      throw problem;
    }
  }

  async grant(patient: string, member: string, grant: Grant): Promise<void> {
    const headers = { ...(await this.#authorization()), "Content-Type": "application/json" };
    const path = `${teamOf(patient)}/${encodeURIComponent(member)}`;
    await read(await this.#fetch(path, { method: "PUT", headers, body: JSON.stringify(grant) }));
  }

  async endAccess(patient: string, member: string): Promise<void> {
    const path = `${teamOf(patient)}/${encodeURIComponent(member)}`;
    const response = await this.#fetch(path, { method: "DELETE", headers: await this.#authorization() });
    if (!response.ok) await read(response);
  }

  async #authorization(): Promise<Record<string, string>> {
    const token = typeof this.#token === "string" ? this.#token : await this.#token();
    return { Authorization: `Bearer ${token}` };
  }

  async #get(path: string): Promise<any> {
    return read(await this.#fetch(path, { headers: await this.#authorization() }));
  }

  async #change(method: string, path: string, body?: unknown): Promise<void> {
    const json = body === undefined ? {} : { "Content-Type": "application/json" };
    const headers = { ...(await this.#authorization()), ...json };
    const response = await this.#fetch(path, { method, headers, ...(body !== undefined && { body: JSON.stringify(body) }) });
    if (!response.ok) await read(response);
  }
}

const teamOf = (patient: string) => `/v1/patients/${encodeURIComponent(patient)}/care-team`;

const ROLES = ["nurse", "doctor", "caregiver", "patient", "admin"];

/** Who looks at screens, carers first; devices have no use for this app. */
export function peopleFirst(signIns: readonly DemoSignIn[]): DemoSignIn[] {
  const people = signIns.filter(({ role }) => ROLES.includes(role));
  return people.sort((a, b) => ROLES.indexOf(a.role) - ROLES.indexOf(b.role));
}

/** The sign-ins of a demo; none when the server is no demo. */
export async function demoSignIns(fetcher: Fetch = fetch): Promise<DemoSignIn[]> {
  const response = await fetcher("/demo/sign-ins");
  return response.status === 404 ? [] : (await read(response)).sign_ins;
}

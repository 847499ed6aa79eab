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

/** One line of who saw a patient's data, in the words of docs/audit.md. */
export interface Access {
  at: string;
  /** `user`, `anonymous`, `server` or `command_line`. */
  actor: string;
  user?: string;
  /** The user's, at the time. */
  role?: string;
  action: string;
  object?: string;
  reason?: string;
  /** The emergency access under which it was done. */
  break_glass?: string;
  /** `success`, `denied` or `failed`. */
  outcome: string;
}

/** The newest first. */
export interface AccessPage {
  accesses: Access[];
  /** What people call the users in it, by id. */
  names: Record<string, string>;
  next_cursor?: string;
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

  /** @param status of HTTP; 0 where there was no answer */
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

/** What browsers throw without an answer says little to people. */
async function reach(ask: () => Promise<Response>): Promise<Response> {
  try {
    return await ask();
  } catch {
    throw new Problem(0, "the server cannot be reached: try again once the connection is back");
  }
}

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
    return this.#get(`/v1/patients/${encodeURIComponent(patient)}/measurements?${page(limit, cursor)}`);
  }

  /** A page of who saw a patient's data, newest first: for the patient, and for those who manage the care team. */
  accessLog(patient: string, limit: number, cursor?: string): Promise<AccessPage> {
    return this.#get(`/v1/patients/${encodeURIComponent(patient)}/access-log?${page(limit, cursor)}`);
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

  grant(patient: string, member: string, grant: Grant): Promise<void> {
    return this.#change("PUT", `${teamOf(patient)}/${encodeURIComponent(member)}`, grant);
  }

  endAccess(patient: string, member: string): Promise<void> {
    return this.#change("DELETE", `${teamOf(patient)}/${encodeURIComponent(member)}`);
  }

  async #get(path: string): Promise<any> {
    return read(await this.#ask(path, "GET"));
  }

  async #change(method: string, path: string, body?: unknown): Promise<void> {
    const response = await this.#ask(path, method, body);
    if (!response.ok) await read(response);
  }

  async #ask(path: string, method: string, body?: unknown): Promise<Response> {
    const token = typeof this.#token === "string" ? this.#token : await this.#token();
    const json = body !== undefined && { "Content-Type": "application/json" };
    const headers = { Authorization: `Bearer ${token}`, ...json };
    return reach(() => this.#fetch(path, { method, headers, ...(body !== undefined && { body: JSON.stringify(body) }) }));
  }
}

const page = (limit: number, cursor?: string) =>
  new URLSearchParams({ limit: String(limit), ...(cursor !== undefined && { cursor }) });

const teamOf = (patient: string) => `/v1/patients/${encodeURIComponent(patient)}/care-team`;

const ROLES = ["nurse", "doctor", "caregiver", "patient", "admin"];

/** Who looks at screens, carers first; devices have no use for this app. */
export function peopleFirst(signIns: readonly DemoSignIn[]): DemoSignIn[] {
  const people = signIns.filter(({ role }) => ROLES.includes(role));
  return people.sort((a, b) => ROLES.indexOf(a.role) - ROLES.indexOf(b.role));
}

/** The sign-ins of a demo; none when the server is no demo. */
export async function demoSignIns(fetcher: Fetch = fetch): Promise<DemoSignIn[]> {
  const response = await reach(() => fetcher("/demo/sign-ins"));
  return response.status === 404 ? [] : (await read(response)).sign_ins;
}

import type { Access } from "./api.js";
import { metricStyle } from "./metrics.js";

/** What was done, and the same as something that was only wanted. */
type Words = readonly [done: string, wanted: string];

const OBJECTS: Record<string, Words> = {
  "read measurements": ["read measurements", "read measurements"],
  "read presence": ["looked at who is watching", "look at who is watching"],
  "read care_team": ["looked at the care team", "look at the care team"],
  "read access_log": ["looked at who saw this data", "look at who saw this data"],
  "read break_glass": ["looked at the emergency accesses", "look at the emergency accesses"],
  "subscribe notifications": ["opened the notifications", "open the notifications"],
  "write measurements": ["sent measurements", "send measurements"],
  "write waveforms": ["sent a live signal", "send a live signal"],
  "administered care_team": ["changed the care team", "change the care team"],
  "administered break_glass": ["opened this data in an emergency", "open this data in an emergency"],
};

const ACTIONS: Record<string, Words> = {
  subscribe: ["opened the live measurements", "open the live measurements"],
  acknowledge_alert: ["acknowledged an alert", "acknowledge an alert"],
  access_granted: ["set the access of", "set the access of"],
  access_ended: ["ended the access of", "end the access of"],
  break_glass_started: ["opened this data in an emergency", "open this data in an emergency"],
  break_glass_ended: ["ended the emergency access of", "end the emergency access of"],
  user_added: ["added the device", "add the device"],
  exported: ["exported the audit trail", "export the audit trail"],
  erased: ["erased this data", "erase this data"],
};

/** Whose names follow what was done. */
const NAMES_A_USER = ["access_granted", "access_ended", "break_glass_ended", "user_added"];

const REASONS: Record<string, string> = {
  not_in_care_team: "not in the care team",
  scope_missing: "the place in the care team does not include this",
  not_yet: "the place in the care team has not begun",
  ended: "the place in the care team has ended",
  break_glass_ended: "the emergency access has ended",
  administrator: "administrators read no health data",
  not_administrator: "this is for administrators",
  not_clinician: "only doctors and nurses may do this",
  not_the_writer: "only the patient and the patient's devices may do this",
  device: "a device reads its own patient's measurements only",
  inactive: "the user is disabled",
  token_scope: "the API token was issued for less",
};

const OUTSIDERS: Record<string, string> = {
  anonymous: "Somebody who was not signed in",
  server: "The server",
  command_line: "An operator of the server",
};

/** A word of the audit trail that this version does not know, as people would write it. */
const plain = (word: string) => word.replaceAll("_", " ");

/** Who it was, without the id and the role. */
export function whoDid({ actor, user }: Access, names: Record<string, string>, own: boolean): string {
  if (own) return "You";
  if (user !== undefined) return names[user] ?? user;
  return OUTSIDERS[actor] ?? plain(actor);
}

/** What it was: goes on after who it was. */
export function whatWasDone({ action, object, outcome, reason }: Access, names: Record<string, string>): string {
  const [, kind = "", about = ""] = /^([^:]*):?(.*)$/.exec(object ?? "") ?? [];
  const unknown = plain(`${action} ${kind}`).trim();
  const [done, wanted] = OBJECTS[`${action} ${kind}`] ?? ACTIONS[action] ?? [unknown, unknown];
  const words = outcome === "success" ? done : `wanted to ${wanted}`;
  if (kind === "measurements" && about !== "") return words.replace(kind, metricStyle(about, "").label.toLowerCase());
  if (kind !== "user" || !NAMES_A_USER.includes(action)) return words;
  const whose = `${words} ${names[about] ?? about}`;
  // Of a grant, the reason is to what and for when: `vitals,chat 2026-11-26T08:00:00Z/..`.
  const [, scopes] = /^(\S+) \S+$/.exec(reason ?? "") ?? [];
  return scopes === undefined ? whose : `${whose} to ${scopes.replaceAll(",", ", ")}`;
}

/** Why it was not done; `undefined` where it was. */
export function whyNot({ outcome, reason }: Access): string | undefined {
  if (outcome === "success") return undefined;
  if (outcome === "failed") return "Not done";
  return reason === undefined ? "Refused" : `Refused: ${REASONS[reason] ?? plain(reason)}`;
}

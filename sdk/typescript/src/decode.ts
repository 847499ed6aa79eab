import type { ServerMessage } from "./protocol.js";

/** A message from the server that breaks the wire contract. Names the field, never its value. */
export class ProtocolError extends Error {
  override name = "ProtocolError";
}

type Check = (value: unknown, path: string) => void;

function fail(path: string, expected: string): never {
  throw new ProtocolError(`${path} must be ${expected}`);
}

const text: Check = (value, path) => {
  if (typeof value !== "string") fail(path, "a string");
};

const number: Check = (value, path) => {
  if (typeof value !== "number") fail(path, "a number");
};

const flag: Check = (value, path) => {
  if (typeof value !== "boolean") fail(path, "true or false");
};

const count: Check = (value, path) => {
  if (!Number.isSafeInteger(value) || (value as number) < 0) fail(path, "an integer of at least 0");
};

const offset: Check = (value, path) => {
  if (!Number.isSafeInteger(value) || (value as number) < 1) fail(path, "an integer of at least 1");
};

const optional =
  (check: Check): Check =>
  (value, path) => {
    if (value !== undefined) check(value, path);
  };

const oneOf =
  (...allowed: unknown[]): Check =>
  (value, path) => {
    if (!allowed.includes(value)) fail(path, `one of ${allowed.join(", ")}`);
  };

const orNull =
  (check: Check): Check =>
  (value, path) => {
    if (value !== null) check(value, path);
  };

const listOf =
  (check: Check): Check =>
  (value, path) => {
    if (!Array.isArray(value)) fail(path, "a list");
    value.forEach((item, index) => check(item, `${path}[${index}]`));
  };

function record(value: unknown, path: string): Record<string, unknown> {
  if (typeof value !== "object" || value === null || Array.isArray(value)) fail(path, "an object");
  return value as Record<string, unknown>;
}

const mapOf =
  (check: Check): Check =>
  (value, path) => {
    for (const [key, item] of Object.entries(record(value, path))) check(item, `${path}.${key}`);
  };

const object =
  (fields: Record<string, Check>): Check =>
  (value, path) => {
    const members = record(value, path);
    for (const [name, check] of Object.entries(fields)) check(members[name], `${path}.${name}`);
  };

const refusal = { code: text, message: text, retry: flag };

const recorded = {
  patient: text,
  metric: text,
  value: number,
  unit: text,
  taken_at: text,
  recorded_at: text,
  author: text,
  client_id: optional(text),
  device: optional(text),
  original: optional(object({ value: number, unit: text })),
  flags: optional(listOf(text)),
};

const result = object({ offset, client_id: optional(text), duplicate: optional(oneOf(true)), flags: optional(listOf(text)) });

/** What `data` holds, for each type of message. */
const DATA: Record<ServerMessage["type"], Check> = {
  connection_established: object({
    connection_id: text,
    protocol: text,
    heartbeat_interval_s: number,
    authenticate_within_s: number,
    max_message_bytes: count,
  }),
  authentication_success: object({
    user_id: text,
    role: text,
    patient: optional(text),
    session_id: text,
    epoch: text,
    expires_at: text,
    resumed: optional(flag),
  }),
  authentication_failed: object(refusal),
  subscription_success: object({
    topic: text,
    epoch: text,
    head: count,
    resumed: optional(oneOf("complete", "gap")),
    from: optional(offset),
    to: optional(offset),
    reason: optional(oneOf("retention", "new_epoch", "ahead_of_log")),
    delivery: optional(oneOf("latest")),
  }),
  subscription_denied: object({ topic: text, reason: optional(text), ...refusal }),
  unsubscription_success: object({ topic: text }),
  pong: object({}),
  heartbeat: object({ epoch: text, heads: mapOf(count) }),
  reconnect: object({ after_ms: count }),
  token_expiring: object({ expires_at: text, seconds: count }),
  acknowledgment: object({ patient: text, results: listOf(result) }),
  health_update: object(recorded),
  health_data_response: object({
    patient: text,
    measurements: listOf(object({ offset, ...recorded })),
    next_cursor: optional(text),
  }),
  notification: object({
    id: text,
    kind: text,
    priority: oneOf("low", "normal", "high", "urgent"),
    title: text,
    body: text,
    patient: optional(text),
    created_at: text,
    expires_at: optional(text),
  }),
  health_waveform: object({
    patient: text,
    author: text,
    waveform: text,
    unit: text,
    started_at: text,
    sample_rate_hz: number,
    samples: listOf(orNull(number)),
    sequence: optional(count),
    device: optional(text),
  }),
  events_merged: object({ topic: text, merged: count }),
  presence_update: object({ user_id: text, presence: oneOf("joined", "left") }),
  presence_response: object({
    topic: text,
    present: listOf(object({ user_id: text, role: text, since: text, watching: flag })),
  }),
  error: object({ field: optional(text), ...refusal }),
};

/** What happens in a topic names it; what is kept there has its place, too. */
const EVENTS: ReadonlySet<string> = new Set(["health_update", "notification", "health_waveform", "presence_update"]);
const DURABLE: ReadonlySet<string> = new Set(["health_update", "notification"]);

function isKnown(type: string): type is ServerMessage["type"] {
  return Object.hasOwn(DATA, type);
}

/**
 * Parses one message of the server. Types that this version does not know give `undefined`, so that a newer server can
 * speak to it; unknown fields are kept.
 *
 * @throws ProtocolError when the text is not JSON or a field is missing or wrong.
 */
export function decode(message: string): ServerMessage | undefined {
  let parsed: unknown;
  try {
    parsed = JSON.parse(message);
  } catch {
    throw new ProtocolError("message must be JSON");
  }
  const envelope = record(parsed, "message");
  text(envelope["type"], "message.type");
  const type = envelope["type"] as string;
  if (!isKnown(type)) return undefined;
  text(envelope["timestamp"], `${type}.timestamp`);
  optional(text)(envelope["correlation_id"], `${type}.correlation_id`);
  DATA[type](envelope["data"], `${type}.data`);
  if (EVENTS.has(type)) text(envelope["topic"], `${type}.topic`);
  if (DURABLE.has(type)) offset(envelope["offset"], `${type}.offset`);
  return envelope as unknown as ServerMessage;
}

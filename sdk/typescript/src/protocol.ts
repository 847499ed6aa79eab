/** What goes over the wire, as types: one JSON object per WebSocket text message. */

export const SUBPROTOCOL = "healthmate.v1";

/** The most measurements that one command may carry. */
export const MAX_BATCH = 1000;

export const METRICS = [
  "heart_rate",
  "respiratory_rate",
  "oxygen_saturation",
  "body_temperature",
  "systolic_blood_pressure",
  "diastolic_blood_pressure",
  "glucose",
  "body_weight",
  "body_height",
  "steps",
] as const;

export type Metric = (typeof METRICS)[number];

/** The most samples that one `health_waveform` may carry. */
export const MAX_SAMPLES = 1000;

/** Ephemeral events of a topic: sent to those who ask for them, never stored, never repeated. */
export type EphemeralKind = "waveform" | "presence";

/** Where a reader of a topic stands: offsets mean something within one epoch only. */
export interface Position {
  epoch: string;
  /** The newest offset that was delivered; 0 when none was. */
  offset: number;
}

/** One measurement as a device sends it. */
export interface Measurement {
  metric: string;
  value: number;
  unit: string;
  /** RFC 3339. */
  taken_at: string;
  /** Names this measurement, so that sending it again stores nothing twice. */
  client_id?: string;
  device?: string;
}

/** One measurement as HealthMate keeps it: canonical unit, time of arrival, author. */
export interface RecordedMeasurement extends Measurement {
  patient: string;
  recorded_at: string;
  author: string;
  /** What was sent, when it was converted. */
  original?: { value: number; unit: string };
  flags?: string[];
}

export interface StoredMeasurement extends RecordedMeasurement {
  offset: number;
}

/** A strip of a signal, such as four fifths of a second of an ECG. */
export interface Waveform {
  /** `ecg_lead_i`, `ecg_lead_ii`, `pleth`, `respiration`, `arterial_pressure`, … */
  waveform: string;
  unit: string;
  /** When the first sample was taken; RFC 3339. */
  started_at: string;
  /** Above 0, at most 1000. */
  sample_rate_hz: number;
  /** 1 to 1000 of them; `null` where nothing was measured. */
  samples: (number | null)[];
  /** Counts the strips of one signal, so that a watcher sees when one is missing. */
  sequence?: number;
  device?: string;
}

/** What the server makes of it: with patient and author. */
export interface RelayedWaveform extends Waveform {
  patient: string;
  author: string;
}

// Client to server

interface Command {
  correlation_id?: string;
}

export interface Authenticate extends Command {
  type: "authenticate";
  token: string;
  /** Of an earlier `authentication_success`: comes back to that session. */
  session_id?: string;
  /** The last event held of each durable topic of that session. */
  offsets?: Record<string, number>;
}

export interface Subscribe extends Command {
  type: "subscribe";
  topic: string;
  since?: Position;
  /** `latest`: the newest value of each metric first, then live; what is superseded on the way is merged. */
  delivery?: "durable" | "latest";
  include?: EphemeralKind[];
  /** Every event is to be acknowledged, and sent again until it is. */
  acknowledge?: boolean;
}

export interface Unsubscribe extends Command {
  type: "unsubscribe";
  topic: string;
}

export interface Ping extends Command {
  type: "ping";
}

export interface SendMeasurement extends Command {
  type: "health_update";
  patient?: string;
  data: Measurement;
}

export interface SendMeasurements extends Command {
  type: "health_update";
  patient?: string;
  batch: Measurement[];
}

export interface Acknowledge extends Command {
  type: "acknowledge";
  topic: string;
  /** Everything up to here is handled. */
  offset: number;
}

export interface SendWaveform extends Command {
  type: "health_waveform";
  patient?: string;
  data: Waveform;
}

export interface GetPresence extends Command {
  type: "get_presence";
  topic: string;
}

export interface HealthDataQuery {
  /** Absent: the caller's own patient. */
  patient?: string;
  metric?: string;
  from?: string;
  to?: string;
  /** 1 to 1000; the server's default is 10. */
  limit?: number;
  cursor?: string;
}

export interface GetHealthData extends Command, HealthDataQuery {
  type: "get_health_data";
}

export type ClientCommand =
  | Authenticate
  | Subscribe
  | Unsubscribe
  | Ping
  | SendMeasurement
  | SendMeasurements
  | GetHealthData
  | Acknowledge
  | SendWaveform
  | GetPresence;

// Server to client

interface Envelope<Type extends string, Data> {
  type: Type;
  /** RFC 3339, UTC, microseconds. */
  timestamp: string;
  correlation_id?: string;
  data: Data;
}

export interface ConnectionEstablishedData {
  connection_id: string;
  protocol: string;
  heartbeat_interval_s: number;
  authenticate_within_s: number;
  max_message_bytes: number;
}

export interface AuthenticationData {
  user_id: string;
  role: string;
  /** The patient whose data this user writes, for patients and devices. */
  patient?: string;
  session_id: string;
  epoch: string;
  expires_at: string;
  /** Only where a session was asked for: whether this is it. Otherwise it is a new one. */
  resumed?: boolean;
}

/** Why something was refused. */
export interface Refusal {
  /** Stable; see the table of codes in the protocol documentation. */
  code: string;
  message: string;
  /** Whether the same request can work later. */
  retry: boolean;
}

export interface RefusedSubscription extends Refusal {
  topic: string;
  /** Why access is denied, as a stable word such as `ended`; docs/access.md lists them. */
  reason?: string;
}

export interface ErrorData extends Refusal {
  /** The field that is wrong. */
  field?: string;
}

export type GapReason = "retention" | "new_epoch" | "ahead_of_log";

export interface SubscriptionData {
  topic: string;
  epoch: string;
  /** The newest offset at this moment; 0 when there is none yet. */
  head: number;
  /** Present when the subscription gave a position. */
  resumed?: "complete" | "gap";
  from?: number;
  to?: number;
  reason?: GapReason;
  /** Absent: durable. */
  delivery?: "latest";
}

/** The server is about to close the connection. */
export interface ReconnectData {
  /** How long to wait before connecting again; each client is told its own. */
  after_ms: number;
}

/** The connection's token ends soon: a fresh one is wanted. */
export interface TokenExpiringData {
  expires_at: string;
  /** How long that is from now. */
  seconds: number;
}

export interface HeartbeatData {
  epoch: string;
  /** Newest offset of each topic this connection subscribes to. */
  heads: Record<string, number>;
}

export interface AcknowledgmentResult {
  offset: number;
  client_id?: string;
  /** This measurement was stored before, under this offset. */
  duplicate?: true;
  flags?: string[];
}

export interface AcknowledgmentData {
  patient: string;
  /** One per measurement, in the order sent. */
  results: AcknowledgmentResult[];
}

export interface HealthData {
  patient: string;
  /** Newest first. */
  measurements: StoredMeasurement[];
  next_cursor?: string;
}

export interface HealthUpdate extends Envelope<"health_update", RecordedMeasurement> {
  topic: string;
  offset: number;
}

export type NotificationPriority = "low" | "normal" | "high" | "urgent";

/** Something that the user is told. */
export interface NotificationData {
  id: string;
  /** What it is about, such as `break_glass`; expect kinds that you do not know. */
  kind: string;
  priority: NotificationPriority;
  /** What happened, in a few words. */
  title: string;
  /** What happened, in sentences. */
  body: string;
  /** Whom it is about. */
  patient?: string;
  created_at: string;
  expires_at?: string;
}

/** Of the topic `notifications`. */
export interface NotificationEvent extends Envelope<"notification", NotificationData> {
  topic: string;
  offset: number;
}

/** What a topic keeps: each has its offset, and comes again to whoever was away. */
export type DurableEvent = HealthUpdate | NotificationEvent;

/** A strip of a signal as it comes; it has no offset and is not kept. */
export interface HealthWaveform extends Envelope<"health_waveform", RelayedWaveform> {
  topic: string;
}

/** Somebody begins or ceases to watch a topic. */
export interface PresenceUpdate extends Envelope<"presence_update", PresenceChange> {
  topic: string;
}

export interface PresenceChange {
  user_id: string;
  presence: "joined" | "left";
}

/** Of a `latest` subscription: so many events were superseded before they could be sent. */
export interface EventsMergedData {
  topic: string;
  merged: number;
}

export interface PresentUser {
  user_id: string;
  role: string;
  /** Connected since. */
  since: string;
  /** Whether this topic is watched; otherwise the user is merely connected. */
  watching: boolean;
}

export interface PresenceData {
  topic: string;
  present: PresentUser[];
}

export type ServerMessage =
  | Envelope<"connection_established", ConnectionEstablishedData>
  | Envelope<"authentication_success", AuthenticationData>
  | Envelope<"authentication_failed", Refusal>
  | Envelope<"subscription_success", SubscriptionData>
  | Envelope<"subscription_denied", RefusedSubscription>
  | Envelope<"unsubscription_success", { topic: string }>
  | Envelope<"pong", Record<string, never>>
  | Envelope<"heartbeat", HeartbeatData>
  | Envelope<"reconnect", ReconnectData>
  | Envelope<"token_expiring", TokenExpiringData>
  | Envelope<"acknowledgment", AcknowledgmentData>
  | Envelope<"health_data_response", HealthData>
  | Envelope<"error", ErrorData>
  | Envelope<"events_merged", EventsMergedData>
  | Envelope<"presence_response", PresenceData>
  | HealthUpdate
  | NotificationEvent
  | HealthWaveform
  | PresenceUpdate;

/** After these the client would send the same again, and be refused again. */
const REFUSED_AGAIN = new Set([1002, 1003, 1007, 1009]);

/** Whether a client may come back after this WebSocket close code. */
export function mayReconnect(closeCode: number): boolean {
  return !(closeCode >= 4500 && closeCode <= 4999) && !REFUSED_AGAIN.has(closeCode);
}

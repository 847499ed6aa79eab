import { backoffDelay } from "./backoff.js";
import { Connection, type ConnectionStatus, type Token } from "./connection.js";
import { type Environment, realNow, realRandom, realTimer, type WebSocketClass } from "./environment.js";
import { closedError, disconnectedError, HealthMateError } from "./errors.js";
import { DEFAULT_OUTBOX_CAPACITY, Outbox, type OutboxState } from "./outbox.js";
import {
  type AcknowledgmentData,
  type AuthenticationData,
  type ClientCommand,
  type ErrorData,
  type HealthData,
  type HealthDataQuery,
  MAX_BATCH,
  MAX_SAMPLES,
  type Measurement,
  type Position,
  type PresenceData,
  type PresentUser,
  type ServerMessage,
  type Waveform,
} from "./protocol.js";
import type { SubscribeOptions, TopicHandler } from "./subscription.js";
import { Topics, type Unnumbered } from "./topics.js";

/** Room for what surrounds the measurements in a message. */
const ENVELOPE_BYTES = 512;
/** How correlation ids begin that only a refusal repeats. */
const TOLD = "told-";

export interface HealthMateOptions extends Partial<Environment> {
  /** Of the server: `https://host`, `wss://host`, with a path when a proxy adds one. */
  url: string;
  /** A JSON Web Token, or what fetches a fresh one before each connection. */
  token: Token;
  /** The most unacknowledged measurements kept; default 10,000. */
  outboxCapacity?: number;
}

export interface SubscriptionHandle {
  /** The newest event that was handled; store it to continue after a restart. Absent with `delivery: "latest"`. */
  readonly position: Position | undefined;
  unsubscribe(): void;
}

interface Request {
  resolve: (data: any) => void;
  reject: (error: HealthMateError) => void;
}

/** One user's live connection to HealthMate. */
export class HealthMateClient {
  readonly #env: Environment;
  readonly #connection: Connection;
  readonly #outbox: Outbox;
  readonly #topics: Topics;
  readonly #requests = new Map<string, Request>();
  /** Sets this client's measurement ids apart from those of any other. */
  readonly #name: string;
  #correlation = 0;
  #measurement = 0;
  #refusals = 0;

  constructor(options: HealthMateOptions) {
    this.#env = {
      WebSocket: options.WebSocket ?? (globalThis.WebSocket as WebSocketClass),
      random: options.random ?? realRandom,
      now: options.now ?? realNow,
      setTimer: options.setTimer ?? realTimer,
    };
    const random = () => this.#env.random().toString(36).slice(2, 12);
    this.#name = `${random()}${random()}`;
    this.#connection = new Connection(endpoint(options.url), options.token, this.#env);
    this.#connection.messageObservers.add((message) => this.#received(message));
    this.#connection.statusObservers.add((status) => this.#moved(status));
    const line = {
      post: (command: Unnumbered<ClientCommand>) => this.#post(command),
      tell: (command: Unnumbered<ClientCommand>) => this.#tell(command),
      later: (action: () => void) => this.#later(action),
      setTimer: this.#env.setTimer,
      problem: (problem: unknown) => this.#connection.problemObservers.notify(problem),
    };
    this.#topics = new Topics(this.#connection, line);
    this.#connection.offsets = () => this.#topics.offsets();
    const capacity = options.outboxCapacity ?? DEFAULT_OUTBOX_CAPACITY;
    this.#outbox = new Outbox(capacity, (command) => this.#post(command));
  }

  /** The signed-in user, once authenticated. */
  get user(): AuthenticationData | undefined {
    return this.#connection.user;
  }

  get status(): ConnectionStatus {
    return this.#connection.status;
  }

  get outbox(): OutboxState {
    return this.#outbox.state;
  }

  /** Measurements not acknowledged yet, oldest first. */
  unacknowledged(): Measurement[] {
    return this.#outbox.pending();
  }

  connect(): void {
    this.#connection.open();
  }

  /** Tries to reconnect without waiting longer, as when the network is known to be back. */
  retryNow(): void {
    this.#connection.retryNow();
  }

  /** Disconnects for good; whoever waits for an answer gets an error with the code `closed`. */
  close(): void {
    this.#connection.close();
  }

  onStatus(listener: (status: ConnectionStatus) => void): () => void {
    return this.#connection.statusObservers.add(listener);
  }

  onOutbox(listener: (state: OutboxState) => void): () => void {
    return this.#outbox.observers.add(listener);
  }

  /**
   * Messages that break the wire contract, tokens that could not be fetched, handlers that failed to handle an event
   * to be acknowledged, and refused waveforms.
   */
  onProblem(listener: (problem: unknown) => void): () => void {
    return this.#connection.problemObservers.add(listener);
  }

  /**
   * Listens to a topic, over every reconnect, until unsubscribed. Several may listen to one topic, except where one of
   * them acknowledges.
   */
  subscribe(topic: string, handler: TopicHandler, options: SubscribeOptions = {}): SubscriptionHandle {
    const subscription = this.#topics.add(topic, handler, options);
    return {
      get position() {
        return subscription.position && { ...subscription.position };
      },
      unsubscribe: () => this.#topics.remove(subscription),
    };
  }

  /**
   * Sends measurements, all or none, and waits until they are on the server's disk; resends them after a lost
   * connection. Each gets a `client_id` unless it has one.
   *
   * @param measurements 1 to 1000, and together no more bytes than the server's message limit (64 KiB by default)
   * @param patient whose; the caller's own by default
   */
  async send(measurements: Measurement | Measurement[], patient?: string): Promise<AcknowledgmentData> {
    if (this.status.ended !== undefined) throw closedError(this.status.ended.message);
    const batch = [measurements].flat();
    if (batch.length < 1 || batch.length > MAX_BATCH) {
      throw new RangeError(`measurements: ${batch.length} given, a batch holds 1 to ${MAX_BATCH}`);
    }
    const named = batch.map((one) => ({ ...one, client_id: one.client_id ?? `${this.#name}-${++this.#measurement}` }));
    const bytes = new TextEncoder().encode(JSON.stringify(named)).length + ENVELOPE_BYTES;
    const limit = this.#connection.maxMessageBytes;
    // The server would close the connection, and the outbox would send it again on the next one, for ever.
    if (bytes > limit) throw new RangeError(`measurements: ${bytes} bytes as JSON, a message holds at most ${limit}`);
    return this.#outbox.put(named, patient);
  }

  /**
   * Sends a strip of a signal to those who watch the patient now. It is never kept: neither here while there is no
   * connection or the link is too slow for it, nor by the server.
   *
   * @param patient whose; the caller's own by default
   * @returns whether it was handed to the connection; a refusal of the server goes to `onProblem`
   */
  sendWaveform(data: Waveform, patient?: string): boolean {
    if (data.samples.length < 1 || data.samples.length > MAX_SAMPLES) {
      throw new RangeError(`samples: ${data.samples.length} given, a strip holds 1 to ${MAX_SAMPLES}`);
    }
    if (!this.#connection.authenticated || this.#connection.buffered > this.#connection.maxMessageBytes) return false;
    this.#tell({ type: "health_waveform", ...(patient !== undefined && { patient }), data });
    return true;
  }

  /** Recorded measurements, newest first. */
  getHealthData(query: HealthDataQuery = {}): Promise<HealthData> {
    return this.#request({ type: "get_health_data", ...query });
  }

  /** Who is connected, of those who may see this topic, and who of them watches it. */
  async presence(topic: string): Promise<PresentUser[]> {
    return (await this.#request<PresenceData>({ type: "get_presence", topic })).present;
  }

  #request<Answer>(command: Unnumbered<ClientCommand>): Promise<Answer> {
    if (!this.#connection.authenticated) return Promise.reject(disconnectedError());
    return new Promise((resolve, reject) => {
      this.#requests.set(this.#post(command), { resolve, reject });
    });
  }

  #post(command: Unnumbered<ClientCommand>): string {
    const correlationId = String(++this.#correlation);
    this.#connection.send({ ...command, correlation_id: correlationId });
    return correlationId;
  }

  /** Sends what has no answer unless it is refused. */
  #tell(command: Unnumbered<ClientCommand>): void {
    this.#connection.send({ ...command, correlation_id: `${TOLD}${++this.#correlation}` });
  }

  #moved(status: ConnectionStatus): void {
    if (status.state === "authenticated") {
      this.#topics.connected(this.user?.resumed === true);
      return this.#outbox.connected();
    }
    if (status.state === "connecting" || status.state === "connected") return;
    this.#topics.disconnected();
    const error = status.state === "closed" ? closedError(status.ended?.message ?? "the client was closed") : disconnectedError();
    for (const request of this.#requests.values()) request.reject(error);
    this.#requests.clear();
    if (status.state === "closed") this.#outbox.abandon(error);
    else this.#outbox.disconnected();
  }

  #received(message: ServerMessage): void {
    switch (message.type) {
      case "subscription_success":
        this.#refusals = 0;
        return this.#topics.taken(message.correlation_id, message.data);
      case "subscription_denied":
        return this.#topics.denied(message.correlation_id, message.data);
      case "health_update":
      case "notification":
        return this.#topics.event(message);
      case "health_waveform":
        return this.#topics.waveform(message);
      case "presence_update":
        return this.#topics.presence(message);
      case "events_merged":
        return this.#topics.merged(message.data.topic, message.data.merged);
      case "heartbeat":
        return this.#topics.heartbeat(message.data);
      case "acknowledgment":
        this.#refusals = 0;
        return this.#outbox.acknowledged(message.correlation_id, message.data);
      case "health_data_response":
      case "presence_response":
        return this.#take(message.correlation_id)?.resolve(message.data);
      case "error":
        return this.#refused(message.correlation_id, message.data);
    }
  }

  #refused(correlationId: string | undefined, error: ErrorData): void {
    if (correlationId?.startsWith(TOLD)) return this.#connection.problemObservers.notify(new HealthMateError(error));
    this.#take(correlationId)?.reject(new HealthMateError(error));
    const topic = this.#topics.asking(correlationId)?.topic;
    if (topic !== undefined) return this.#topics.denied(correlationId, { topic, ...error });
    if (this.#outbox.refused(correlationId, error) === "retry") this.#later(() => this.#outbox.flush());
  }

  /** Runs `action` after a pause that grows with every refusal since the last success. */
  #later(action: () => void): void {
    this.#env.setTimer(action, backoffDelay(this.#refusals++, this.#env.random));
  }

  #take(correlationId: string | undefined): Request | undefined {
    if (correlationId === undefined) return undefined;
    const request = this.#requests.get(correlationId);
    this.#requests.delete(correlationId);
    return request;
  }
}

function endpoint(url: string): string {
  const parsed = new URL(url);
  parsed.protocol = parsed.protocol.replace(/^http/, "ws");
  parsed.pathname = `${parsed.pathname.replace(/\/$/, "")}/ws/combined`;
  return parsed.href;
}

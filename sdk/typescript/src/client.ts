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
  type HeartbeatData,
  MAX_BATCH,
  type Measurement,
  type Position,
  type RefusedSubscription,
  type ServerMessage,
} from "./protocol.js";
import { Subscription, type TopicHandler } from "./subscription.js";

/** How long events named by a heartbeat may still be on their way before the client asks for them. */
const BEHIND_GRACE_MS = 1_000;
/** Room for what surrounds the measurements in a message. */
const ENVELOPE_BYTES = 512;

export interface HealthMateOptions extends Partial<Environment> {
  /** Of the server: `https://host`, `wss://host`, with a path when a proxy adds one. */
  url: string;
  /** A JSON Web Token, or what fetches a fresh one before each connection. */
  token: Token;
  /** The most unacknowledged measurements kept; default 10,000. */
  outboxCapacity?: number;
}

export interface SubscribeOptions {
  /** Continue after this position; absent: from now on. */
  since?: Position;
}

export interface SubscriptionHandle {
  /** Where this topic stands; store it to continue in a later session. */
  readonly position: Position | undefined;
  unsubscribe(): void;
}

interface Request {
  resolve: (data: HealthData) => void;
  reject: (error: HealthMateError) => void;
}

type Unnumbered<Command> = Command extends unknown ? Omit<Command, "correlation_id"> : never;

/** One user's live connection to HealthMate. */
export class HealthMateClient {
  readonly #env: Environment;
  readonly #connection: Connection;
  readonly #outbox: Outbox;
  readonly #subscriptions = new Set<Subscription>();
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

  /** Messages that break the wire contract, and tokens that could not be fetched. */
  onProblem(listener: (problem: unknown) => void): () => void {
    return this.#connection.problemObservers.add(listener);
  }

  /** Listens to a topic, over every reconnect, until unsubscribed. */
  subscribe(topic: string, handler: TopicHandler, options: SubscribeOptions = {}): SubscriptionHandle {
    const subscription = new Subscription(topic, handler, options.since, (command) => this.#post(command));
    this.#subscriptions.add(subscription);
    if (this.#connection.authenticated) subscription.request();
    return {
      get position() {
        return subscription.position && { ...subscription.position };
      },
      unsubscribe: () => {
        this.#subscriptions.delete(subscription);
        const shared = [...this.#subscriptions].some((other) => other.topic === subscription.topic);
        if (this.#connection.authenticated && !shared) this.#post({ type: "unsubscribe", topic: subscription.topic });
      },
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

  /** Recorded measurements, newest first. */
  getHealthData(query: HealthDataQuery = {}): Promise<HealthData> {
    if (!this.#connection.authenticated) return Promise.reject(disconnectedError());
    return new Promise((resolve, reject) => {
      this.#requests.set(this.#post({ type: "get_health_data", ...query }), { resolve, reject });
    });
  }

  #post(command: Unnumbered<ClientCommand>): string {
    const correlationId = String(++this.#correlation);
    this.#connection.send({ ...command, correlation_id: correlationId });
    return correlationId;
  }

  #moved(status: ConnectionStatus): void {
    if (status.state === "authenticated") return this.#signedIn();
    if (status.state === "connecting" || status.state === "connected") return;
    for (const subscription of this.#subscriptions) subscription.disconnected();
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
        return this.#asking(message.correlation_id)?.subscribed(message.data);
      case "subscription_denied":
        return this.#denied(message.correlation_id, message.data);
      case "health_update":
        for (const one of this.#subscriptions) if (one.topic === message.topic) one.event(message);
        return;
      case "heartbeat":
        return this.#heartbeat(message.data);
      case "acknowledgment":
        this.#refusals = 0;
        return this.#outbox.acknowledged(message.correlation_id, message.data);
      case "health_data_response":
        return this.#take(message.correlation_id)?.resolve(message.data);
      case "error":
        return this.#refused(message.correlation_id, message.data);
    }
  }

  #signedIn(): void {
    for (const subscription of this.#subscriptions) subscription.request();
    this.#outbox.connected();
  }

  #heartbeat({ epoch, heads }: HeartbeatData): void {
    for (const subscription of this.#subscriptions) {
      const head = heads[subscription.topic] ?? 0;
      if (!subscription.isBehind(epoch, head)) continue;
      const before = subscription.position?.offset;
      // A slow link may still be delivering: only a position that stands still means that something is missing.
      this.#env.setTimer(() => {
        const stuck = this.#subscriptions.has(subscription) && subscription.position?.offset === before;
        if (stuck && subscription.isBehind(epoch, head)) subscription.request();
      }, BEHIND_GRACE_MS);
    }
  }

  #denied(correlationId: string | undefined, refusal: RefusedSubscription): void {
    // Without a correlation id it answers no request: access to this topic has ended.
    const ended = [...this.#subscriptions].filter(({ topic }) => correlationId === undefined && topic === refusal.topic);
    for (const subscription of ended) this.#deny(subscription, refusal);
    const asking = this.#asking(correlationId);
    if (asking !== undefined) this.#deny(asking, refusal);
  }

  #deny(subscription: Subscription, refusal: RefusedSubscription): void {
    if (refusal.retry) return this.#askAgain(subscription);
    this.#subscriptions.delete(subscription);
    subscription.denied(refusal);
  }

  #askAgain(subscription: Subscription): void {
    subscription.disconnected();
    this.#later(() => {
      if (this.#subscriptions.has(subscription) && this.#connection.authenticated) subscription.request();
    });
  }

  #refused(correlationId: string | undefined, error: ErrorData): void {
    this.#take(correlationId)?.reject(new HealthMateError(error));
    const topic = this.#asking(correlationId)?.topic;
    if (topic !== undefined) return this.#denied(correlationId, { topic, ...error });
    if (this.#outbox.refused(correlationId, error) === "retry") this.#later(() => this.#outbox.flush());
  }

  /** Runs `action` after a pause that grows with every refusal since the last success. */
  #later(action: () => void): void {
    this.#env.setTimer(action, backoffDelay(this.#refusals++, this.#env.random));
  }

  #asking(correlationId: string | undefined): Subscription | undefined {
    return [...this.#subscriptions].find((subscription) => subscription.awaits(correlationId));
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

import type { SetTimer } from "./environment.js";
import type {
  ClientCommand,
  DurableEvent,
  EphemeralKind,
  HealthWaveform,
  HeartbeatData,
  Position,
  PresenceUpdate,
  RefusedSubscription,
  Subscribe,
  SubscriptionData,
} from "./protocol.js";
import { type SubscribeOptions, Subscription, type TopicHandler } from "./subscription.js";

/** How long events named by a heartbeat may still be on their way before the client asks for them. */
const BEHIND_GRACE_MS = 1_000;
/** Acknowledgments of so long are sent as one: each says that everything up to its offset is handled. */
const ACKNOWLEDGE_WITHIN_MS = 100;

export type Unnumbered<Command> = Command extends unknown ? Omit<Command, "correlation_id"> : never;

/** What the topics need of the client that they belong to. */
export interface Line {
  /** Sends a command; returns its correlation id. */
  post(command: Unnumbered<ClientCommand>): string;
  /** Sends a command that has no answer unless it is refused. */
  tell(command: Unnumbered<ClientCommand>): void;
  /** Runs `action` after a pause that grows with every refusal. */
  later(action: () => void): void;
  setTimer: SetTimer;
  problem(problem: unknown): void;
}

/** The subscriptions of one client. Those of one topic share one subscription on the wire. */
export class Topics {
  readonly #connection: { readonly authenticated: boolean };
  readonly #line: Line;
  readonly #subscriptions = new Set<Subscription>();
  /** Topics of which the lost session sends more than anybody still wants. */
  readonly #outdated = new Set<string>();
  /** Whose acknowledgment waits for its timer. */
  readonly #acknowledging = new Set<Subscription>();

  constructor(connection: { readonly authenticated: boolean }, line: Line) {
    this.#connection = connection;
    this.#line = line;
  }

  add(topic: string, handler: TopicHandler, options: SubscribeOptions): Subscription {
    const others = this.#of(topic);
    if (others.length > 0 && [options, ...others.map((other) => other.options)].some(({ acknowledge }) => acknowledge)) {
      throw new TypeError(`${topic}: a subscription with acknowledge shares its topic with no other`);
    }
    const subscription = new Subscription(topic, handler, options, {
      ask: (asking, since) => this.#line.post(this.#wish(asking, since)),
      acknowledge: (handled) => this.#acknowledge(handled),
      failed: (problem) => this.#line.problem(problem),
    });
    this.#subscriptions.add(subscription);
    if (this.#connection.authenticated) subscription.request();
    return subscription;
  }

  remove(subscription: Subscription): void {
    if (!this.#subscriptions.delete(subscription)) return;
    subscription.ended();
    const others = this.#of(subscription.topic);
    const [other] = others;
    // Nobody else wants what this one had included.
    const less = includedBy(others).length < includedBy([...others, subscription]).length;
    if (!this.#connection.authenticated) {
      // The session does not know.
      if (less) this.#outdated.add(subscription.topic);
    } else if (other === undefined) {
      this.#line.post({ type: "unsubscribe", topic: subscription.topic });
    } else if (less) {
      other.request();
    }
  }

  /**
   * Signed in. In the session that was lost, the server answers for each topic by itself; who joined a topic meanwhile
   * asks after that answer, or it would undo what was asked.
   */
  connected(resumed: boolean): void {
    if (!resumed) this.#outdated.clear();
    for (const subscription of this.#subscriptions) {
      const inSession = resumed && this.#of(subscription.topic).some(({ isCut }) => isCut);
      if (!inSession) subscription.request();
    }
  }

  disconnected(): void {
    for (const subscription of this.#subscriptions) subscription.disconnected();
  }

  /** The last event held of each durable topic that the session had. */
  offsets(): Record<string, number> {
    const offsets: Record<string, number> = {};
    for (const { isCut, topic, position } of this.#subscriptions) {
      // Where several listen, the one that is furthest behind counts; the others drop what they have.
      if (isCut && position !== undefined) offsets[topic] = Math.min(position.offset, offsets[topic] ?? Infinity);
    }
    return offsets;
  }

  taken(correlationId: string | undefined, data: SubscriptionData): void {
    if (correlationId !== undefined) return this.asking(correlationId)?.subscribed(data);
    const returning = this.#of(data.topic).filter(({ isCut }) => isCut);
    for (const subscription of returning) subscription.subscribed(data);
    const outdated = this.#outdated.delete(data.topic);
    for (const subscription of this.#of(data.topic)) if (outdated || subscription.isIdle) subscription.request();
    // Given up while the connection was lost. A request on its way may yet be for this topic, by its short name.
    const wanted = this.#of(data.topic).length > 0 || [...this.#subscriptions].some(({ isAsked }) => isAsked);
    if (!wanted) this.#line.post({ type: "unsubscribe", topic: data.topic });
  }

  denied(correlationId: string | undefined, refusal: RefusedSubscription): void {
    // Without a correlation id it answers no request: access to this topic has ended.
    const ended = correlationId === undefined ? this.#of(refusal.topic) : [];
    const asking = this.asking(correlationId);
    for (const subscription of asking === undefined ? ended : [asking]) this.#deny(subscription, refusal);
  }

  asking(correlationId: string | undefined): Subscription | undefined {
    return [...this.#subscriptions].find((subscription) => subscription.awaits(correlationId));
  }

  event(event: DurableEvent): void {
    for (const subscription of this.#of(event.topic)) subscription.event(event);
  }

  waveform(event: HealthWaveform): void {
    for (const { handler } of this.#including("waveform", event.topic)) handler.waveform?.(event);
  }

  presence(event: PresenceUpdate): void {
    for (const { handler } of this.#including("presence", event.topic)) handler.presence?.(event);
  }

  merged(topic: string, events: number): void {
    for (const { handler, options } of this.#of(topic)) if (options.delivery === "latest") handler.merged?.(events);
  }

  heartbeat({ epoch, heads }: HeartbeatData): void {
    for (const subscription of this.#subscriptions) {
      // The session should have answered for it long before the first heartbeat.
      if (subscription.isCut || subscription.isIdle) subscription.request();
      const head = heads[subscription.topic] ?? 0;
      if (!subscription.isBehind(epoch, head)) continue;
      const before = subscription.position?.offset;
      // A slow link may still be delivering: only a position that stands still means that something is missing.
      this.#line.setTimer(() => {
        const stuck = this.#subscriptions.has(subscription) && subscription.position?.offset === before;
        if (stuck && subscription.isBehind(epoch, head)) subscription.request();
      }, BEHIND_GRACE_MS);
    }
  }

  #deny(subscription: Subscription, refusal: RefusedSubscription): void {
    if (!refusal.retry) {
      this.#subscriptions.delete(subscription);
      return subscription.denied(refusal);
    }
    subscription.ended();
    this.#line.later(() => {
      const waiting = this.#subscriptions.has(subscription) && subscription.isIdle;
      if (waiting && this.#connection.authenticated) subscription.request();
    });
  }

  #wish({ topic, options }: Subscription, since: Position | undefined): Unnumbered<Subscribe> {
    const sharing = this.#of(topic);
    const include = includedBy(sharing);
    return {
      type: "subscribe",
      topic,
      ...(since && { since }),
      // One that wants every event decides for all.
      ...(sharing.every((one) => one.options.delivery === "latest") && { delivery: "latest" }),
      ...(include.length > 0 && { include }),
      ...(options.acknowledge && { acknowledge: true }),
    };
  }

  #acknowledge(subscription: Subscription): void {
    if (this.#acknowledging.has(subscription)) return;
    this.#acknowledging.add(subscription);
    this.#line.setTimer(() => {
      this.#acknowledging.delete(subscription);
      const { topic, position } = subscription;
      const offset = this.#subscriptions.has(subscription) && subscription.isLive ? (position?.offset ?? 0) : 0;
      if (offset > 0) this.#line.tell({ type: "acknowledge", topic, offset });
    }, ACKNOWLEDGE_WITHIN_MS);
  }

  #of(topic: string): Subscription[] {
    return [...this.#subscriptions].filter((subscription) => subscription.topic === topic);
  }

  #including(kind: EphemeralKind, topic: string): Subscription[] {
    return this.#of(topic).filter(({ options }) => options.include?.includes(kind));
  }
}

function includedBy(subscriptions: readonly Subscription[]): EphemeralKind[] {
  return [...new Set(subscriptions.flatMap(({ options }) => options.include ?? []))];
}

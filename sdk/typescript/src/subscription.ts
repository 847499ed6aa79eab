import { Handling } from "./handling.js";
import type {
  DurableEvent,
  EphemeralKind,
  GapReason,
  HealthUpdate,
  HealthWaveform,
  NotificationEvent,
  Position,
  PresenceUpdate,
  RefusedSubscription,
  SubscriptionData,
} from "./protocol.js";

/** Offsets `from` to `to`, both included, that this client will never see. */
export interface Gap {
  from: number;
  to: number;
  /** `unexplained`: the server left them out twice without saying why. */
  reason: GapReason | "unexplained";
}

/** What happens on one topic. Events come in offset order, each once. */
export interface TopicHandler {
  /**
   * A measurement. With `acknowledge`, the event counts as handled when this returns, or when the promise that it returns resolves;
   * the next one comes then. When it throws or rejects, the event comes again.
   */
  event?(event: HealthUpdate): unknown;
  /** On the topic `notifications`, in place of `event`; the same holds for it. */
  notification?(event: NotificationEvent): unknown;
  /** Events are gone for good; later ones follow. */
  gap?(gap: Gap): void;
  /** Drop everything held of this topic: delivery starts anew, under another epoch or from the oldest event kept. */
  reset?(reason: GapReason): void;
  /** The server has taken the subscription, also after each reconnect; `head` is the newest offset at that moment. */
  subscribed?(data: SubscriptionData): void;
  denied?(refusal: RefusedSubscription): void;
  /** With `delivery: "latest"`: so many events were superseded on their way; the newest ones follow. */
  merged?(events: number): void;
  /** With `include: ["waveform"]`. A slow reader misses strips; their `sequence` shows it. */
  waveform?(event: HealthWaveform): void;
  /** With `include: ["presence"]`: somebody begins or ceases to watch this topic. */
  presence?(event: PresenceUpdate): void;
}

export interface SubscribeOptions {
  /** Continue after this position; absent: from now on. Not with `delivery: "latest"`. */
  since?: Position;
  /**
   * `durable`, the default: every event. `latest`: the newest value of each metric first, then live; when this client
   * does not keep up, superseded values are left out and counted.
   */
  delivery?: "durable" | "latest";
  /** Ephemeral events to be sent as well; none by default. */
  include?: readonly EphemeralKind[];
  /** The server sends every event again until the handler has handled it. Not with `delivery: "latest"`. */
  acknowledge?: boolean;
}

/** What a subscription asks of the client that it belongs to. */
export interface Errands {
  /** Subscribes on the wire; returns the correlation id. */
  ask(subscription: Subscription, since: Position | undefined): string;
  /** Events up to the position are handled. */
  acknowledge(subscription: Subscription): void;
  /** The handler failed. */
  failed(problem: unknown): void;
}

/**
 * `asked`: a request has no answer yet, and events that come meanwhile belong to the time before. `cut`: it was live
 * when the connection was lost, so the server's session may still hold it.
 */
type State = { name: "idle" } | { name: "asked"; correlationId: string } | { name: "live" } | { name: "cut" };

/**
 * One topic's position, and what each message of the server does to it. Asks for a subscription whenever what came
 * does not follow what it has.
 */
export class Subscription {
  readonly handler: TopicHandler;
  readonly options: SubscribeOptions;
  /** As asked for, possibly a short name such as `health_updates`; then as the server names it. */
  topic: string;
  /** The newest event that was handled; always absent with `delivery: "latest"`. */
  position: Position | undefined;
  readonly #errands: Errands;
  #state: State = { name: "idle" };
  /** The newest offset that came in: ahead of the position only while events wait for the handler. */
  #received = 0;
  /** Where a hole was found before: finding it there again means that asking again is no use. */
  #holeAt: number | undefined;
  /** Present with `acknowledge`. */
  readonly #handling: Handling | undefined;
  /** The handler failed: nothing is taken until the server sends that event again. */
  #failed = false;
  /** With `latest`: the newest offset of each series, and the epoch they belong to. */
  readonly #newest = new Map<string, number>();
  #epoch: string | undefined;

  constructor(topic: string, handler: TopicHandler, options: SubscribeOptions, errands: Errands) {
    if (options.delivery === "latest" && (options.since !== undefined || options.acknowledge === true)) {
      throw new TypeError('delivery: "latest" goes neither with since nor with acknowledge');
    }
    this.topic = topic;
    this.handler = handler;
    this.options = options;
    this.#errands = errands;
    this.#moveTo(options.since && { ...options.since });
    if (options.acknowledge !== true) return;
    this.#handling = new Handling(
      (event) => this.#hand(event),
      (event) => this.#handled(event),
      (problem) => this.#rejected(problem),
    );
  }

  /** Subscribes, from the position if there is one. */
  request(): void {
    this.#rewind();
    this.#state = { name: "asked", correlationId: this.#errands.ask(this, this.position && { ...this.position }) };
  }

  /** Whether this reply answers the latest request. */
  awaits(correlationId: string | undefined): boolean {
    return correlationId !== undefined && this.#state.name === "asked" && this.#state.correlationId === correlationId;
  }

  /** Whether the server's session may still hold it after a lost connection. */
  get isCut(): boolean {
    return this.#state.name === "cut";
  }

  /** Whether nothing is delivered and nothing was asked. */
  get isIdle(): boolean {
    return this.#state.name === "idle";
  }

  get isAsked(): boolean {
    return this.#state.name === "asked";
  }

  get isLive(): boolean {
    return this.#state.name === "live";
  }

  disconnected(): void {
    this.#state = { name: this.isLive || this.isCut ? "cut" : "idle" };
    this.#rewind();
  }

  /** The server does not deliver it any more. */
  ended(): void {
    this.#state = { name: "idle" };
    this.#handling?.clear();
  }

  subscribed(data: SubscriptionData): void {
    const returning = this.isCut;
    this.#state = { name: "live" };
    this.topic = data.topic;
    if (this.options.delivery === "latest") this.#enter(data.epoch);
    else if (data.resumed === "gap") this.#resumeAfterGap(data);
    else if (data.resumed === undefined && !returning) {
      this.#moveTo({ epoch: data.epoch, offset: data.head });
    }
    this.handler.subscribed?.(data);
    // The server may not have heard of the last one before the connection was lost.
    if (returning && this.#handling !== undefined) this.#errands.acknowledge(this);
  }

  denied(refusal: RefusedSubscription): void {
    this.ended();
    this.handler.denied?.(refusal);
  }

  event(event: DurableEvent): void {
    if (!this.isLive) return;
    if (this.options.delivery === "latest") return event.type === "health_update" ? this.#newer(event) : undefined;
    const { position } = this;
    if (position === undefined || event.offset <= this.#received) return;
    const next = event.offset === this.#received + 1;
    if (!next && (this.#failed || !this.#passHole(this.#received, event.offset))) return;
    this.#failed = false;
    this.#received = event.offset;
    if (this.#handling !== undefined) return this.#handling.put(event);
    position.offset = event.offset;
    this.#hand(event);
  }

  #hand(event: DurableEvent): unknown {
    return event.type === "notification" ? this.handler.notification?.(event) : this.handler.event?.(event);
  }

  /** Whether this heartbeat shows that the position means nothing any more, or that events are missing. */
  isBehind(epoch: string, head: number): boolean {
    if (!this.isLive || this.position === undefined) return false;
    // What is not acknowledged comes again without being asked for.
    return this.position.epoch !== epoch || (this.#handling === undefined && this.position.offset < head);
  }

  #moveTo(position: Position | undefined): void {
    this.#handling?.disown();
    this.#failed = false;
    this.position = position;
    this.#received = position?.offset ?? 0;
  }

  /** Lets go of what waits for the handler: it comes again. */
  #rewind(): void {
    this.#handling?.clear();
    this.#failed = false;
    this.#received = this.#handling?.inHand ?? this.position?.offset ?? 0;
  }

  #handled(event: DurableEvent): void {
    if (this.position === undefined) return;
    this.position.offset = event.offset;
    this.#errands.acknowledge(this);
  }

  #rejected(problem: unknown): void {
    this.#rewind();
    this.#failed = true;
    this.#errands.failed(problem);
  }

  #enter(epoch: string): void {
    const before = this.#epoch;
    this.#epoch = epoch;
    if (before === undefined || before === epoch) return;
    this.#newest.clear();
    this.handler.reset?.("new_epoch");
  }

  #newer(event: HealthUpdate): void {
    const series = `${event.data.patient} ${event.data.metric}`;
    if (event.offset <= (this.#newest.get(series) ?? 0)) return;
    this.#newest.set(series, event.offset);
    this.handler.event?.(event);
  }

  #resumeAfterGap(data: SubscriptionData): void {
    const reason = data.reason ?? "retention";
    const known = reason === "retention" ? (this.position?.offset ?? 0) : 0;
    if (reason !== "retention") this.handler.reset?.(reason);
    this.#moveTo({ epoch: data.epoch, offset: data.to ?? known });
    if (data.from !== undefined && data.to !== undefined) this.handler.gap?.({ from: data.from, to: data.to, reason });
  }

  #passHole(last: number, next: number): boolean {
    if (this.#holeAt === last) {
      this.handler.gap?.({ from: last + 1, to: next - 1, reason: "unexplained" });
      return true;
    }
    this.#holeAt = last;
    this.request();
    return false;
  }
}

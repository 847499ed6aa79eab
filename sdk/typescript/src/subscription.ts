import type { GapReason, HealthUpdate, Position, RefusedSubscription, Subscribe, SubscriptionData } from "./protocol.js";

/** Offsets `from` to `to`, both included, that this client will never see. */
export interface Gap {
  from: number;
  to: number;
  /** `unexplained`: the server left them out twice without saying why. */
  reason: GapReason | "unexplained";
}

/** What happens on one topic. Events come in offset order, each once. */
export interface TopicHandler {
  event(event: HealthUpdate): void;
  /** Events are gone for good; later ones follow. */
  gap?(gap: Gap): void;
  /** Drop everything held of this topic: delivery starts anew, under another epoch or from the oldest event kept. */
  reset?(reason: GapReason): void;
  /** The server has taken the subscription, also after each reconnect; `head` is the newest offset at that moment. */
  subscribed?(data: SubscriptionData): void;
  denied?(refusal: RefusedSubscription): void;
}

/**
 * One topic's position, and what each message of the server does to it. Asks for a subscription (through `ask`)
 * whenever what came does not follow what it has.
 */
export class Subscription {
  readonly handler: TopicHandler;
  /** As asked for, possibly a short name such as `health_updates`; then as the server names it. */
  topic: string;
  position: Position | undefined;
  readonly #ask: (command: Omit<Subscribe, "correlation_id">) => string;
  /** Correlation id of the request without an answer yet; events that come meanwhile belong to the time before. */
  #pending: string | undefined;
  #live = false;
  /** Where a hole was found before: finding it there again means that asking again is no use. */
  #holeAt: number | undefined;

  constructor(
    topic: string,
    handler: TopicHandler,
    since: Position | undefined,
    ask: (command: Omit<Subscribe, "correlation_id">) => string,
  ) {
    this.topic = topic;
    this.handler = handler;
    this.position = since && { ...since };
    this.#ask = ask;
  }

  /** Subscribes, from the position if there is one. */
  request(): void {
    this.#live = false;
    const since = this.position && { since: { ...this.position } };
    this.#pending = this.#ask({ type: "subscribe", topic: this.topic, ...since });
  }

  /** Whether this reply answers the latest request. */
  awaits(correlationId: string | undefined): boolean {
    return correlationId !== undefined && correlationId === this.#pending;
  }

  disconnected(): void {
    this.#pending = undefined;
    this.#live = false;
  }

  subscribed(data: SubscriptionData): void {
    this.#pending = undefined;
    this.#live = true;
    this.topic = data.topic;
    if (data.resumed === undefined) this.position = { epoch: data.epoch, offset: data.head };
    else if (data.resumed === "gap") this.#resumeAfterGap(data);
    this.handler.subscribed?.(data);
  }

  denied(refusal: RefusedSubscription): void {
    this.#pending = undefined;
    this.handler.denied?.(refusal);
  }

  event(event: HealthUpdate): void {
    const position = this.position;
    if (!this.#live || position === undefined || event.offset <= position.offset) return;
    if (event.offset > position.offset + 1 && !this.#passHole(position.offset, event.offset)) return;
    position.offset = event.offset;
    this.handler.event(event);
  }

  /** Whether this heartbeat shows that the position means nothing any more, or that events are missing. */
  isBehind(epoch: string, head: number): boolean {
    return this.#live && this.position !== undefined && (this.position.epoch !== epoch || this.position.offset < head);
  }

  #resumeAfterGap(data: SubscriptionData): void {
    const reason = data.reason ?? "retention";
    const known = reason === "retention" ? (this.position?.offset ?? 0) : 0;
    if (reason !== "retention") this.handler.reset?.(reason);
    this.position = { epoch: data.epoch, offset: data.to ?? known };
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

import { HealthMateError } from "./errors.js";
import { Observers } from "./observers.js";
import type { AcknowledgmentData, ErrorData, Measurement, SendMeasurements } from "./protocol.js";

/** The server works on 64 commands of a connection at most; this leaves room for others. */
const MAX_IN_FLIGHT = 16;
export const DEFAULT_OUTBOX_CAPACITY = 10_000;

export interface OutboxState {
  /** Measurements not acknowledged yet. */
  measurements: number;
  /** The most that the outbox holds. */
  capacity: number;
  /** Batches on their way to the server. */
  inFlight: number;
  /** Batches waiting for a connection or for their turn. */
  waiting: number;
}

interface Parcel {
  command: Omit<SendMeasurements, "correlation_id">;
  /** Set while on its way. */
  correlationId?: string;
  resolve: (data: AcknowledgmentData) => void;
  reject: (error: HealthMateError) => void;
}

/**
 * Measurements on their way to the server, kept until it has acknowledged them, sent again after a reconnect. Their
 * client ids make that harmless: the server stores each once.
 */
export class Outbox {
  readonly observers = new Observers<OutboxState>();
  readonly #capacity: number;
  readonly #post: (command: Omit<SendMeasurements, "correlation_id">) => string;
  #parcels: Parcel[] = [];
  #open = false;

  /** @param post sends a command and returns its correlation id */
  constructor(capacity: number, post: (command: Omit<SendMeasurements, "correlation_id">) => string) {
    this.#capacity = capacity;
    this.#post = post;
  }

  get state(): OutboxState {
    const inFlight = this.#parcels.filter((parcel) => parcel.correlationId !== undefined).length;
    const measurements = this.pending().length;
    return { measurements, capacity: this.#capacity, inFlight, waiting: this.#parcels.length - inFlight };
  }

  /** What was not acknowledged yet, oldest first, for an app that keeps it over a restart. */
  pending(): Measurement[] {
    return this.#parcels.flatMap((parcel) => parcel.command.batch);
  }

  /** @returns what the server answers; rejects with `outbox_full` when there is no room */
  put(batch: Measurement[], patient: string | undefined): Promise<AcknowledgmentData> {
    if (this.pending().length + batch.length > this.#capacity) {
      const message = `outbox holds at most ${this.#capacity} measurements`;
      return Promise.reject(new HealthMateError({ code: "outbox_full", message, retry: true }));
    }
    return new Promise((resolve, reject) => {
      const command = { type: "health_update" as const, ...(patient !== undefined && { patient }), batch };
      this.#parcels.push({ command, resolve, reject });
      this.flush();
    });
  }

  /** The connection is authenticated: everything unacknowledged goes out, in order. */
  connected(): void {
    this.#open = true;
    this.flush();
  }

  disconnected(): void {
    this.#open = false;
    for (const parcel of this.#parcels) delete parcel.correlationId;
    this.#changed();
  }

  flush(): void {
    let inFlight = this.state.inFlight;
    for (const parcel of this.#open ? this.#parcels : []) {
      if (inFlight >= MAX_IN_FLIGHT) break;
      if (parcel.correlationId !== undefined) continue;
      parcel.correlationId = this.#post(parcel.command);
      inFlight++;
    }
    this.#changed();
  }

  acknowledged(correlationId: string | undefined, data: AcknowledgmentData): void {
    this.#take(correlationId)?.resolve(data);
    this.flush();
  }

  /**
   * The server refused a command. When trying again can help, the parcel stays and waits for the next `flush`.
   *
   * @returns `retry` when it stays, `rejected` when its sender was told, `foreign` when it is no parcel of this outbox
   */
  refused(correlationId: string | undefined, error: ErrorData): "retry" | "rejected" | "foreign" {
    const parcel = this.#parcels.find((one) => one.correlationId !== undefined && one.correlationId === correlationId);
    if (parcel === undefined) return "foreign";
    if (error.retry) {
      delete parcel.correlationId;
      this.#changed();
      return "retry";
    }
    this.#take(correlationId)?.reject(new HealthMateError(error));
    this.flush();
    return "rejected";
  }

  /** Gives up: every sender still waiting is told. */
  abandon(error: HealthMateError): void {
    const parcels = this.#parcels;
    this.#parcels = [];
    this.#open = false;
    for (const parcel of parcels) parcel.reject(error);
    this.#changed();
  }

  #take(correlationId: string | undefined): Parcel | undefined {
    if (correlationId === undefined) return undefined;
    const index = this.#parcels.findIndex((parcel) => parcel.correlationId === correlationId);
    return index < 0 ? undefined : this.#parcels.splice(index, 1)[0];
  }

  #changed(): void {
    this.observers.notify(this.state);
  }
}

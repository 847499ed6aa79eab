import type { ErrorData } from "./protocol.js";

/** A refusal of the server, or `disconnected`, `closed`, `unreachable`, `outbox_full`, `passkey_…` of the client itself. */
export class HealthMateError extends Error {
  override name = "HealthMateError";
  /** Stable. */
  readonly code: string;
  /** The field that is wrong, where there is one. */
  readonly field: string | undefined;
  /** Whether the same request can work later. */
  readonly retry: boolean;

  constructor(refusal: ErrorData) {
    super(refusal.message);
    this.code = refusal.code;
    this.field = refusal.field;
    this.retry = refusal.retry;
  }
}

export const closedError = (message: string) => new HealthMateError({ code: "closed", message, retry: false });

export const unreachableError = () =>
  new HealthMateError({ code: "unreachable", message: "the server cannot be reached", retry: true });

export const disconnectedError = () =>
  new HealthMateError({ code: "disconnected", message: "the connection was lost before the reply came", retry: true });

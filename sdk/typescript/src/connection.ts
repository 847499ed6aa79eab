import { backoffDelay } from "./backoff.js";
import { decode } from "./decode.js";
import type { Environment, WebSocketLike } from "./environment.js";
import { Observers } from "./observers.js";
import {
  type AuthenticationData,
  type ClientCommand,
  mayReconnect,
  type Refusal,
  type ServerMessage,
  SUBPROTOCOL,
} from "./protocol.js";
import { Renewal } from "./renewal.js";
import { Watchdog } from "./watchdog.js";

/** How long a new socket may take until it is authenticated. */
const AUTHENTICATED_WITHIN_MS = 15_000;
/** How long silence may exceed two heartbeat intervals. */
const SILENCE_GRACE_MS = 5_000;
/** To a server that seems dead: not 1000, which would end the session. */
const CLOSE_LOST = 4001;
/** A connection that lasted this long counts as good: the next loss starts the backoff from its beginning. */
const STABLE_AFTER_MS = 5_000;

/**
 * `connected` is a socket not signed in yet. After a loss the state is `reconnecting` until the next socket is
 * `authenticated`.
 */
export type ConnectionState = "connecting" | "connected" | "authenticated" | "reconnecting" | "closed";

export interface ConnectionStatus {
  state: ConnectionState;
  /** While reconnecting: when the next attempt starts, by the client's clock; absent while an attempt runs. */
  retryAt?: number;
  /** Once closed by the server for good, or by a refused sign-in: why. */
  ended?: { code: string; message: string };
}

export type Token = string | (() => Promise<string>);

interface CloseEventLike {
  code: number;
  reason: string;
}

/**
 * Keeps one authenticated socket to the server: opens it, signs in, notices when it is dead, and opens the next one
 * after a jittered pause, until the server says not to come back or `close` is called.
 */
export class Connection {
  readonly statusObservers = new Observers<ConnectionStatus>();
  readonly messageObservers = new Observers<ServerMessage>();
  /** Messages that break the contract; the client skips them and resumes if one leaves a hole. */
  readonly problemObservers = new Observers<unknown>();

  /** The server's limit for one message. */
  maxMessageBytes = 65_536;
  /** The signed-in user, once authenticated. */
  user: AuthenticationData | undefined;
  /** The last event held of each topic of the session, asked for when it is to be resumed. */
  offsets: () => Record<string, number> = () => ({});

  readonly #url: string;
  readonly #token: Token;
  readonly #env: Environment;
  readonly #watchdog: Watchdog;
  /** Absent when there is only the one token. */
  readonly #renewal: Renewal | undefined;
  #status: ConnectionStatus = { state: "closed" };
  #socket: WebSocketLike | undefined;
  /** To come back to after a loss; forgotten by whoever leaves for good. */
  #sessionId: string | undefined;
  /** Tells an outdated attempt, still waiting for its token, that it is outdated. */
  #generation = 0;
  #failures = 0;
  /** When the server asked to be left alone until, counted from the close. */
  #comeBackAfterMs: number | undefined;
  #heartbeatMs = 30_000;
  #authenticatedAt: number | undefined;
  #refusal: Refusal | undefined;
  #cancelRetry: (() => void) | undefined;

  constructor(url: string, token: Token, env: Environment) {
    this.#url = url;
    this.#token = token;
    this.#env = env;
    this.#watchdog = new Watchdog(env, () => this.#lost());
    if (typeof token === "string") return;
    const authenticate = (fresh: string) => this.send({ type: "authenticate", token: fresh });
    this.#renewal = new Renewal(env, token, authenticate, (problem) => this.problemObservers.notify(problem));
  }

  get status(): ConnectionStatus {
    return this.#status;
  }

  /** What was sent and has not left this machine, in bytes. */
  get buffered(): number {
    return this.#socket?.bufferedAmount ?? 0;
  }

  get authenticated(): boolean {
    return this.#status.state === "authenticated";
  }

  /** Starts to connect; does nothing when already started. */
  open(): void {
    if (this.#status.state !== "closed") return;
    this.#failures = 0;
    this.#report({ state: "connecting" });
    void this.#attempt();
  }

  /** While waiting to reconnect: tries now, as when the network is known to be back. */
  retryNow(): void {
    if (this.#status.retryAt === undefined) return;
    this.#cancelRetry?.();
    this.#retry();
  }

  close(): void {
    this.#end({ state: "closed" });
  }

  send(command: ClientCommand): void {
    this.#socket?.send(JSON.stringify(command));
  }

  async #attempt(): Promise<void> {
    const generation = ++this.#generation;
    this.#refusal = undefined;
    this.#watchdog.start(AUTHENTICATED_WITHIN_MS);
    try {
      const token = typeof this.#token === "string" ? this.#token : await this.#token();
      if (generation === this.#generation) this.#openSocket(token);
    } catch (problem) {
      if (generation !== this.#generation) return;
      this.problemObservers.notify(problem);
      this.#lost();
    }
  }

  #openSocket(token: string): void {
    const socket = new this.#env.WebSocket(this.#url, [SUBPROTOCOL]);
    this.#socket = socket;
    socket.onopen = () => this.send({ type: "authenticate", token, ...this.#session() });
    socket.onmessage = (event: { data: unknown }) => this.#received(event.data);
    socket.onclose = (event: CloseEventLike) => this.#closed(event);
  }

  #session(): { session_id?: string; offsets?: Record<string, number> } {
    return this.#sessionId === undefined ? {} : { session_id: this.#sessionId, offsets: this.offsets() };
  }

  #received(payload: unknown): void {
    this.#watchdog.heard();
    let message: ServerMessage | undefined;
    try {
      message = decode(String(payload));
    } catch (problem) {
      this.problemObservers.notify(problem);
      return;
    }
    if (message === undefined) return;
    this.#follow(message);
    this.messageObservers.notify(message);
  }

  #follow(message: ServerMessage): void {
    if (message.type === "connection_established") {
      this.#heartbeatMs = message.data.heartbeat_interval_s * 1000;
      this.maxMessageBytes = message.data.max_message_bytes;
      if (this.#status.state === "connecting") this.#report({ state: "connected" });
    } else if (message.type === "authentication_success") {
      this.user = message.data;
      this.#sessionId = message.data.session_id;
      this.#renewal?.start(Date.parse(message.data.expires_at) - Date.parse(message.timestamp));
      if (!this.authenticated) this.#authenticate();
    } else if (message.type === "heartbeat") {
      // To the server, silence of a client that only listens is a lost client.
      this.send({ type: "ping" });
    } else if (message.type === "token_expiring") {
      this.#renewal?.now();
    } else if (message.type === "reconnect") {
      this.#comeBackAfterMs = message.data.after_ms;
    } else if (message.type === "authentication_failed") {
      this.#refusal = message.data;
    }
  }

  #authenticate(): void {
    this.#authenticatedAt = this.#env.now();
    this.#watchdog.start(2 * this.#heartbeatMs + SILENCE_GRACE_MS);
    this.#report({ state: "authenticated" });
  }

  #closed({ code, reason }: CloseEventLike): void {
    // A token that ended while it was in use, as in a laptop that slept, can be followed by a fresh one.
    const renewable = this.#renewal !== undefined && this.authenticated && this.#refusal?.code === "token_expired";
    if (mayReconnect(code) || renewable) return this.#lost();
    const ended = this.#refusal ?? { code: String(code), message: reason || `the server closed with code ${code}` };
    this.#end({ state: "closed", ended: { code: ended.code, message: ended.message } });
  }

  #lost(): void {
    this.#drop(CLOSE_LOST);
    const lasted = this.#authenticatedAt === undefined ? 0 : this.#env.now() - this.#authenticatedAt;
    this.#authenticatedAt = undefined;
    if (lasted >= STABLE_AFTER_MS) this.#failures = 0;
    const delay = this.#comeBackAfterMs ?? backoffDelay(this.#failures++, this.#env.random);
    this.#comeBackAfterMs = undefined;
    this.#cancelRetry = this.#env.setTimer(() => this.#retry(), delay);
    this.#report({ state: "reconnecting", retryAt: this.#env.now() + delay });
  }

  #retry(): void {
    this.#cancelRetry = undefined;
    this.#report({ state: "reconnecting" });
    void this.#attempt();
  }

  #end(status: ConnectionStatus): void {
    this.#cancelRetry?.();
    this.#cancelRetry = undefined;
    this.#authenticatedAt = undefined;
    this.#sessionId = undefined;
    this.#drop(1000);
    this.#report(status);
  }

  /** Lets go of the socket at once: a dead one may take minutes to report its own close. */
  #drop(code: number): void {
    this.#generation++;
    this.#watchdog.stop();
    this.#renewal?.stop();
    const socket = this.#socket;
    this.#socket = undefined;
    if (socket === undefined) return;
    socket.onopen = socket.onmessage = socket.onclose = null;
    // An error event without a listener is thrown by some implementations.
    socket.onerror = () => {};
    socket.close(code);
  }

  #report(status: ConnectionStatus): void {
    this.#status = status;
    this.statusObservers.notify(status);
  }
}

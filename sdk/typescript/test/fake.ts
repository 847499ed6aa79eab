import { HealthMateClient, type HealthMateOptions, type WebSocketLike } from "../src/index.js";

/** A clock that stands still until it is advanced. */
export class FakeTime {
  #now = 1_000_000;
  #timers: { at: number; action: () => void }[] = [];

  now = () => this.#now;

  setTimer = (action: () => void, ms: number) => {
    const timer = { at: this.#now + ms, action };
    this.#timers.push(timer);
    return () => {
      this.#timers = this.#timers.filter((other) => other !== timer);
    };
  };

  /** Runs the timers of the next `ms` milliseconds, in their order. */
  advance(ms: number): void {
    const end = this.#now + ms;
    for (;;) {
      const next = this.#timers.filter((timer) => timer.at <= end).sort((a, b) => a.at - b.at)[0];
      if (next === undefined) break;
      this.#timers = this.#timers.filter((timer) => timer !== next);
      this.#now = Math.max(this.#now, next.at);
      next.action();
    }
    this.#now = end;
  }
}

export class FakeSocket implements WebSocketLike {
  static opened: FakeSocket[] = [];
  onopen: WebSocketLike["onopen"] = null;
  onmessage: WebSocketLike["onmessage"] = null;
  onclose: WebSocketLike["onclose"] = null;
  onerror: WebSocketLike["onerror"] = null;
  sent: any[] = [];
  closedByClient = false;
  closeCode: number | undefined;
  bufferedAmount = 0;

  constructor(
    readonly url: string,
    readonly protocols?: string[],
  ) {
    FakeSocket.opened.push(this);
  }

  send(data: string): void {
    this.sent.push(JSON.parse(data));
  }

  close(code?: number): void {
    this.closedByClient = true;
    this.closeCode = code;
  }

  /** The server says something. */
  says(type: string, data: object, rest: object = {}): void {
    this.onmessage?.({ data: JSON.stringify({ type, timestamp: "2026-11-23T07:00:00.000000Z", ...rest, data }) });
  }

  /** The server answers the newest command of this type. */
  answers(command: string, type: string, data: object): void {
    const sent = this.sent.findLast((one) => one.type === command);
    this.says(type, data, { correlation_id: sent.correlation_id });
  }

  closes(code: number, reason = ""): void {
    this.onclose?.({ code, reason });
  }

  of(type: string): any[] {
    return this.sent.filter((command) => command.type === type);
  }
}

export const refusal = (code: string, retry = false) => ({ code, message: `${code} happened`, retry });

export function event(offset: number) {
  return {
    patient: "patient-1",
    metric: "heart_rate",
    value: 60 + offset,
    unit: "/min",
    taken_at: "2026-11-23T07:00:00Z",
    recorded_at: "2026-11-23T07:00:00.100000Z",
    author: "device-1",
  };
}

/** A client with a fake server behind it. */
export class Stage {
  readonly time = new FakeTime();
  readonly client: HealthMateClient;
  readonly states: string[] = [];
  random = 0.5;

  constructor(options: Partial<HealthMateOptions> = {}) {
    FakeSocket.opened = [];
    const { now, setTimer } = this.time;
    const environment = { WebSocket: FakeSocket, now, setTimer, random: () => this.random };
    this.client = new HealthMateClient({ url: "http://localhost:8080", token: "secret", ...environment, ...options });
    this.client.onStatus(({ state }) => this.states.push(state));
  }

  get socket(): FakeSocket {
    return FakeSocket.opened.at(-1)!;
  }

  get sockets(): number {
    return FakeSocket.opened.length;
  }

  /** The newest socket opens and the server signs the client in; `session` is what it says of the session. */
  signIn(session: { session_id?: string; resumed?: boolean } = {}): FakeSocket {
    const { socket } = this;
    socket.onopen?.({});
    socket.says("connection_established", {
      connection_id: "c1",
      protocol: "healthmate.v1",
      heartbeat_interval_s: 30,
      authenticate_within_s: 10,
      max_message_bytes: 65536,
    });
    socket.says("authentication_success", {
      user_id: "nurse-1",
      role: "nurse",
      session_id: "s1",
      epoch: "e1",
      expires_at: "2026-11-24T07:00:00Z",
      ...session,
    });
    return socket;
  }

  /** Cuts the connection and lets the next attempt begin. */
  reconnect(session?: { session_id?: string; resumed?: boolean }): FakeSocket {
    this.socket.closes(1006);
    this.time.advance(this.client.status.retryAt! - this.time.now());
    return this.signIn(session);
  }
}

export async function settle(): Promise<void> {
  await new Promise((resolve) => setImmediate(resolve));
}

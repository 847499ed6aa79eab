/** The part of the browser's WebSocket that the client uses. */
export interface WebSocketLike {
  onopen: Listener | null;
  onmessage: Listener | null;
  onclose: Listener | null;
  onerror: Listener | null;
  send(data: string): void;
  close(code?: number, reason?: string): void;
  /** Bytes handed over that have not left yet. */
  readonly bufferedAmount?: number;
}

// `any`, because implementations (browser, Node, `ws`) disagree on the class of their events.
type Listener = (event: any) => void;

export type WebSocketClass = new (url: string, protocols?: string[]) => WebSocketLike;

/** Runs `action` once after `ms`; the result cancels it. */
export type SetTimer = (action: () => void, ms: number) => () => void;

/** Everything the client takes from outside: sockets, time and chance. Tests replace them. */
export interface Environment {
  WebSocket: WebSocketClass;
  /** Uniform in [0, 1). */
  random: () => number;
  /** Milliseconds; a wall clock, so that waking from sleep is noticed. */
  now: () => number;
  setTimer: SetTimer;
}

export const realRandom = () => Math.random();

export const realNow = () => Date.now();

export const realTimer: SetTimer = (action, ms) => {
  const timer = setTimeout(action, ms);
  return () => clearTimeout(timer);
};

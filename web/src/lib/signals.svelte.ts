import type { HealthMateClient, HealthWaveform, PresentUser, SubscriptionHandle } from "@healthmate/client";
import { oncePerFrame, type RequestFrame } from "./frame.js";
import { Sweep } from "./sweep.js";

/** How long a signal may say nothing until the screen says that it stopped, in milliseconds. */
export const SILENT_AFTER_MS = 3_000;

/** One signal as it is on the screen. */
export interface Signal {
  waveform: string;
  unit: string;
  device: string | undefined;
  sweep: Sweep;
  /** When the last strip came, in milliseconds since 1970. */
  heardAt: number;
}

/** What only the patient on the page shows: signals while they come, and who else is watching. */
export class LiveSignals {
  /** Replaced as a whole, at most once per frame. */
  signals: Signal[] = $state.raw([]);
  /** The others who watch this patient now. */
  watchers: PresentUser[] = $state.raw([]);

  readonly #topic: string;
  readonly #client: HealthMateClient;
  readonly #held = new Map<string, Signal>();
  readonly #changed: () => void;
  readonly #now: () => number;
  #subscription: SubscriptionHandle | undefined;

  constructor(topic: string, client: HealthMateClient, requestFrame?: RequestFrame, now: () => number = Date.now) {
    this.#topic = topic;
    this.#client = client;
    this.#now = now;
    this.#changed = oncePerFrame(() => (this.signals = [...this.#held.values()]), requestFrame);
  }

  /** Listens, beside the subscription for measurements, which stands at `since`. */
  start(since: SubscriptionHandle["position"]): void {
    if (this.#subscription !== undefined) return;
    const handler = {
      event: () => {},
      waveform: (event: HealthWaveform) => this.#heard(event),
      presence: () => void this.#look(),
      subscribed: () => void this.#look(),
      denied: () => this.stop(),
    };
    const include = ["waveform", "presence"] as const;
    this.#subscription = this.#client.subscribe(this.#topic, handler, { include, ...(since && { since }) });
  }

  stop(): void {
    this.#subscription?.unsubscribe();
    this.#subscription = undefined;
    this.watchers = [];
    this.#held.clear();
    // At once: a page in the background draws no frames.
    this.signals = [];
  }

  #heard({ data }: HealthWaveform): void {
    const { waveform, unit, device, sample_rate_hz: rate } = data;
    let held = this.#held.get(waveform);
    if (held === undefined || held.unit !== unit || held.sweep.rate !== rate) {
      held = { waveform, unit, device, sweep: new Sweep(rate), heardAt: 0 };
    }
    held.sweep.push(Date.parse(data.started_at), data.samples);
    // A new object: what is drawn from it has changed.
    this.#held.set(waveform, { ...held, device, heardAt: this.#now() });
    this.#changed();
  }

  async #look(): Promise<void> {
    const own = this.#client.user?.user_id;
    try {
      const present = await this.#client.presence(this.#topic);
      if (this.#subscription === undefined) return;
      this.watchers = present.filter(({ user_id, watching, role }) => watching && user_id !== own && role !== "device");
    } catch {
      // A server that does not tell, or a lost connection: then nobody is known to watch.
      this.watchers = [];
    }
  }
}

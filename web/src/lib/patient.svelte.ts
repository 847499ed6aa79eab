import type { Gap, HealthMateClient, SubscriptionHandle } from "@healthmate/client";
import { AccessLog } from "./access-log.svelte.js";
import type { Api, EmergencyAccess, Patient } from "./api.js";
import type { OffsetRange } from "./coverage.js";
import { oncePerFrame, type RequestFrame } from "./frame.js";
import { compareMetrics, type MetricStyle, metricStyle } from "./metrics.js";
import { PatientRecord, type Series } from "./record.js";
import { LiveSignals } from "./signals.svelte.js";
import { Team } from "./team.svelte.js";
import { type Trend, trendOf } from "./trend.js";

/** Enough to know the latest values of a patient who is only listed. */
const GLANCE = 50;
/** The most that the server gives at once. */
const PAGE = 1000;
/** Pages of history loaded for the chosen patient. */
const PAGES = 10;

/** The latest value of one metric. */
export interface Reading extends Pick<Series, "metric" | "ring"> {
  style: MetricStyle;
  value: number;
  /** When it was taken, in seconds since 1970. */
  time: number;
  trend: Trend;
}

export interface LostEvents extends OffsetRange {
  reason: Gap["reason"];
}

/** What the screen shows of a patient; replaced as a whole, at most once per frame. */
export interface PatientView {
  readings: Reading[];
  first: number | undefined;
  last: number | undefined;
  /** How many offsets between the first and the last are not held. */
  missing: number;
  /** Events that are gone from the log and that the history does not have either. */
  lost: LostEvents[];
}

const NOTHING: PatientView = { readings: [], first: undefined, last: undefined, missing: 0, lost: [] };

/** A patient on the screen: subscribes first, then loads the history, so that nothing falls between the two. */
export class LivePatient {
  readonly id: string;
  readonly name: string;
  /** Silent until this patient is chosen. */
  readonly live: LiveSignals;
  /** The care team, for those who manage it. */
  team: Team | undefined = $state.raw();
  /** Who saw this patient's data, for the same. */
  accessLog: AccessLog | undefined = $state.raw();
  view: PatientView = $state.raw(NOTHING);
  /** The history is there; what is not shown does not exist. */
  loaded = $state(false);
  /** Access has ended: nothing is shown or held, and nothing comes until the page is opened again. */
  denied = $state(false);
  /** The emergency access that opens this patient, where nothing else does. */
  emergency: EmergencyAccess | undefined = $state.raw();
  /** Why this patient cannot be shown completely. */
  problem: string | undefined = $state();

  readonly #record = new PatientRecord();
  readonly #api: Api;
  readonly #client: HealthMateClient;
  #subscription: SubscriptionHandle;
  readonly #changed: () => void;
  #gaps: Gap[] = [];
  /** Measurements of history wanted, and of those that were asked for. */
  #wanted = GLANCE;
  #asked = 0;
  #subscribed = false;
  #chosen = false;
  /** Tells pages of an outdated load that they are outdated. */
  #generation = 0;

  constructor(patient: Patient, client: HealthMateClient, api: Api, requestFrame?: RequestFrame) {
    this.id = patient.id;
    this.name = patient.name;
    this.#api = api;
    this.#client = client;
    this.update(patient);
    this.live = new LiveSignals(`health:${patient.id}`, client, requestFrame);
    this.#changed = oncePerFrame(() => this.#show(), requestFrame);
    this.#subscription = this.#listen();
  }

  /** By what the signed-in user may read this patient, and whether they manage the care team, as the server says now. */
  update({ manages = false, break_glass }: Patient): void {
    this.emergency = break_glass;
    if (manages === (this.team !== undefined)) return;
    this.team = manages ? new Team(this.id, this.#api) : undefined;
    this.accessLog = manages ? new AccessLog(this.id, this.#api, () => this.#client.user?.user_id) : undefined;
  }

  #listen(): SubscriptionHandle {
    return this.#client.subscribe(`health:${this.id}`, {
      event: (event) => {
        this.#record.live(event);
        this.#changed();
      },
      subscribed: () => {
        this.#subscribed = true;
        this.problem = undefined;
        this.#follow();
      },
      gap: (gap) => {
        this.#gaps.push(gap);
        this.#reload();
      },
      reset: () => {
        this.#forget();
        this.#reload();
      },
      denied: ({ message }) => {
        this.#subscribed = false;
        this.denied = true;
        this.live.stop();
        this.#forget();
        this.#asked = 0;
        this.loaded = false;
        this.problem = message;
        this.emergency = undefined;
        [this.team, this.accessLog] = [undefined, undefined];
      },
    });
  }

  /** Loads the whole history and listens to signals, not only to what the list shows. */
  choose(): void {
    this.#wanted = PAGE * PAGES;
    this.#chosen = true;
    if (this.denied) {
      // It may have been renewed since.
      this.denied = false;
      this.#subscription = this.#listen();
      void this.#lookAgain();
    }
    if (this.#subscribed) this.#follow();
  }

  /** What a new grant lets the signed-in user do; where there is none, the subscription is denied again. */
  async #lookAgain(): Promise<void> {
    const listed = await this.#api.patients().catch(() => []);
    const own = listed.find(({ id }) => id === this.id);
    if (own !== undefined && !this.denied) this.update(own);
  }

  /** Another patient is chosen. */
  lookAway(): void {
    this.#chosen = false;
    this.live.stop();
  }

  leave(): void {
    this.lookAway();
    this.#generation++;
    this.#subscription.unsubscribe();
  }

  /** What the standing subscription allows. */
  #follow(): void {
    void this.#load();
    if (this.#chosen) this.live.start(this.#subscription.position);
  }

  /** Lets go of everything held, also of what is still on its way. */
  #forget(): void {
    this.#generation++;
    this.#record.clear();
    this.#gaps = [];
    // At once: a page in the background draws no frames.
    this.#show();
  }

  #reload(): void {
    this.#asked = 0;
    void this.#load();
  }

  async #load(): Promise<void> {
    if (this.#asked >= this.#wanted) return;
    const generation = ++this.#generation;
    this.#asked = this.#wanted;
    this.loaded = false;
    try {
      let cursor: string | undefined;
      for (let left = this.#wanted; left > 0; left -= PAGE) {
        const page = await this.#api.measurements(this.id, Math.min(left, PAGE), cursor);
        if (generation !== this.#generation) return;
        this.#record.history(page.measurements);
        this.#changed();
        cursor = page.next_cursor;
        if (cursor === undefined) break;
      }
      this.loaded = true;
      this.problem = undefined;
    } catch (problem) {
      if (generation !== this.#generation) return;
      // Asked for again when the subscription is taken the next time.
      this.#asked = 0;
      this.problem = problem instanceof Error ? problem.message : String(problem);
    }
    this.#changed();
  }

  #show(): void {
    const { coverage, series } = this.#record;
    const readings = [...series.values()].map(readingOf);
    readings.sort((a, b) => compareMetrics(a.metric, b.metric));
    const lost = this.#gaps.flatMap((gap) => coverage.missingIn(gap).map((part) => ({ ...part, reason: gap.reason })));
    this.view = { readings, first: coverage.first, last: coverage.last, missing: coverage.missing, lost };
  }
}

function readingOf({ metric, unit, ring }: Series): Reading {
  const style = metricStyle(metric, unit);
  const newest = ring.length - 1;
  return { metric, ring, style, value: ring.value(newest), time: ring.time(newest), trend: trendOf(ring, style.steady) };
}

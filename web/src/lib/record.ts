import type { HealthUpdate, RecordedMeasurement, StoredMeasurement } from "@healthmate/client";
import { Coverage } from "./coverage.js";
import { Ring } from "./ring.js";

/** Points kept per metric. */
const CAPACITY = 20_000;

/** What is held of one metric of one patient. */
export interface Series {
  metric: string;
  unit: string;
  ring: Ring;
}

const seconds = (time: string) => Date.parse(time) / 1000;

/** What is held of one patient: live events and history, merged by offset, so that each counts once. */
export class PatientRecord {
  readonly coverage = new Coverage();
  readonly series = new Map<string, Series>();

  live({ offset, data }: Pick<HealthUpdate, "offset" | "data">): void {
    if (this.coverage.add(offset)) this.#seriesOf(data).ring.push(seconds(data.taken_at), data.value);
  }

  history(page: readonly StoredMeasurement[]): void {
    const fresh = page.filter(({ offset }) => this.coverage.add(offset));
    for (const metric of new Set(fresh.map((one) => one.metric))) {
      const group = fresh.filter((one) => one.metric === metric);
      const points = group.map(({ taken_at, value }) => ({ time: seconds(taken_at), value }));
      this.#seriesOf(group[0]!).ring.merge(points);
    }
  }

  clear(): void {
    this.coverage.clear();
    this.series.clear();
  }

  #seriesOf({ metric, unit }: RecordedMeasurement): Series {
    let series = this.series.get(metric);
    if (series === undefined) {
      series = { metric, unit, ring: new Ring(CAPACITY) };
      this.series.set(metric, series);
    }
    return series;
  }
}

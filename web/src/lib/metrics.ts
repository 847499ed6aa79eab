/** How a metric is shown. */
export interface MetricStyle {
  label: string;
  unit: string;
  /** Digits after the point. */
  digits: number;
  /** A change smaller than this, in the metric's unit, counts as steady. */
  steady: number;
  /** Which of the chart colours. */
  hue: number;
}

const METRICS: Record<string, MetricStyle> = {
  heart_rate: { label: "Heart rate", unit: "bpm", digits: 0, steady: 2, hue: 1 },
  oxygen_saturation: { label: "Oxygen saturation", unit: "%", digits: 0, steady: 0.5, hue: 2 },
  glucose: { label: "Glucose", unit: "mg/dL", digits: 0, steady: 4, hue: 3 },
  respiratory_rate: { label: "Respiratory rate", unit: "breaths/min", digits: 0, steady: 1, hue: 4 },
  body_temperature: { label: "Body temperature", unit: "°C", digits: 1, steady: 0.1, hue: 5 },
  systolic_blood_pressure: { label: "Systolic blood pressure", unit: "mmHg", digits: 0, steady: 3, hue: 6 },
  diastolic_blood_pressure: { label: "Diastolic blood pressure", unit: "mmHg", digits: 0, steady: 3, hue: 4 },
  body_weight: { label: "Body weight", unit: "kg", digits: 1, steady: 0.2, hue: 5 },
  body_height: { label: "Body height", unit: "cm", digits: 0, steady: 0.5, hue: 6 },
  steps: { label: "Steps", unit: "steps", digits: 0, steady: 10, hue: 2 },
};

const ORDER = Object.keys(METRICS);

/** A metric that this version does not know is shown under its own name and unit. */
export function metricStyle(metric: string, unit: string): MetricStyle {
  const label = metric.charAt(0).toUpperCase() + metric.slice(1).replaceAll("_", " ");
  return METRICS[metric] ?? { label, unit, digits: 1, steady: 0, hue: 1 };
}

/** Known metrics in clinical order, then the others by name. */
export function compareMetrics(a: string, b: string): number {
  const place = (metric: string) => (METRICS[metric] ? ORDER.indexOf(metric) : ORDER.length);
  return place(a) - place(b) || a.localeCompare(b);
}

const clock = new Intl.DateTimeFormat("en-GB", { hour: "2-digit", minute: "2-digit", second: "2-digit" });
const day = new Intl.DateTimeFormat("en-GB", { day: "numeric", month: "short", year: "numeric" });

/** Time of day, with the date when it is not `now`'s; both in seconds since 1970, shown in the reader's zone. */
export function formatTime(seconds: number, now: number): string {
  const date = day.format(seconds * 1000);
  const time = clock.format(seconds * 1000);
  return date === day.format(now * 1000) ? time : `${date}, ${time}`;
}

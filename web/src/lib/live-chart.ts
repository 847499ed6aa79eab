import uPlot from "uplot";
import type { MetricStyle } from "./metrics.js";
import type { Slice } from "./ring.js";
import { silences } from "./silences.js";

const FONT = "12px Inter, system-ui, sans-serif";

const FEW = 40;

const hoursMinutesSeconds = uPlot.fmtDate("{HH}:{mm}:{ss}");
const hoursMinutes = uPlot.fmtDate("{HH}:{mm}");
const dayMonth = uPlot.fmtDate("{D} {MMM}");

function timeLabels(_: uPlot, splits: number[], _axis: number, _space: number, step: number): string[] {
  const format = step < 60 ? hoursMinutesSeconds : step < 86_400 ? hoursMinutes : dayMonth;
  return splits.map((seconds) => format(new Date(seconds * 1000)));
}

/** Labels with seconds are wider. */
const labelRoom: uPlot.Axis.Space = (_, _axis, from, to) => (to - from < 300 ? 88 : 56);

/** Keeps small noise small: the axis never shows less than ten times what counts as steady. */
function valueRange({ steady }: MetricStyle): uPlot.Range.Function {
  return (_, min, max) => {
    const span = Math.max((max - min) * 1.25, steady * 10, 1);
    const middle = (min + max) / 2;
    return [middle - span / 2, middle + span / 2];
  };
}

/** The newest point, marked, because it is the one that moves. */
function drawNewest(plot: uPlot, color: string): void {
  const [times, values] = plot.data;
  const last = times.length - 1;
  if (last < 0) return;
  const x = plot.valToPos(times[last]!, "x", true);
  const y = plot.valToPos(values![last]!, "y", true);
  for (const [radius, alpha] of [[8, 0.22], [3.5, 1]] as const) {
    plot.ctx.globalAlpha = alpha;
    plot.ctx.fillStyle = color;
    plot.ctx.beginPath();
    plot.ctx.arc(x, y, radius * devicePixelRatio, 0, 2 * Math.PI);
    plot.ctx.fill();
  }
  plot.ctx.globalAlpha = 1;
}

function pointedAt({ cursor, data: [times, values] }: uPlot): PointedAt | undefined {
  const index = cursor.idx;
  if (index === null || index === undefined) return undefined;
  const time = times[index];
  const value = values?.[index];
  return time === undefined || value === undefined || value === null ? undefined : { time, value };
}

/** Breaks the line where nothing was measured. */
const breaks: uPlot.Series.GapsRefiner = (plot) => {
  const times = plot.data[0];
  const x = (place: number) => plot.valToPos(times[place]!, "x", true);
  return silences(times).map((place) => [x(place - 1), x(place)]);
};

function shade(plot: uPlot, color: string): CanvasGradient {
  const { top, height } = plot.bbox;
  const gradient = plot.ctx.createLinearGradient(0, top, 0, top + height);
  gradient.addColorStop(0, `${color}2e`);
  gradient.addColorStop(1, `${color}00`);
  return gradient;
}

/** The point under the pointer. */
export interface PointedAt {
  /** Seconds since 1970. */
  time: number;
  value: number;
}

/** One uPlot that fills its host and takes its colours from the page's tokens. */
export class LiveChart {
  readonly #plot: uPlot;
  readonly #host: HTMLElement;

  constructor(host: HTMLElement, style: MetricStyle, onPoint: (point: PointedAt | undefined) => void) {
    this.#host = host;
    const tokens = getComputedStyle(host);
    const token = (name: string) => tokens.getPropertyValue(name).trim();
    const color = token(`--hue-${style.hue}`);
    const axis = { stroke: token("--text-2"), font: FONT, ticks: { show: false }, grid: { stroke: token("--line"), width: 1 } };
    this.#plot = new uPlot(
      {
        ...this.#size(),
        padding: [14, 34, 0, 0],
        legend: { show: false },
        cursor: { y: false, drag: { x: false, y: false }, points: { size: 9 } },
        scales: { y: { range: valueRange(style) } },
        axes: [
          { ...axis, values: timeLabels, space: labelRoom, size: 26, gap: 6, grid: { show: false } },
          { ...axis, size: 42, space: 44 },
        ],
        series: [
          {},
          {
            stroke: color,
            width: 2,
            fill: (plot) => shade(plot, color),
            // Few points are marked, or one between two silences would not be seen.
            points: { show: (plot) => plot.data[0].length <= FEW, size: 5, fill: color },
            gaps: breaks,
          },
        ],
        hooks: { draw: [(plot) => drawNewest(plot, color)], setCursor: [(plot) => onPoint(pointedAt(plot))] },
      },
      [[], []],
      host,
    );
  }

  /** @param seconds length of the window that ends at the newest point; Infinity for all */
  show({ times, values }: Slice, seconds: number): void {
    const newest = times[times.length - 1];
    if (newest === undefined) return;
    const oldest = Number.isFinite(seconds) ? newest - seconds : times[0]!;
    this.#plot.batch(() => {
      this.#plot.setData([times, values], false);
      // A single point has no width of its own.
      this.#plot.setScale("x", { min: Math.min(oldest, newest - 10), max: newest });
    });
  }

  resize(): void {
    this.#plot.setSize(this.#size());
  }

  destroy(): void {
    this.#plot.destroy();
  }

  #size(): { width: number; height: number } {
    return { width: this.#host.clientWidth, height: this.#host.clientHeight };
  }
}

import type { Sweep } from "./sweep.js";

/** How much of the sweep is left blank before the oldest sample. */
const GAP = 0.04;
/** Room above and below, as part of the height. */
const MARGIN = 0.08;

/** What values to draw from bottom to top: all there are, and at least `span` of them. */
export function rangeOf(values: Float32Array, span: number): [number, number] {
  let min = Infinity;
  let max = -Infinity;
  for (const value of values) {
    // Nothing compares with NaN.
    if (value < min) min = value;
    if (value > max) max = value;
  }
  if (min > max) return [-span / 2, span / 2];
  const room = Math.max(0, span - (max - min)) / 2;
  return [min - room, max + room];
}

/** Draws the sweep over the whole canvas. */
export function drawSweep(canvas: HTMLCanvasElement, sweep: Sweep, span: number): void {
  const context = canvas.getContext("2d");
  if (context === null) return;
  const scale = devicePixelRatio;
  const width = Math.round(canvas.clientWidth * scale);
  const height = Math.round(canvas.clientHeight * scale);
  if (canvas.width !== width || canvas.height !== height) Object.assign(canvas, { width, height });
  context.clearRect(0, 0, width, height);
  const { values, head } = sweep;
  const [bottom, top] = rangeOf(values, span);
  const x = (place: number) => (place / values.length) * width;
  const y = (value: number) => height * (1 - MARGIN - ((1 - 2 * MARGIN) * (value - bottom)) / (top - bottom));
  context.strokeStyle = getComputedStyle(canvas).color;
  context.lineWidth = 1.75 * scale;
  context.lineJoin = "round";
  context.beginPath();
  const gap = Math.round(values.length * GAP);
  let pen = false;
  for (let place = 0; place < values.length; place++) {
    const value = values[place]!;
    const behindHead = (place - head + values.length) % values.length;
    const drawn = !Number.isNaN(value) && behindHead >= gap;
    if (drawn && pen) context.lineTo(x(place), y(value));
    else if (drawn) context.moveTo(x(place), y(value));
    pen = drawn;
  }
  context.stroke();
}

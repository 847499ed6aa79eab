/** How much of a chart's time is shown. */
export interface TimeWindow {
  id: string;
  label: string;
  seconds: number;
}

export const WINDOWS: readonly TimeWindow[] = [
  { id: "1m", label: "1 min", seconds: 60 },
  { id: "10m", label: "10 min", seconds: 600 },
  { id: "1h", label: "1 h", seconds: 3600 },
  { id: "all", label: "All", seconds: Infinity },
];

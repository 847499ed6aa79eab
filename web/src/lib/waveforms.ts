/** How a signal is shown. */
export interface WaveformStyle {
  label: string;
  /** The height shows at least so much of the signal's unit. */
  span: number;
  /** Which of the chart colours. */
  hue: number;
}

/** Those of the limbs; the others are V1 to V6. */
const LEADS: Record<string, string> = { avr: "aVR", avl: "aVL", avf: "aVF" };

/** A signal that this version does not know is shown under its own name. */
export function waveformStyle(waveform: string): WaveformStyle {
  const lead = /^ecg_lead_(\w+)$/.exec(waveform)?.[1];
  if (lead !== undefined) return { label: `ECG, lead ${LEADS[lead] ?? lead.toUpperCase()}`, span: 1.5, hue: 4 };
  if (waveform === "pleth") return { label: "Pulse wave", span: 0.1, hue: 2 };
  if (waveform === "respiration") return { label: "Breathing", span: 0.1, hue: 5 };
  if (waveform === "arterial_pressure") return { label: "Arterial pressure", span: 60, hue: 1 };
  return { label: waveform.charAt(0).toUpperCase() + waveform.slice(1).replaceAll("_", " "), span: 0.1, hue: 3 };
}

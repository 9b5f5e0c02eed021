// The shape of the data element on the patient page, as `crates/roles/portal/src/view/chart.rs` writes it.

/** Milliseconds since 1970, UTC. */
export type Millis = number;

export interface Reading {
  /** When it was taken. */
  t: Millis;
  /** The value drawn; for blood pressure the systolic. */
  v: number;
  /** The diastolic, for blood pressure alone. */
  w?: number;
  /** Index into `sources`. */
  s: number;
  /** The value as written in the table, unit included. */
  d: string;
  /** Oxygen in words, when the patient breathed more than air. */
  o?: string;
}

export interface Band {
  zone: "green" | "yellow" | "red";
  /** Lower border in the curve's unit; none means without end. */
  low?: number;
  high?: number;
  /** When the plan with this limit began, and ended if it has. */
  from: Millis;
  to?: Millis;
  /** Written at the limit's line, for example `gul ≤ 87`; empty for none. */
  label: string;
  /** The border that the label is about. */
  line?: number;
}

export interface Series {
  /** Also the id of the element that holds the curve: `curve-{id}`. */
  id: string;
  readings: Reading[];
  bands: Band[];
  /** Spans in which readings were expected and none is here. */
  gaps: [Millis, Millis][];
  /** Longest time between two readings that a line may bridge. */
  bridge: Millis;
  /** Smallest span of the axis, so that noise does not look like a mountain. */
  span: number;
  unit: string;
}

export interface Happening {
  t: Millis;
  label: string;
}

export interface ChartData {
  now: Millis;
  /** IANA zone of the axis. */
  zone: string;
  /** BCP 47 tag for dates and numbers. */
  language: string;
  sources: string[];
  series: Series[];
  /** Medicines started and the like, drawn as thin upright lines. */
  happenings: Happening[];
  text: { shown: string; none: string };
}

/** Reads the data element; nothing when the page has no curves. */
export function readData(): ChartData | undefined {
  const element = document.getElementById("chart-data");
  if (!element?.textContent) return undefined;
  return JSON.parse(element.textContent) as ChartData;
}

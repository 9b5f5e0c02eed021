// One curve. uPlot gives axes, scales and the cursor; bands, gaps, lines and marks are drawn here, so that a source
// has the same colour and shape everywhere, a line never bridges missing days, and a limit is written in words.
import uPlot from "uplot";
import type { Band, ChartData, Millis, Reading, Series } from "./data";

export interface Curve {
  show(start: Millis, end: Millis): void;
}

/** Colour of each source's line and mark; as `.mark-N` in portal.css. Each has 4.5:1 or more on white. */
const COLOURS = ["#0062ba", "#a13c00", "#5b3fa0", "#0b6a53", "#a3195b", "#4a5157"];
const BAND = { green: "#e9f5eb", yellow: "#fdf0d3", red: "#fbe0df" };
const LIMIT = { green: "#056d13", yellow: "#80540f", red: "#b81a1a" };
const INK = "#292c30";
const QUIET = "#5b5d60";
const GRID = "#e3e5e8";
const FONT = "12px Inter, system-ui, sans-serif";
const HEIGHT = 188;

export function colourOf(source: number): string {
  return COLOURS[source % COLOURS.length] ?? INK;
}

export function drawCurve(host: HTMLElement, series: Series, data: ChartData): Curve {
  const readings = [...series.readings].sort((a, b) => a.t - b.t);
  const readout = host.parentElement?.querySelector<HTMLElement>(".curve-readout");
  let view = { start: data.now - 30 * 86_400_000, end: data.now };

  const within = (): Reading[] => readings.filter((r) => r.t >= view.start && r.t <= view.end);

  const valueRange = (): [number, number] => {
    const shown = within();
    const values = shown.flatMap((r) => (r.w === undefined ? [r.v] : [r.v, r.w]));
    if (values.length === 0) {
      const last = readings.at(-1);
      values.push(last?.v ?? 0, ...(last?.w === undefined ? [] : [last.w]));
    }
    let low = Math.min(...values);
    let high = Math.max(...values);
    // The nearest limits belong in the picture: a value says little without them.
    for (const band of series.bands) {
      if (band.from > view.end || (band.to ?? Infinity) < view.start) continue;
      for (const limit of [band.low, band.high]) {
        if (limit === undefined || band.label === "") continue;
        if (limit < low && low - limit <= series.span) low = limit;
        if (limit > high && limit - high <= series.span) high = limit;
      }
    }
    const missing = series.span - (high - low);
    if (missing > 0) {
      low -= missing / 2;
      high += missing / 2;
    }
    const air = (high - low) * 0.1;
    return [low - air, high + air];
  };

  const options: uPlot.Options = {
    width: Math.max(host.clientWidth, 280),
    height: HEIGHT,
    legend: { show: false },
    padding: [10, 26, 0, 0],
    tzDate: (seconds) => uPlot.tzDate(new Date(seconds * 1000), data.zone),
    cursor: {
      sync: { key: "delt" },
      drag: { x: false, y: false },
      y: false,
      points: { show: false },
    },
    scales: {
      x: { time: true, auto: false, range: () => [view.start / 1000, view.end / 1000] },
      y: { range: valueRange },
    },
    axes: [
      {
        stroke: QUIET,
        font: FONT,
        grid: { stroke: GRID, width: 1 },
        ticks: { stroke: GRID, width: 1, size: 5 },
        space: 70,
        values: (_, splits) => dateLabels(splits, view.end - view.start, data),
      },
      {
        stroke: QUIET,
        font: FONT,
        grid: { stroke: GRID, width: 1 },
        ticks: { show: false },
        size: 44,
        space: 32,
        values: (_, splits) => splits.map((v) => v.toLocaleString(data.language)),
      },
    ],
    series: [{}, { paths: () => null, points: { show: false } }],
    hooks: {
      drawClear: [
        (u) => {
          drawBands(u, series.bands, view, data);
          drawGaps(u, series.gaps);
        },
      ],
      draw: [
        (u) => {
          drawHappenings(u, data, view);
          drawLines(u, readings, series.bridge);
          drawMarks(u, within());
        },
      ],
      setCursor: [
        (u) => {
          if (!readout) return;
          const left = u.cursor.left ?? -1;
          readout.textContent = left < 0 ? "" : words(nearest(within(), u.posToVal(left, "x") * 1000), data);
        },
      ],
    },
  };

  const plot = new uPlot(options, aligned(readings), host);
  new ResizeObserver(() => {
    const width = Math.max(host.clientWidth, 280);
    if (width !== plot.width) plot.setSize({ width, height: HEIGHT });
  }).observe(host);
  // The font may arrive after the first drawing.
  void document.fonts?.ready.then(() => plot.redraw(false, true));

  return {
    show(start, end) {
      view = { start, end };
      plot.setScale("x", { min: start / 1000, max: end / 1000 });
      plot.redraw(false, true);
    },
  };
}

function aligned(readings: Reading[]): uPlot.AlignedData {
  return [readings.map((r) => r.t / 1000), readings.map((r) => r.v)];
}

function nearest(readings: Reading[], at: Millis): Reading | undefined {
  let best: Reading | undefined;
  for (const reading of readings) {
    if (!best || Math.abs(reading.t - at) < Math.abs(best.t - at)) best = reading;
  }
  return best;
}

function words(reading: Reading | undefined, data: ChartData): string {
  if (!reading) return "";
  const at = new Date(reading.t).toLocaleString(data.language, {
    timeZone: data.zone,
    day: "2-digit",
    month: "2-digit",
    year: "numeric",
    hour: "2-digit",
    minute: "2-digit",
  });
  return [`${at}: ${reading.d}`, reading.o, data.sources[reading.s]].filter(Boolean).join(" · ");
}

/** Dates as Norwegian health personnel write them: 24.10., and month and year over long spans. */
function dateLabels(splits: number[], span: Millis, data: ChartData): string[] {
  const days = span / 86_400_000;
  const format: Intl.DateTimeFormatOptions =
    days > 200 ? { month: "short", year: "numeric" } : { day: "2-digit", month: "2-digit" };
  return splits.map((s) => {
    const at = new Date(s * 1000);
    const hour = at.toLocaleString("en-GB", { timeZone: data.zone, hour: "2-digit", minute: "2-digit" });
    if (days <= 8 && hour !== "00:00") return `kl. ${hour.slice(0, 2)}`;
    return at.toLocaleDateString(data.language, { timeZone: data.zone, ...format });
  });
}

function clipped(u: uPlot, paint: (c: CanvasRenderingContext2D) => void): void {
  const c = u.ctx;
  c.save();
  c.beginPath();
  c.rect(u.bbox.left, u.bbox.top, u.bbox.width, u.bbox.height);
  c.clip();
  paint(c);
  c.restore();
}

function drawBands(u: uPlot, bands: Band[], view: { start: Millis; end: Millis }, data: ChartData): void {
  const dpr = devicePixelRatio || 1;
  clipped(u, (c) => {
    const top = u.bbox.top;
    const bottom = u.bbox.top + u.bbox.height;
    for (const band of bands) {
      const from = Math.max(band.from, view.start);
      const to = Math.min(band.to ?? view.end, view.end);
      if (to <= from) continue;
      const left = u.valToPos(from / 1000, "x", true);
      const right = u.valToPos(to / 1000, "x", true);
      const y1 = band.high === undefined ? top : u.valToPos(band.high, "y", true);
      const y2 = band.low === undefined ? bottom : u.valToPos(band.low, "y", true);
      c.fillStyle = BAND[band.zone];
      c.fillRect(left, y1, right - left, y2 - y1);
    }
    for (const band of bands) {
      if (band.label === "") continue;
      const from = Math.max(band.from, view.start);
      const to = Math.min(band.to ?? view.end, view.end);
      const border = band.line;
      if (to <= from || border === undefined) continue;
      const left = u.valToPos(from / 1000, "x", true);
      const right = u.valToPos(to / 1000, "x", true);
      const y = u.valToPos(border, "y", true);
      c.strokeStyle = LIMIT[band.zone];
      c.lineWidth = dpr;
      c.setLineDash([5 * dpr, 4 * dpr]);
      c.beginPath();
      c.moveTo(left, y);
      c.lineTo(right, y);
      c.stroke();
      c.setLineDash([]);
      // Only a plan that is in force now has its limit in words; an older one has its own line.
      const current = band.to === undefined || band.to > data.now;
      if (current && right - left > 40 * dpr) {
        c.font = `${11 * dpr}px Inter, system-ui, sans-serif`;
        c.fillStyle = LIMIT[band.zone];
        c.textAlign = "left";
        // Above an upper limit, under a lower one, but never out of the picture.
        const under = band.high === border || y - 14 * dpr < u.bbox.top;
        c.textBaseline = under ? "top" : "bottom";
        const width = c.measureText(band.label).width;
        // Written before the plan's first day when there is room, so that it covers no reading.
        const room = left - u.bbox.left > width + 12 * dpr;
        c.fillText(band.label, room ? left - width - 6 * dpr : left + 5 * dpr, y + (under ? 2 : -2) * dpr);
      }
    }
  });
}

function drawGaps(u: uPlot, gaps: [Millis, Millis][]): void {
  const dpr = devicePixelRatio || 1;
  clipped(u, (c) => {
    for (const [from, to] of gaps) {
      const left = u.valToPos(from / 1000, "x", true);
      const right = u.valToPos(to / 1000, "x", true);
      c.save();
      c.beginPath();
      c.rect(left, u.bbox.top, right - left, u.bbox.height);
      c.clip();
      c.strokeStyle = "#c9cacb";
      c.lineWidth = dpr;
      const height = u.bbox.height;
      for (let x = left - height; x < right; x += 7 * dpr) {
        c.beginPath();
        c.moveTo(x, u.bbox.top + height);
        c.lineTo(x + height, u.bbox.top);
        c.stroke();
      }
      c.restore();
    }
  });
}

function drawHappenings(u: uPlot, data: ChartData, view: { start: Millis; end: Millis }): void {
  const dpr = devicePixelRatio || 1;
  clipped(u, (c) => {
    c.font = `${11 * dpr}px Inter, system-ui, sans-serif`;
    let row = 0;
    for (const happening of data.happenings) {
      if (happening.t < view.start || happening.t > view.end) continue;
      const x = u.valToPos(happening.t / 1000, "x", true);
      c.strokeStyle = QUIET;
      c.lineWidth = dpr;
      c.setLineDash([2 * dpr, 3 * dpr]);
      c.beginPath();
      c.moveTo(x, u.bbox.top);
      c.lineTo(x, u.bbox.top + u.bbox.height);
      c.stroke();
      c.setLineDash([]);
      if (u.bbox.width < 300 * dpr || view.end - view.start > 120 * 86_400_000) continue;
      const width = c.measureText(happening.label).width;
      const left = Math.max(u.bbox.left + 4 * dpr, x - width - 5 * dpr);
      const top = u.bbox.top + (3 + 13 * (row++ % 2)) * dpr;
      c.fillStyle = INK;
      c.textBaseline = "top";
      c.textAlign = "left";
      // A light edge keeps the words readable over bands and limits.
      c.strokeStyle = "rgba(255, 255, 255, 0.85)";
      c.lineWidth = 4 * dpr;
      c.lineJoin = "round";
      c.strokeText(happening.label, left, top);
      c.fillText(happening.label, left, top);
    }
  });
}

/** A line joins two readings of one source that are close enough in time; else it is broken. */
function drawLines(u: uPlot, readings: Reading[], bridge: Millis): void {
  const dpr = devicePixelRatio || 1;
  clipped(u, (c) => {
    const last = new Map<number, Reading>();
    c.lineWidth = 1.5 * dpr;
    for (const reading of readings) {
      const before = last.get(reading.s);
      last.set(reading.s, reading);
      if (!before || reading.t - before.t > bridge) continue;
      c.strokeStyle = colourOf(reading.s);
      const pairs: [number, number][] = [[before.v, reading.v]];
      if (before.w !== undefined && reading.w !== undefined) pairs.push([before.w, reading.w]);
      for (const [a, b] of pairs) {
        c.beginPath();
        c.moveTo(u.valToPos(before.t / 1000, "x", true), u.valToPos(a, "y", true));
        c.lineTo(u.valToPos(reading.t / 1000, "x", true), u.valToPos(b, "y", true));
        c.stroke();
      }
    }
  });
}

function drawMarks(u: uPlot, readings: Reading[]): void {
  const dpr = devicePixelRatio || 1;
  const size = (readings.length > 150 ? 3 : 4) * dpr;
  clipped(u, (c) => {
    for (const reading of readings) {
      const x = u.valToPos(reading.t / 1000, "x", true);
      const ys = [u.valToPos(reading.v, "y", true)];
      if (reading.w !== undefined) ys.push(u.valToPos(reading.w, "y", true));
      const [y1, y2] = ys;
      if (y1 !== undefined && y2 !== undefined) {
        c.strokeStyle = colourOf(reading.s);
        c.globalAlpha = 0.45;
        c.lineWidth = dpr;
        c.beginPath();
        c.moveTo(x, y1);
        c.lineTo(x, y2);
        c.stroke();
        c.globalAlpha = 1;
      }
      for (const y of ys) {
        c.fillStyle = colourOf(reading.s);
        c.strokeStyle = "#ffffff";
        c.lineWidth = dpr;
        shape(c, reading.s, x, y, size);
        c.fill();
        c.stroke();
      }
      if (reading.o && y1 !== undefined) {
        // Oxygen: a ring round the mark, and the amount under it when there is room.
        c.strokeStyle = INK;
        c.lineWidth = 1.5 * dpr;
        c.beginPath();
        c.arc(x, y1, size + 3 * dpr, 0, Math.PI * 2);
        c.stroke();
      }
    }
  });
}

/** The shape of each source; as the symbols in templates/marks.html. */
function shape(c: CanvasRenderingContext2D, source: number, x: number, y: number, r: number): void {
  c.beginPath();
  switch (source % 6) {
    case 0:
      c.arc(x, y, r, 0, Math.PI * 2);
      break;
    case 1:
      c.rect(x - r * 0.9, y - r * 0.9, r * 1.8, r * 1.8);
      break;
    case 2:
      polygon(c, [[x, y - r * 1.2], [x + r * 1.15, y + r * 0.85], [x - r * 1.15, y + r * 0.85]]);
      break;
    case 3:
      polygon(c, [[x, y - r * 1.3], [x + r * 1.3, y], [x, y + r * 1.3], [x - r * 1.3, y]]);
      break;
    case 4:
      polygon(c, [[x, y + r * 1.2], [x + r * 1.15, y - r * 0.85], [x - r * 1.15, y - r * 0.85]]);
      break;
    default: {
      const points: [number, number][] = [];
      for (let i = 0; i < 5; i++) {
        const a = -Math.PI / 2 + (i * 2 * Math.PI) / 5;
        points.push([x + r * 1.15 * Math.cos(a), y + r * 1.15 * Math.sin(a)]);
      }
      polygon(c, points);
    }
  }
}

function polygon(c: CanvasRenderingContext2D, points: [number, number][]): void {
  points.forEach(([x, y], i) => (i === 0 ? c.moveTo(x, y) : c.lineTo(x, y)));
  c.closePath();
}

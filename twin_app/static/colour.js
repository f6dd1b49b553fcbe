/**
 * Colours that mean something, and scales that people with any colour vision can read.
 *
 * Figures with a good and a bad end run from orange-red to blue (the ColorBrewer RdBu idea: red-green blindness keeps
 * the two ends apart); figures without one, and the SINR raster, use viridis, whose lightness grows evenly.
 */

const RAMPS = {
  light: { judged: ["#a50f15", "#e2603b", "#f3c98b", "#a9cfe0", "#4a93c6", "#0f4c8f"] },
  dark: { judged: ["#ff5a4d", "#ff9a5c", "#f6dca8", "#b5dcf0", "#63aef0", "#2f7fe0"] },
};
const VIRIDIS = ["#440154", "#414487", "#2a788e", "#22a884", "#7ad151", "#fde725"];
const STEPS = 32;

function channels(hex) {
  return [1, 3, 5].map((at) => Number.parseInt(hex.slice(at, at + 2), 16));
}

/** `count` colours along the stops, as [r, g, b]. */
function spread(stops, count) {
  const known = stops.map(channels);
  return Array.from({ length: count }, (_, i) => {
    const at = (i / (count - 1)) * (known.length - 1);
    const low = Math.min(Math.floor(at), known.length - 2);
    return known[low].map((channel, c) => Math.round(channel + (known[low + 1][c] - channel) * (at - low)));
  });
}

/** One figure to one of 32 colours between two ends. */
export class Scale {
  /** @param {{low: number, high: number, good: "up"|"down"|"none", theme: "light"|"dark"}} facts */
  constructor({ low, high, good, theme }) {
    this.low = low;
    this.high = high;
    this.good = good;
    const stops = good === "none" ? VIRIDIS : RAMPS[theme].judged;
    this.rgb = spread(good === "down" ? stops.toReversed() : stops, STEPS);
    this.css = this.rgb.map(([r, g, b]) => `rgb(${r} ${g} ${b})`);
  }

  /** Number of the colour, -1 when the figure is missing. */
  step(value) {
    if (!Number.isFinite(value)) return -1;
    const share = (value - this.low) / (this.high - this.low || 1);
    return Math.max(0, Math.min(STEPS - 1, Math.floor(share * STEPS)));
  }

  /** A CSS gradient for the legend. */
  get gradient() {
    return `linear-gradient(to right, ${this.css.join(",")})`;
  }
}

/** The next 1, 2, 2.5 or 5 times a power of ten at or above `size`. */
function roundUp(size) {
  const power = 10 ** Math.floor(Math.log10(size));
  return [1, 2, 2.5, 5, 10].map((m) => m * power).find((candidate) => candidate >= size * 0.999) ?? 10 * power;
}

/**
 * Ends for a legend that follows the values seen: 5th to 95th percentile, widened to round numbers. Keeps `previous`
 * while the values still fill it, so that colours do not flicker.
 */
export function rangeOf(values, { low, high, previous }) {
  const seen = Array.from(values).filter(Number.isFinite).sort((a, b) => a - b);
  if (seen.length === 0) return previous ?? [0, 1];
  const at = (share) => seen[Math.round(share * (seen.length - 1))];
  const [from, to] = [at(0.05), at(0.95)];
  if (previous) {
    const width = previous[1] - previous[0];
    if (from >= previous[0] - 0.05 * width && to <= previous[1] + 0.05 * width && to - from > 0.25 * width) return previous;
  }
  const floor = low === 0 && from < 0.6 * to ? 0 : from;
  const step = roundUp(Math.max(to - floor, Math.abs(to) * 0.02, 1e-6) / 4);
  const ends = [Math.floor(floor / step) * step, Math.ceil(to / step) * step];
  if (ends[0] === ends[1]) ends[1] += step;
  return [Math.max(low, ends[0]), Math.min(high, ends[1])];
}

/** The scale of the SINR raster in dB. */
export const rasterScale = new Scale({ low: -5, high: 25, good: "none", theme: "light" });

/** Colours and marks of X.733 severities; the mark keeps them apart without colour. */
export const SEVERITY = {
  CRITICAL: { colour: "#b3261e", mark: "!", rank: 4 },
  MAJOR: { colour: "#c4570a", mark: "!", rank: 3 },
  MINOR: { colour: "#8a6a00", mark: "▾", rank: 2 },
  WARNING: { colour: "#3f6a93", mark: "i", rank: 1 },
  INDETERMINATE: { colour: "#6b7785", mark: "?", rank: 0 },
  CLEARED: { colour: "#6b7785", mark: "✓", rank: -1 },
};

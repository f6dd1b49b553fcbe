/** The legend: which KPI colours the cells, what its colours mean, and which layers are shown. */

import { Scale, rangeOf, rasterScale } from "./colour.js";
import { el } from "./dom.js";
import { brief } from "./words.js";

const DEFAULT_KPI = "RRU.PrbTotDl";

/** The card with the chooser of the KPI. */
export class Legend {
  /**
   * @param {{select: HTMLSelectElement, ramp: HTMLElement, ticks: HTMLElement, keys: HTMLElement}} parts
   * @param {object[]} kpis of cells, from GET /v1/map
   * @param {(kpi: object) => void} chosen
   */
  constructor(parts, kpis, chosen) {
    this.parts = parts;
    this.kpis = kpis;
    this.range = null;
    parts.select.replaceChildren(...kpis.map((k) => el("option", { value: k.name }, k.unit ? `${k.label} (${k.unit})` : k.label)));
    this.kpi = kpis.find((k) => k.name === DEFAULT_KPI) ?? kpis[0];
    parts.select.value = this.kpi.name;
    parts.select.addEventListener("change", () => this.choose(parts.select.value));
    this.chosen = chosen;
  }

  /** Colours by another KPI; false when cells have no such figure. */
  choose(name) {
    const kpi = this.kpis.find((k) => k.name === name);
    if (!kpi) return false;
    this.kpi = kpi;
    this.parts.select.value = name;
    this.range = null;
    this.chosen(kpi);
    return true;
  }

  /** Fits the ends to the values seen and draws the legend; returns the scale for the map. */
  scaleFor(values, theme) {
    const { kpi } = this;
    this.range = kpi.display ?? rangeOf(values, { low: kpi.low, high: kpi.high, previous: this.range });
    const [low, high] = this.range;
    const key = `${kpi.name} ${low} ${high} ${theme}`;
    if (key !== this.key) {
      this.key = key;
      this.scale = new Scale({ low, high, good: kpi.good, theme });
      this.#draw();
    }
    return this.scale;
  }

  #draw() {
    const { kpi, scale, parts } = this;
    const [left, right] = { up: ["worse", "better"], down: ["better", "worse"], none: ["", ""] }[kpi.good];
    parts.ramp.style.background = scale.gradient;
    parts.ramp.setAttribute("aria-label", `Colours from ${brief(scale.low)} to ${brief(scale.high)} ${kpi.unit}`);
    const end = (value, word) => el("span", {}, el("em", {}, brief(value)), word ? ` ${word}` : "");
    parts.ticks.replaceChildren(end(scale.low, left), el("span", {}, `${brief((scale.low + scale.high) / 2)} ${kpi.unit}`), end(scale.high, right));
    parts.keys.replaceChildren(el("span", {}, "no figure"), el("span", { class: "locked" }, "locked"));
  }
}

/** Draws the legend of the SINR raster once. */
export function drawRasterLegend(ramp, ticks) {
  ramp.style.background = rasterScale.gradient;
  ramp.setAttribute("aria-label", "Raster colours from −5 to 25 dB");
  ticks.replaceChildren(el("span", {}, "−5"), el("span", {}, "SINR of the strongest cell, dB"), el("span", {}, "25"));
}

/** What is selected: name, attributes in people's units, newest figures, a short history, who is next to it. */

import { Problem, get } from "./api.js";
import { drawChart } from "./chart.js";
import { el } from "./dom.js";
import { plain, quantity } from "./words.js";

const REFRESH_MS = 2000;
const HISTORY_MS = 10 * 60 * 1000;
const FIRST = new Set(["DRB.UEThpDl", "RRU.PrbTotDl", "RRC.ConnMean", "DRB.RlcSduDelayDl", "vsData6gMeanSsRsrp", "vsData6gMeanSsSinr"]);

/** The card beside the map. */
export class Inspector {
  /**
   * @param {HTMLElement} card
   * @param {{select(id: string|null, how?: object): void, chooseKpi(name: string): void, related(id: string, ids: string[]): void}} tell
   */
  constructor(card, tell) {
    this.card = card;
    this.tell = tell;
    this.id = null;
    this.kpi = null;
    this.chart = el("canvas", { role: "img" });
    this.caption = el("figcaption");
    setInterval(() => !document.hidden && this.refresh(), REFRESH_MS);
  }

  /** Shows an entity, or nothing when `id` is null. */
  show(id) {
    this.id = id;
    this.card.hidden = id === null;
    this.card.replaceChildren();
    this.series = null;
    this.card.scrollTop = 0;
    if (id !== null) this.refresh();
  }

  /** Follows the KPI that the map shows. */
  follow(kpi) {
    this.kpi = kpi;
    this.series = null;
    if (this.id !== null) this.refresh();
  }

  async refresh() {
    const { id } = this;
    if (id === null) return;
    try {
      const facts = await get(`/v1/map/entities/${encodeURIComponent(id)}`);
      if (id !== this.id) return;
      this.#draw(facts);
      await this.#history(facts);
    } catch (problem) {
      if (id === this.id && problem instanceof Problem && problem.status === 404) {
        this.card.replaceChildren(this.#head({ name: id, kind: "", dn: "" }), el("p", { class: "error" }, problem.message));
      } // other problems are the link-health bar's to tell; the last picture stays
    }
  }

  /** The KPI whose history is drawn: the map's when this entity has it, else its first. */
  #charted(figures) {
    return figures.find((f) => f.name === this.kpi) ?? figures.find((f) => f.name === "RF.serving.RSSINR") ?? figures[0];
  }

  async #history(facts) {
    const charted = this.#charted(facts.figures);
    if (!charted) return;
    const query = new URLSearchParams({ entity: facts.id, kpi: charted.name, from: "-10m", to: "now" });
    const series = await get(`/v1/kpis?${query}`);
    if (facts.id !== this.id) return;
    this.series = series;
    this.#paint(facts, charted);
  }

  #paint(facts, charted) {
    if (!this.series || !this.chart.isConnected) return;
    this.caption.replaceChildren(el("b", {}, charted.label), "last 10 min");
    this.chart.setAttribute("aria-label", `${charted.label} of ${facts.name} over the last ten minutes`);
    const to = Date.parse(facts.at);
    // Stored periods may be a minute long; the newest figure tells what has happened since.
    const newest = charted.value === null ? [] : [[facts.at, charted.value]];
    drawChart(this.chart, { ...this.series, points: [...this.series.points, ...newest] }, { from: to - HISTORY_MS, to });
  }

  #head({ name, kind, dn }) {
    const close = el("button", { type: "button", class: "close", "aria-label": "Clear the selection", on: { click: () => this.tell.select(null) } }, "×");
    const words = [el("h2", {}, name.replace(/^ue /, "UE ")), kind && plain(kind) !== plain(name).split(" ")[0] ? el("p", { class: "sub" }, plain(kind)) : null];
    if (dn) words.push(el("p", { class: "sub dn" }, dn.replaceAll(",", ",\u200b"))); // may break after each part
    return el("header", {}, el("div", {}, ...words), close);
  }

  #draw(facts) {
    const charted = this.#charted(facts.figures);
    const held = document.activeElement?.closest?.("#inspector") ? document.activeElement.dataset.key : null;
    const figures = this.#figures(facts.figures, charted);
    const parts = [this.#head(facts)];
    if (charted) parts.push(el("figure", { class: "spark" }, this.caption, this.chart));
    if (figures) parts.push(el("h3", {}, "Now"), figures);
    if (facts.attributes.length) parts.push(el("h3", {}, "Configuration"), pairs(facts.attributes));
    if (facts.facts.length) parts.push(el("h3", {}, "Facts"), pairs(facts.facts));
    if (facts.related.length) parts.push(el("h3", {}, "Connected"), this.#related(facts));
    const { scrollTop } = this.card;
    this.card.replaceChildren(...parts);
    this.card.scrollTop = scrollTop;
    if (held) this.card.querySelector(`[data-key="${CSS.escape(held)}"]`)?.focus();
    if (charted) this.#paint(facts, charted);
    this.tell.related(facts.id, facts.related.filter((r) => r.relation === "neighbour").map((r) => r.id));
  }

  /** The figures that matter most; the chosen one first, a click on a name colours the map by it. */
  #figures(figures, charted) {
    if (!charted) return null;
    const rest = figures.filter((f) => f !== charted);
    const few = figures.length <= FIRST.size;
    const first = [charted, ...rest.filter((f) => few || FIRST.has(f.name))];
    const more = rest.filter((f) => !first.includes(f));
    const folded = el("details", { open: this.unfolded }, el("summary", { dataset: { key: "more" } }, `${more.length} more figures`), this.#rows(more, charted));
    folded.addEventListener("toggle", () => (this.unfolded = folded.open));
    return el("div", {}, this.#rows(first, charted), more.length ? folded : null);
  }

  #rows(figures, charted) {
    return el(
      "dl",
      { class: "facts" },
      ...figures.flatMap((f) => [
        el("dt", { class: f === charted ? "chosen" : null }, el("button", { type: "button", dataset: { key: f.name }, title: f.name, on: { click: () => this.tell.chooseKpi(f.name) } }, f.label)),
        el("dd", {}, quantity(f.value, f.unit, f.decimals)),
      ]),
    );
  }

  #related({ related, related_left_out: more }) {
    const chips = related.map((r) =>
      el(
        "button",
        { type: "button", class: "chip", dataset: { key: `${r.relation} ${r.id}` }, title: r.relation, on: { click: () => this.tell.select(r.id, { fly: true }) } },
        r.relation === "neighbour" ? r.name : `${r.relation}: ${r.name}`,
      ),
    );
    if (more > 0) chips.push(el("span", { class: "chip" }, `and ${more} more`));
    return el("div", { class: "chips" }, ...chips);
  }
}

function pairs(rows) {
  return el("dl", { class: "facts" }, ...rows.flatMap(({ label, text }) => [el("dt", {}, label), el("dd", {}, text)]));
}

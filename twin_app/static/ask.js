/** The conversation: questions out, steps and answers in as they come, evidence that can be clicked. */

import { Problem, askStream } from "./api.js";
import { drawChart } from "./chart.js";
import { changeCard } from "./changes.js";
import { el } from "./dom.js";
import { brief, moment } from "./words.js";

const STATUS_WORDS = { clarify: "needs one more detail", refused: "cannot do that", failed: "failed", proposed: "proposed, not applied yet" };
const MAX_CHIPS = 12;

/** The ask panel. */
export class Conversation {
  /**
   * @param {{log: HTMLElement, form: HTMLFormElement, input: HTMLTextAreaElement}} parts
   * @param {object} page what cards and chips need, and `context()`, `suggestions()`, `changeOf(id)`, `show(evidence)`
   */
  constructor({ log, form, input }, page) {
    this.log = log;
    this.input = input;
    this.send = form.querySelector("button");
    this.page = page;
    this.conversationId = crypto.randomUUID();
    this.cards = new Map(); // change id -> where its card stands in the conversation
    form.addEventListener("submit", (event) => {
      event.preventDefault();
      this.ask(input.value);
    });
    input.addEventListener("keydown", (event) => {
      if (event.key === "Enter" && !event.shiftKey && !event.isComposing) {
        event.preventDefault();
        this.ask(input.value);
      }
    });
  }

  /** Greets with questions that fit what the network shows now. */
  greet() {
    if (this.log.querySelector(".asked")) return;
    const texts = this.page.suggestions();
    const shown = [...this.log.querySelectorAll(".suggestions button")].map((button) => button.textContent);
    if (texts.join() === shown.join()) return;
    this.log.replaceChildren(
      el("div", { class: "hello" }, el("strong", {}, "Ask the network."), " Every number in an answer is measured and can be clicked."),
      this.#suggestions(texts),
    );
  }

  #suggestions(texts) {
    return el("div", { class: "suggestions" }, ...texts.map((text) => el("button", { type: "button", on: { click: () => this.ask(text) } }, text)));
  }

  /** Asks and shows what comes. */
  async ask(text) {
    const question = text.trim();
    if (!question || this.busy) return;
    this.input.value = "";
    this.busy = new AbortController();
    this.#waitingFor(true);
    this.log.querySelector(".suggestions")?.remove();
    this.log.append(el("p", { class: "asked" }, question));
    const answer = new Answer(this.page);
    this.log.append(answer.node);
    this.#toEnd();
    try {
      const body = { text: question, conversation_id: this.conversationId, context: this.page.context() };
      for await (const { name, data } of askStream(body, this.busy.signal)) {
        answer.take(name, data);
        this.#toEnd();
      }
      answer.end();
    } catch (problem) {
      answer.fail(problem instanceof Problem ? problem.message : "The page could not read the answer.");
      if (!(problem instanceof Problem)) throw problem;
    } finally {
      this.busy = null;
      this.#waitingFor(false);
    }
    if (answer.changeId) await this.#placeChange(answer);
    this.#toEnd();
  }

  async #placeChange(answer) {
    const holder = el("div");
    answer.node.append(holder);
    this.cards.set(answer.changeId, holder);
    await this.page.changed();
  }

  /** Draws the cards of changes that were proposed here again, as they stand now. */
  refreshCards() {
    for (const [id, holder] of this.cards) {
      const change = this.page.changeOf(id);
      if (!change) continue;
      const held = holder.contains(document.activeElement) ? document.activeElement.dataset.key : null;
      holder.replaceChildren(changeCard(change, this.page));
      if (held) holder.querySelector(`[data-key="${CSS.escape(held)}"]`)?.focus();
    }
  }

  #waitingFor(busy) {
    this.send.disabled = busy;
    this.log.setAttribute("aria-busy", String(busy));
  }

  #toEnd() {
    this.log.scrollTop = this.log.scrollHeight;
  }
}

/** One answer while it grows. */
class Answer {
  constructor(page) {
    this.page = page;
    this.steps = el("ol");
    this.summary = el("summary", { class: "busy" }, "looking");
    this.details = el("details", { class: "steps", open: true }, this.summary, this.steps);
    this.text = el("p", { class: "text" });
    this.node = el("div", { class: "answer" }, this.details, this.text);
    this.changeId = null;
  }

  take(name, data) {
    if (name === "step") this.#step(stepWords(data));
    else if (name === "tool") this.#step(toolWords(data));
    else if (name === "token") this.text.append(data.text);
    else if (name === "result") this.#result(data);
    else if (name === "error") this.fail(data.detail ?? data.title ?? "Something went wrong.");
  }

  #step(text) {
    if (text) this.steps.append(el("li", {}, text));
  }

  #result(result) {
    this.done = true;
    if (STATUS_WORDS[result.status]) this.text.before(el("span", { class: `tag ${result.status}` }, STATUS_WORDS[result.status]));
    const evidence = result.evidence ?? [];
    this.#write(result.text, evidence);
    const charted = evidence.filter((e) => Array.isArray(e.series) && e.series.length > 1).slice(0, 2);
    for (const piece of charted) this.#chart(piece);
    if (evidence.length) this.node.append(el("div", { class: "chips", "aria-label": "Evidence" }, ...evidence.slice(0, MAX_CHIPS).map((e, i) => this.#chip(e, i + 1))));
    const more = evidence.length - MAX_CHIPS;
    const foot = [more > 0 ? `${more} more pieces of evidence` : null, result.as_of ? `as of ${moment(result.as_of, this.page.now)}` : null];
    if (foot.some(Boolean)) this.node.append(el("p", { class: "foot" }, foot.filter(Boolean).join(" · ")));
    this.changeId = result.change_id ?? null;
    this.end();
  }

  /** The text with each evidence id as a small number that leads to what it names. */
  #write(text, evidence) {
    const number = new Map(evidence.map((piece, i) => [piece.id, i + 1]));
    const parts = text.split(/ ?\[(e[\d.]+)\]/); // odd places hold the ids
    const ref = (id) => {
      const piece = evidence[number.get(id) - 1];
      if (!piece) return "";
      return el("button", { type: "button", class: "ref", title: this.#title(piece), "aria-label": `Evidence ${number.get(id)}`, on: { click: () => this.page.show(piece) } }, number.get(id));
    };
    this.text.replaceChildren(...parts.map((part, i) => (i % 2 ? ref(part) : part)));
  }

  #title(piece) {
    return [piece.id, piece.source, piece.at ?? [piece.from, piece.to].filter(Boolean).join(" to ")].filter(Boolean).join(" · ");
  }

  #chip(piece, number) {
    const what = [piece.entity && this.page.nameOf(piece.entity), piece.kpi && this.page.labelOf(piece.kpi)].filter(Boolean).join(" · ") || piece.source;
    const value = typeof piece.value === "number" ? [el("b", {}, ` ${brief(piece.value)}${piece.unit ? ` ${piece.unit}` : ""}`)] : [];
    const parts = [el("sup", {}, number), " ", what, ...value];
    const title = this.#title(piece);
    if (!piece.entity) return el("span", { class: "chip", title }, ...parts);
    return el("button", { type: "button", class: "chip", title, on: { click: () => this.page.show(piece) } }, ...parts);
  }

  #chart(piece) {
    const canvas = el("canvas", { role: "img", "aria-label": `${this.page.labelOf(piece.kpi)} of ${this.page.nameOf(piece.entity)}` });
    const caption = el("figcaption", {}, el("b", {}, this.page.labelOf(piece.kpi)), this.page.nameOf(piece.entity));
    this.node.append(el("figure", { class: "spark" }, caption, canvas));
    requestAnimationFrame(() => drawChart(canvas, { points: piece.series }));
  }

  fail(message) {
    this.done = true;
    this.node.append(el("p", { class: "error", role: "alert" }, message));
    this.end();
  }

  /** The stream is over: steps fold away. */
  end() {
    this.summary.classList.remove("busy");
    const count = this.steps.children.length;
    this.summary.textContent = count === 1 ? "how: 1 step" : `how: ${count} steps`;
    this.details.open = false;
    this.details.hidden = count === 0;
    if (!this.done) this.fail("The answer broke off.");
  }
}

function stepWords({ step, tool, planner, confidence }) {
  const sure = Number.isFinite(confidence) ? ` (${Math.round(confidence * 100)} % sure)` : "";
  if (step === "understand") return `reading the question with ${planner}`;
  return step === "choose" ? `chose to ${String(tool).replaceAll("_", " ")}${sure}` : String(step ?? "");
}

function toolWords({ tool, arguments: given }) {
  const words = Object.entries(given ?? {}).map(([key, value]) => `${key} ${typeof value === "object" ? JSON.stringify(value) : value}`);
  return [String(tool ?? "").replaceAll("_", " "), words.join(", ")].filter(Boolean).join(": ");
}

/** Changes: the plan in words, who decides, how far it has come, and what it did. */

import { Problem, post } from "./api.js";
import { el } from "./dom.js";
import { brief, moment, quantity } from "./words.js";

const TRACK = ["proposed", "validated", "approved", "applying", "verifying", "committed"];
const STATE_WORDS = {
  proposed: "being tried out", validated: "waiting for approval", approved: "approved", applying: "being applied",
  verifying: "watching its effect", committed: "committed", rolled_back: "rolled back", rejected: "rejected",
  expired: "expired", failed: "failed",
};
const ENDED_BADLY = new Set(["rolled_back", "rejected", "expired", "failed"]);

/** Whether somebody has to decide. */
export const waiting = (change) => change.state === "validated";
/** Whether somebody has to decide, now or once the shadow twin has tried it out. */
const undecided = (change) => waiting(change) || change.state === "proposed";

/**
 * One change as a card. What the reader approves is the digest of exactly the plan that this card shows.
 * @param {object} change item of GET /v1/changes
 * @param {{now: string, kpiOf(name: string): object|undefined, labelOf(kpi: string): string, nameOf(id: string): string, select(id: string, how?: object): void,
 *          changed(): void, notes: Map<string, string>, unfolded: Set<string>}} page `notes` keeps what went wrong per
 *          change, `unfolded` which changes show all their effects
 */
export function changeCard(change, page) {
  const card = el("article", { class: "change", "aria-label": `Change ${change.id}` });
  const act = async (verb, body, button) => {
    for (const other of card.querySelectorAll("button")) other.disabled = true;
    button.classList.add("busy");
    page.notes.delete(change.id);
    try {
      await post(`/v1/changes/${encodeURIComponent(change.id)}/${verb}`, body);
    } catch (problem) {
      if (!(problem instanceof Problem)) throw problem;
      page.notes.set(change.id, problem.message);
    }
    page.changed();
  };
  const button = (text, kind, verb, body) => {
    const made = el("button", { type: "button", class: kind, dataset: { key: `${verb} ${change.id}` } }, text);
    made.addEventListener("click", () => act(verb, body, made));
    return made;
  };
  const harmful = change.shadow?.advice === "harmful";
  const approve = button(harmful ? "Approve all the same" : "Approve", harmful ? "plain" : "primary", "approve", { digest: change.digest, despite_shadow: harmful });
  const reject = button("Reject", "plain", "reject", { reason: "rejected on the status page" });
  const undo = button("Propose undo", "plain", "undo", {});
  const entities = [...new Set(change.actions.map((a) => a.entity))];

  card.append(
    el("div", { class: "head" }, el("span", { class: "id" }, heading(change, page)), el("span", { class: `state ${change.state}` }, STATE_WORDS[change.state] ?? change.state)),
    el("ul", { class: "plan" }, ...change.actions.map((a) => el("li", {}, a.in_words?.replaceAll("->", "→") ?? `${a.attribute} of ${a.entity}: ${a.old_value} → ${a.value} ${a.unit}`))),
  );
  if (change.reason) card.append(el("p", { class: "why" }, change.reason));
  card.append(track(change));
  if (change.shadow) card.append(shadow(change.shadow));
  if (waiting(change)) {
    card.append(
      el("div", { class: "buttons" }, approve, reject, el("span", { class: "digest", title: change.digest }, `plan ${change.digest.slice(0, 10)}`)),
    );
  }
  if (change.outcome) card.append(el("p", { class: ENDED_BADLY.has(change.state) ? "error" : "why" }, change.outcome));
  if (change.effects?.length) card.append(...effects(change, page));
  const foot = el("div", { class: "chips" }, ...entities.slice(0, 6).map((id) => el("button", { type: "button", class: "chip", dataset: { key: `${change.id} ${id}` }, on: { click: () => page.select(id, { fly: true }) } }, page.nameOf(id))));
  card.append(change.state === "committed" ? el("div", { class: "buttons" }, undo, foot) : foot);
  const note = page.notes.get(change.id);
  if (note) card.append(el("p", { class: "error", role: "alert" }, note));
  return card;
}

/** What the shadow twin says it would do, or why it cannot tell. */
function shadow(found) {
  const lines = {
    running: () => [`Being tried out on a copy of the network, ${Math.round(100 * found.progress)} %`],
    unavailable: () => [`Not tried out beforehand: ${found.reason}`],
    done: () => [
      ...(found.advice === "harmful" ? ["The shadow twin advises against it"] : []),
      ...(found.fidelity === "approximate" ? [`Only approximate: ${found.reason}`] : []),
      ...found.in_words.slice(0, 4),
    ],
  }[found.state]();
  return el("ul", { class: `shadow ${found.advice ?? ""}`, "aria-label": "Prediction" }, ...lines.map((line) => el("li", {}, line.replaceAll("->", "→"))));
}

function heading(change, page) {
  const by = [change.undoes ? `undoes ${change.undoes}` : null, `by ${change.proposed_by}`, change.applied_at ? `applied ${moment(change.applied_at, page.now)}` : null];
  return by.filter(Boolean).join(" · ");
}

/** How far it has come, as bars; the words stand beside it. */
function track(change) {
  const bad = ENDED_BADLY.has(change.state);
  const reached = bad ? (change.applied_at ? 5 : change.approved_at ? 3 : 2) : TRACK.indexOf(change.state) + 1;
  const bars = TRACK.map((_, i) => el("i", { class: i < reached ? (bad && i === reached - 1 ? "bad" : "done") : "" }));
  return el("div", { class: "track", role: "img", "aria-label": `State: ${STATE_WORDS[change.state] ?? change.state}` }, ...bars);
}

/** What it did: the entities it touched in full, all others folded away. */
function effects(change, page) {
  const known = change.effects.filter((e) => e.before !== null || e.after !== null);
  const touched = new Set(change.actions.map((a) => a.entity));
  const own = known.filter((e) => touched.has(e.entity));
  const others = known.filter((e) => !touched.has(e.entity));
  const parts = own.length ? [table(own, page)] : [];
  if (others.length) {
    const count = new Set(others.map((e) => e.entity)).size;
    const open = page.unfolded.has(change.id);
    const folded = el("details", { open }, el("summary", { dataset: { key: `others ${change.id}` } }, `effect on ${count} ${count === 1 ? "other" : "others"}`), table(others, page));
    folded.addEventListener("toggle", () => (folded.open ? page.unfolded.add(change.id) : page.unfolded.delete(change.id)));
    parts.push(folded);
  }
  return parts;
}

function table(rows, page) {
  const groups = Map.groupBy(rows, (row) => row.entity);
  return el(
    "table",
    { class: "effects" },
    el("caption", { class: "unseen" }, "Effect on KPIs"),
    ...[...groups].map(([id, group]) =>
      el(
        "tbody",
        {},
        el("tr", {}, el("th", { scope: "rowgroup", colspan: 2 }, page.nameOf(id))),
        ...group.map((row) => el("tr", {}, el("th", { scope: "row" }, page.labelOf(row.kpi)), el("td", {}, effect(row, page.kpiOf(row.kpi))))),
      ),
    ),
  );
}

function effect({ before, after, unit }, kpi) {
  const words = (value) => (kpi ? quantity(value, unit, kpi.decimals) : `${brief(value)} ${unit}`);
  return `${words(before)} → ${words(after)}`;
}

/** Fills the panel; keeps the keyboard where it was. */
export function drawChangeList(panel, changes, page) {
  const held = panel.contains(document.activeElement) ? document.activeElement.dataset.key : null;
  const list = el("div", { class: "list" });
  const open = changes.filter(undecided);
  const rest = changes.filter((c) => !undecided(c));
  if (changes.length === 0) list.append(el("p", { class: "empty" }, "No change yet. Ask for one, for example “tilt cell 7-2 two degrees more”; nothing is applied before you approve it."));
  if (open.length) list.append(el("h3", { class: "group" }, "To decide"), ...open.map((c) => changeCard(c, page)));
  if (rest.length) list.append(el("h3", { class: "group" }, "Decided"), ...rest.map((c) => changeCard(c, page)));
  const { scrollTop } = panel;
  panel.replaceChildren(list);
  panel.scrollTop = scrollTop;
  if (held) panel.querySelector(`[data-key="${CSS.escape(held)}"]`)?.focus();
}

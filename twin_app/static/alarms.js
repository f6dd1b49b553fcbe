/** The alarm list: active ones first, the gravest first; a click flies to the entity. */

import { SEVERITY } from "./colour.js";
import { el } from "./dom.js";
import { moment, plain, quantity } from "./words.js";

const MAX_CLEARED = 50;

/** Orders alarms as the list shows them. */
export function inOrder(alarms) {
  const rank = (a) => (a.cleared_at ? -10 : (SEVERITY[a.perceivedSeverity]?.rank ?? 0));
  return alarms.toSorted((a, b) => rank(b) - rank(a) || String(b.cleared_at ?? b.raised_at).localeCompare(String(a.cleared_at ?? a.raised_at)));
}

/**
 * Fills the panel.
 * @param {HTMLElement} panel
 * @param {object[]} alarms items of GET /v1/alarms
 * @param {{now: string, nameOf(id: string): string, kpiOf(name: string): object|undefined, select(id: string, how: object): void}} page
 */
export function drawAlarmList(panel, alarms, page) {
  const ordered = inOrder(alarms);
  const active = ordered.filter((a) => !a.cleared_at);
  const cleared = ordered.filter((a) => a.cleared_at).slice(0, MAX_CLEARED);
  const list = el("div", { class: "list" });
  list.append(el("h3", { class: "group" }, "Active"));
  if (active.length === 0) list.append(el("p", { class: "empty" }, "No active alarm. The twin watches every cell and link."));
  list.append(...active.map((a) => row(a, page)));
  if (cleared.length) list.append(el("h3", { class: "group" }, "Cleared"), ...cleared.map((a) => row(a, page)));
  const { scrollTop } = panel;
  panel.replaceChildren(list);
  panel.scrollTop = scrollTop;
}

function row(alarm, page) {
  const severity = alarm.cleared_at ? "CLEARED" : alarm.perceivedSeverity;
  const { mark } = SEVERITY[severity] ?? SEVERITY.INDETERMINATE;
  const times = alarm.cleared_at
    ? `${moment(alarm.raised_at, page.now)} to ${moment(alarm.cleared_at, page.now)}`
    : `since ${moment(alarm.raised_at, page.now)}`;
  const measured = (alarm.evidence ?? []).map((e) => {
    const { label, decimals } = page.kpiOf(e.kpi) ?? { label: e.kpi, decimals: 1 };
    return `${label} ${quantity(e.value, e.unit, decimals)}, expected ${quantity(e.expected, e.unit, decimals)}`;
  });
  const [headline, ...details] = (alarm.specificProblem || plain(alarm.probableCause)).split("; "); // one measurement each
  return el(
    "button",
    { type: "button", class: `alarm ${alarm.cleared_at ? "cleared" : ""}`, title: `${alarm.id} · ${alarm.dn}`, on: { click: () => page.select(alarm.entity, { fly: true }) } },
    el("span", { class: `mark ${severity.toLowerCase()}`, "aria-hidden": "true" }, mark),
    el("span", { class: "what" }, headline),
    el("span", { class: "more" }, `${plain(alarm.perceivedSeverity)} · ${page.nameOf(alarm.entity)} · ${times}`),
    ...(details.length ? details : measured).slice(0, 3).map((text) => el("span", { class: "more" }, text)),
  );
}

/** The link-health bar: names the hop that is broken, and says what still works without it. */

import { el } from "./dom.js";
import { duration, figure, moment } from "./words.js";

/** `ok`, `degraded`, `down` or `unknown` of a part, however the server words it. */
function stateOf(part) {
  const said = typeof part === "string" ? part : (part?.state ?? part?.status);
  return ["ok", "degraded", "down"].includes(said) ? said : "unknown";
}

function reasonOf(part) {
  return typeof part === "object" && part ? (part.reason ?? part.detail ?? part.why ?? "") : "";
}

/** All numbers under `dropped`, added up. */
function total(dropped) {
  if (typeof dropped === "number") return dropped;
  if (!dropped || typeof dropped !== "object") return 0;
  return Object.values(dropped).reduce((sum, value) => sum + total(value), 0);
}

/**
 * Draws the bar.
 * @param {HTMLElement} bar
 * @param {HTMLElement} notice one line under the header that explains the worst hop
 * @param {{health: object|null, live: object|null, lost: string|null}} now `lost`: why the server cannot be reached
 */
export function drawHealth(bar, notice, { health, live, lost }) {
  const hop = (name, state, title) => el("span", { class: `hop ${state}`, title }, name);
  if (lost) {
    const asOf = live ? ` The map shows ${moment(live.at, null)}.` : "";
    bar.replaceChildren(hop("page ↔ twin", "down", lost));
    tell(notice, `${lost}${asOf}`, "bad");
    return;
  }
  const parts = { ...(health?.parts ?? health?.components ?? {}) };
  const graph = health?.graph ?? parts.graph ?? parts.knowledge_graph;
  const store = health?.store ?? parts.store ?? parts.telemetry_store;
  const absent = live?.absent_s;
  const scene = live === null ? "unknown" : absent === null || absent === undefined ? "ok" : "down";
  const dropped = total(health?.dropped);
  const hops = [
    hop("page ↔ twin", "ok", "The page reaches the twin."),
    hop("twin ↔ scene", scene, scene === "down" ? `No scene for ${duration(absent)}.` : "The scene reports."),
    hop("graph", stateOf(graph), reasonOf(graph) || "Knowledge graph"),
    hop("store", stateOf(store), reasonOf(store) || "Telemetry store"),
  ];
  if (dropped > 0) hops.push(hop(`${figure(dropped, 0)} dropped`, "degraded", "Batches of telemetry that were dropped and counted since the start."));
  const { speed_requested: wanted, speed_actual: actual } = health ?? {};
  if (Number.isFinite(actual) && (wanted !== 1 || actual < 0.9 * wanted)) {
    const slow = actual < 0.9 * wanted;
    hops.push(hop(`× ${figure(actual, 1)} of ${figure(wanted, 1)}`, slow ? "degraded" : "ok", "Simulated seconds per second: reached, of what was asked for."));
  }
  const progress = health?.history?.progress;
  if (Number.isFinite(progress) && progress < 1) hops.push(hop(`past ${Math.floor(progress * 100)} %`, "degraded", "How much of the past has been told; questions about the rest say so."));
  bar.replaceChildren(...hops);

  if (scene === "down") tell(notice, `The scene is away for ${duration(absent)}. Simulated time stands still; what you see is as of ${moment(live.at, null)}. Questions are answered from memory.`, "bad");
  else if (stateOf(graph) === "down") tell(notice, `The knowledge graph is away${reasonOf(graph) ? `: ${reasonOf(graph)}` : ""}. It is being rebuilt; figures and changes work meanwhile.`, "");
  else if (stateOf(store) === "down") tell(notice, `The telemetry store is away${reasonOf(store) ? `: ${reasonOf(store)}` : ""}. Live figures work, history does not.`, "bad");
  else tell(notice, "", "");
}

function tell(notice, text, kind) {
  if (notice.textContent !== text) notice.textContent = text;
  notice.className = `notice ${kind}`;
  notice.hidden = text === "";
}

/** The link-health bar: names the hop that is broken, and says what still works without it. */

import { el } from "./dom.js";
import { duration, figure, moment, plain } from "./words.js";

/** `ok`, `degraded`, `down` or `unknown` of a part of GET /v1/health. */
function stateOf(part) {
  return ["ok", "degraded", "down"].includes(part?.status) ? part.status : "unknown";
}

/** What was lost, added up; duplicates were received twice, not lost. */
function lossesOf(dropped) {
  return Object.entries(dropped ?? {}).filter(([name, count]) => !name.endsWith("duplicates") && Number.isFinite(count) && count > 0);
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
  const { scene: sceneSaid, graph, store, planner } = health?.parts ?? {};
  const absent = live?.absent_s;
  const scene = live === null ? "unknown" : Number.isFinite(absent) ? "down" : stateOf(sceneSaid) === "unknown" ? "ok" : stateOf(sceneSaid);
  const losses = lossesOf(health?.dropped);
  const hops = [
    hop("page ↔ twin", "ok", "The page reaches the twin."),
    hop("twin ↔ scene", scene, scene === "down" ? `No scene for ${duration(absent)}.` : (sceneSaid?.text ?? "The scene reports.")),
    hop("graph", stateOf(graph), graph?.text ?? "Knowledge graph"),
    hop("store", stateOf(store), store?.text ?? "Telemetry store"),
  ];
  if (planner && stateOf(planner) !== "ok") hops.push(hop("planner", stateOf(planner), planner.text));
  if (losses.length) {
    const words = losses.map(([name, count]) => `${plain(name)}: ${figure(count, 0)}`).join(", ");
    hops.push(hop(`${figure(losses.reduce((sum, [, count]) => sum + count, 0), 0)} dropped`, "degraded", `Dropped and counted since the start: ${words}`));
  }
  const { speed_requested: wanted, speed_actual: actual } = health ?? {};
  if (Number.isFinite(actual) && (wanted !== 1 || actual < 0.9 * wanted)) {
    const slow = actual < 0.9 * wanted;
    hops.push(hop(`× ${figure(actual, 1)} of ${figure(wanted, 1)}`, slow ? "degraded" : "ok", "Simulated seconds per second: reached, of what was asked for."));
  }
  const progress = health?.history?.progress;
  if (Number.isFinite(progress) && progress < 1) hops.push(hop(`past ${Math.floor(progress * 100)} %`, "degraded", "How much of the past has been told; questions about the rest say so."));
  bar.replaceChildren(...hops);

  if (scene === "down") tell(notice, `The scene is away for ${duration(absent)}. Simulated time stands still; what you see is as of ${moment(live.at, null)}. Questions are answered from memory.`, "bad");
  else if (stateOf(graph) === "down") tell(notice, `The knowledge graph is away: ${graph.text}. It is being rebuilt; figures and changes work meanwhile.`, "");
  else if (stateOf(store) === "down") tell(notice, `The telemetry store is away: ${store.text}. Live figures work, history does not.`, "bad");
  else tell(notice, "", "");
}

function tell(notice, text, kind) {
  if (notice.textContent !== text) notice.textContent = text;
  notice.className = `notice ${kind}`;
  notice.hidden = text === "";
}

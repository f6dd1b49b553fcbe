/** The page: fetches what changes, keeps the selection, and lets the panels know. */

import { drawAlarmList, inOrder } from "./alarms.js";
import { Problem, frame, get, list, listen, lookAt, shownScene } from "./api.js";
import { Conversation } from "./ask.js";
import { drawChangeList, waiting } from "./changes.js";
import { City } from "./city.js";
import { byId, el } from "./dom.js";
import { drawHealth } from "./health.js";
import { Inspector } from "./inspector.js";
import { Legend, drawRasterLegend } from "./legend.js";
import { CityMap } from "./map.js";
import { clockOf, dayOf, quantity } from "./words.js";

const LIVE_MS = 400;
const HEALTH_MS = 2000;
const RASTER_MS = 60000; // it follows the load, which the server looks at once a minute
const LISTS_MS = 15000; // news comes as events; this is for events that were missed
const GIVE_UP_AFTER = 2; // failed polls before the page says that the twin is gone

const dark = matchMedia("(prefers-color-scheme: dark)");
const now = { health: null, live: null, lost: null, alarms: [], changes: [], misses: 0, revision: -1, ues: -1 };
let city = null;
let legend = null;

const map = new CityMap(byId("base"), byId("map"), { select, hover });
const inspector = new Inspector(byId("inspector"), {
  select,
  chooseKpi: (name) => legend.choose(name) || inspector.follow(name),
  related: (id, neighbours) => map.select(id, neighbours),
});
const page = {
  get now() {
    return now.live?.at ?? "";
  },
  notes: new Map(),
  unfolded: new Set(),
  nameOf: (id) => city?.nameOf(id) ?? id,
  kpiOf,
  labelOf: (name) => kpiOf(name)?.label ?? name ?? "",
  select,
  changed: refreshChanges,
  changeOf: (id) => now.changes.find((c) => c.id === id),
  context: () => ({
    scene: city.doc.scene_id,
    selection: map.selection.id ? [map.selection.id] : [],
    position_m: [map.view.east, map.view.north, 0],
  }),
  suggestions,
  show: (evidence) => {
    const list = { change: "tab-changes", alarm: "tab-alarms" }[String(evidence.entity).split("-")[0]];
    if (list) byId(list).click();
    else if (evidence.entity) select(evidence.entity, { fly: true });
    if (evidence.kpi) legend.choose(evidence.kpi);
  },
};
const conversation = new Conversation({ log: byId("conversation"), form: byId("ask"), input: byId("question") }, page);

function kpiOf(name) {
  return Object.values(city?.doc.kpis ?? {}).flat().find((k) => k.name === name);
}

/** Questions worth asking now: the gravest alarm first, then what is always of interest. */
function suggestions() {
  const alarm = inOrder(now.alarms).find((a) => !a.cleared_at);
  const cell = city.things.get(map.selection.id)?.kind === "cell" ? map.selection.id : city.cells[Math.floor(city.cells.length / 3)]?.id;
  const spoken = city.things.get(cell)?.id.replace(/^cell-/, "cell ") ?? "cell 1-1";
  return [
    alarm ? "Which alarms are active?" : "Which three cells have the highest load?",
    alarm ? `What is the throughput of ${city.nameOf(alarm.entity)} over the last ten minutes?` : `What is the load of ${spoken} now?`,
    `Which cells are neighbours of ${spoken}?`,
    `Tilt ${spoken} two degrees more`,
  ];
}

function select(id, { fly = false } = {}) {
  const known = id !== null && city?.knows(id) ? id : null;
  if (known && city.things.get(known)?.kind === "link") showLayer("layer-links", true);
  map.select(known);
  inspector.show(known);
  if (known && fly) map.flyTo(known);
  history.replaceState(null, "", `${location.pathname}${location.search}${known ? `#${encodeURIComponent(known)}` : ""}`);
}

function hover(id, { x, y, sinr_db: sinr }) {
  const tip = byId("tooltip");
  const lines = [];
  if (id) {
    lines.push(el("b", {}, city.nameOf(id)));
    const thing = city.things.get(id);
    const { kpi } = legend;
    if (thing?.kind === "cell") {
      lines.push(el("span", {}, thing.locked ? "locked" : `${kpi.label} ${quantity(now.live?.cell_value[thing.place], kpi.unit, kpi.decimals)}`));
    } else if (city.ueNumber.has(id)) {
      const cell = city.cells[now.live?.serving[city.ueNumber.get(id)]];
      lines.push(el("span", {}, cell ? `served by ${cell.name}` : "not served"));
    } else if (thing) lines.push(el("span", {}, thing.category ?? thing.role ?? thing.kind));
  } else if (Number.isFinite(sinr)) lines.push(el("span", {}, `SINR ${quantity(sinr, "dB", 1)}`));
  tip.replaceChildren(...lines);
  tip.hidden = lines.length === 0;
  if (tip.hidden) return;
  const stage = byId("map");
  tip.style.left = `${Math.min(x + 14, stage.clientWidth - tip.offsetWidth - 6)}px`;
  tip.style.top = `${y + 18 + tip.offsetHeight > stage.clientHeight ? y - tip.offsetHeight - 8 : y + 16}px`;
}

function showLayer(id, on) {
  const box = byId(id);
  if (box.checked !== on) {
    box.checked = on;
    box.dispatchEvent(new Event("change"));
  }
}

function bindLayers() {
  byId("layer-ues").addEventListener("change", (event) => {
    map.show.ues = event.target.checked;
    map.touch();
  });
  byId("layer-links").addEventListener("change", (event) => {
    map.show.links = event.target.checked;
    map.touch();
  });
  byId("layer-raster").addEventListener("change", refreshRaster);
  setInterval(() => byId("layer-raster").checked && !document.hidden && refreshRaster(), RASTER_MS);
  drawRasterLegend(byId("raster-ramp"), byId("raster-ticks"));
  byId("zoom-in").addEventListener("click", () => map.zoom(1.5));
  byId("zoom-out").addEventListener("click", () => map.zoom(1 / 1.5));
  byId("fit").addEventListener("click", () => map.fit());
}

/** The raster belongs to one configuration; it is asked for again whenever that changes. */
async function refreshRaster() {
  const box = byId("layer-raster");
  const label = box.parentElement;
  byId("raster-legend").hidden = !box.checked;
  if (!box.checked) {
    map.setRaster(null);
    return;
  }
  label.classList.add("busy");
  try {
    const raster = await frame("/v1/map/sinr", { timeout_ms: 120000 });
    if (box.checked) map.setRaster(raster);
  } catch (problem) {
    if (!(problem instanceof Problem)) throw problem;
    box.checked = false;
    byId("raster-legend").hidden = true;
    label.title = problem.message;
  } finally {
    label.classList.remove("busy");
  }
}

function bindTabs() {
  const tabs = [...document.querySelectorAll('[role="tab"]')];
  const open = (tab) => {
    for (const other of tabs) {
      const chosen = other === tab;
      other.setAttribute("aria-selected", String(chosen));
      other.tabIndex = chosen ? 0 : -1;
      byId(other.getAttribute("aria-controls")).hidden = !chosen;
    }
  };
  for (const [place, tab] of tabs.entries()) {
    tab.addEventListener("click", () => open(tab));
    tab.addEventListener("keydown", (event) => {
      const by = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
      if (!by) return;
      const next = tabs[(place + by + tabs.length) % tabs.length];
      open(next);
      next.focus();
    });
  }
}

function bindFind() {
  const input = byId("find-text");
  const named = [...city.sites, ...city.cells, ...city.places];
  byId("find-list").replaceChildren(...named.slice(0, 400).map((t) => el("option", { value: t.name })));
  byId("find").addEventListener("submit", (event) => {
    event.preventDefault();
    const word = input.value.trim().toLowerCase();
    if (!word) return;
    const slug = word.replaceAll(" ", "-");
    const fits = (t) => t.name.toLowerCase() === word || t.id === slug || (t.aliases ?? []).some((a) => a.toLowerCase() === word);
    const found = named.find(fits) ?? named.find((t) => t.name.toLowerCase().includes(word));
    const id = city.knows(slug) ? slug : found?.id;
    input.setCustomValidity(id ? "" : "Nothing here has this name.");
    input.reportValidity();
    if (id) select(id, { fly: true });
  });
  input.addEventListener("input", () => input.setCustomValidity(""));
}

function badge(tab, count, kind) {
  const mark = byId(tab).querySelector(".count");
  mark.textContent = String(count);
  mark.className = `count ${kind}`;
  mark.hidden = count === 0;
}

async function refreshAlarms() {
  now.alarms = await list("/v1/alarms?limit=200");
  const active = now.alarms.filter((a) => !a.cleared_at);
  map.alarms = active;
  map.touch();
  badge("tab-alarms", active.length, "hot");
  drawAlarmList(byId("panel-alarms"), now.alarms, page);
  conversation.greet();
}

async function refreshChanges() {
  now.changes = await list("/v1/changes?limit=50");
  badge("tab-changes", now.changes.filter(waiting).length, "wait");
  drawChangeList(byId("panel-changes"), now.changes, page);
  conversation.refreshCards();
}

function drawClock() {
  const { live, health } = now;
  if (!live) return;
  const speed = health?.speed_requested;
  byId("clock").replaceChildren(clockOf(live.at), el("small", {}, [dayOf(live.at), Number.isFinite(speed) && speed !== 1 ? `× ${speed}` : null].filter(Boolean).join(" · ")));
}

async function refreshLive() {
  const query = new URLSearchParams({ kpi: legend.kpi.name, revision: now.revision, ues: now.ues });
  const live = await frame(`/v1/live?${query}`);
  if (live.kpi !== legend.kpi.name) return; // another KPI was chosen meanwhile
  const reconfigured = now.revision !== -1 && now.revision !== live.revision;
  Object.assign(now, { live, revision: live.revision, ues: live.ues });
  city.take(live, performance.now());
  recolour();
  drawClock();
  if (reconfigured && byId("layer-raster").checked) refreshRaster();
}

function recolour() {
  if (!now.live) return;
  map.scale = legend.scaleFor(now.live.cell_value, dark.matches ? "dark" : "light");
  map.touch();
}

async function refreshHealth() {
  now.health = await get("/v1/health");
}

/** Calls again and again while the page is seen; remembers whether the twin answers. */
function every(pause_ms, call) {
  const turn = async () => {
    if (!document.hidden) {
      try {
        await call();
        now.misses = 0;
        now.lost = null;
      } catch (problem) {
        if (!(problem instanceof Problem)) {
          setTimeout(turn, pause_ms);
          throw problem;
        }
        if (problem.status === 0) now.misses += 1;
        if (now.misses >= GIVE_UP_AFTER) now.lost = problem.message;
      }
      drawHealth(byId("health"), byId("notice"), now);
    }
    setTimeout(turn, pause_ms);
  };
  return turn();
}

/** Runs a refresh soon, once for many events. */
function soon(call) {
  let planned = false;
  return () => {
    if (planned) return;
    planned = true;
    setTimeout(() => {
      planned = false;
      call().catch((problem) => {
        if (!(problem instanceof Problem)) throw problem; // the polls tell what is broken
      });
    }, 60);
  };
}

/** Where the twin keeps several scenes: shows the one of the address, else the first, and lets people choose. */
async function bindScenes() {
  const { items } = await get("/v1/scenes");
  if (shownScene() === null && items.length > 1) lookAt(items[0].id);
  const choice = byId("scene");
  choice.hidden = items.length < 2;
  choice.replaceChildren(...items.map((one) => el("option", { value: one.id }, one.id)));
  choice.value = shownScene() ?? items[0].id;
  choice.onchange = () => location.assign(`${location.pathname}?scene=${encodeURIComponent(choice.value)}`);
}

async function start() {
  let doc = null;
  while (!doc) {
    try {
      await bindScenes();
      doc = await get("/v1/map", { timeout_ms: 60000 });
    } catch (problem) {
      if (!(problem instanceof Problem)) throw problem;
      drawHealth(byId("health"), byId("notice"), { ...now, lost: problem.message });
      await new Promise((later) => setTimeout(later, 1500));
    }
  }
  city = new City(doc);
  document.title = `${doc.name} · Twin6G`;
  byId("city").textContent = doc.name;
  byId("attribution").textContent = doc.attribution.join(" · ");
  byId("attribution").hidden = doc.attribution.length === 0;
  byId("map").setAttribute("aria-label", `Map of ${doc.name} with ${doc.sites.length} sites and ${doc.cells.length} cells`);
  legend = new Legend({ select: byId("kpi"), ramp: byId("ramp"), ticks: byId("ticks"), keys: byId("keys") }, doc.kpis.cell, (kpi) => {
    inspector.follow(kpi.name);
    soon(refreshLive)();
  });
  inspector.follow(legend.kpi.name);
  map.setCity(city);
  bindLayers();
  bindFind();
  await every(LIVE_MS, refreshLive);
  every(HEALTH_MS, refreshHealth);
  await every(LISTS_MS, () => Promise.all([refreshAlarms(), refreshChanges()]));
  listen(
    { alarm: soon(refreshAlarms), change: soon(refreshChanges), scene: soon(refreshHealth), health: (health) => (now.health = health) },
    { onOpen: soon(() => Promise.all([refreshAlarms(), refreshChanges()])), onLost: () => {} },
  );
  const wanted = decodeURIComponent(location.hash.slice(1));
  if (wanted) select(wanted, { fly: true });
}

bindTabs();
dark.addEventListener("change", () => {
  map.refreshTheme();
  recolour();
});
document.addEventListener("keydown", (event) => {
  if (event.key === "/" && !event.target.closest("input, textarea, select")) {
    event.preventDefault();
    byId("tab-ask").click();
    byId("question").focus();
  }
});
start();

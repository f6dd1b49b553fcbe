/** The map: owns the two canvases, decides when to draw, and tells what lies under the pointer. */

import { drawLabels, drawStreetNames } from "./labels.js";
import {
  Ground, drawAlarms, drawCells, drawLinks, drawRelations, drawScaleBar, drawSpot, drawUes, inWedge, readPalette,
} from "./layers.js";
import { View, bindGestures } from "./view.js";

const FRAME_MS = 33; // thirty pictures a second are smooth for walkers and cars, and leave the machine to the twin
const SETTLE_MS = 90;
const SLOW_GROUND_MS = 9;
const FLIGHT_MS = 450;
const LEGEND_PX = 300;
const STREET_NAMES_FROM = 0.75; // pixels per metre

/** A canvas map of a city and its network. */
export class CityMap {
  /**
   * @param {HTMLCanvasElement} base
   * @param {HTMLCanvasElement} canvas
   * @param {{select(id: string|null): void, hover(id: string|null, spot: object): void}} tell
   */
  constructor(base, canvas, tell) {
    this.base = base;
    this.canvas = canvas;
    this.tell = tell;
    this.view = new View();
    this.palette = readPalette();
    this.city = null;
    this.ground = null;
    this.scale = null;
    this.alarms = [];
    this.show = { ues: true, links: false };
    this.selection = { id: null, cells: new Set(), neighbours: [], servedBy: null };
    this.still = matchMedia("(prefers-reduced-motion: reduce)");
    this.picture = null; // the ground as last drawn, to be shifted while a gesture runs
    this.groundMs = 0;
    this.stale = true;
    this.lastDraw = 0;
    bindGestures(canvas, this.view, {
      changed: () => this.#stopFlight(),
      click: (x, y) => tell.select(this.at(x, y, { buildings: true })),
      hover: (x, y) => this.#hover(x, y),
      leave: () => tell.hover(null, {}),
      fit: () => this.fit(),
      step: (by) => this.#step(by),
      escape: () => tell.select(null),
    });
    new ResizeObserver(() => this.#resize()).observe(canvas);
    requestAnimationFrame((now) => this.#tick(now));
  }

  setCity(city) {
    this.city = city;
    this.ground = new Ground(city);
    this.#resize();
    this.fit();
  }

  setRaster(frame) {
    this.ground?.setRaster(frame);
    this.#redrawGround();
  }

  refreshTheme() {
    this.palette = readPalette();
    this.#redrawGround();
  }

  /** Draws again at the next chance. */
  touch() {
    this.stale = true;
  }

  fit() {
    if (!this.city) return;
    this.#stopFlight();
    this.view.fit(this.city.content, { margin: Math.min(34, this.view.width * 0.03), left: LEGEND_PX });
    this.touch();
  }

  zoom(factor) {
    this.#stopFlight();
    this.view.zoomAt(this.view.width / 2, this.view.height / 2, factor);
    this.touch();
  }

  /** Marks what is selected; neighbours may come later, when the inspector knows them. */
  select(id, neighbours = []) {
    const cells = new Set([id, ...(this.city?.cells ?? []).filter((c) => c.site === id).map((c) => c.id)]);
    const cell = this.city?.things.get(id);
    this.selection = { id, cells, neighbours, servedBy: cell?.kind === "cell" ? cell.place : null };
    this.touch();
  }

  /** Glides to a thing; jumps when the reader wants less motion. */
  flyTo(id) {
    const spot = this.city?.whereIs(id);
    if (!spot) return;
    const { east, north, scale } = this.view;
    const goal = { east: spot[0], north: spot[1], scale: Math.max(scale, Math.min(1, 60 / this.city.wedgeRadius_m)) };
    if (this.still.matches) {
      this.view.look(goal.east, goal.north, goal.scale);
      this.touch();
      return;
    }
    this.flight = { from: { east, north, scale }, goal, start: performance.now() };
  }

  /** Id of what lies at a spot in pixels, null for bare ground. */
  at(x, y, { buildings = false } = {}) {
    const { city, view } = this;
    if (!city) return null;
    const near = (east, north, reach) => Math.hypot(view.x(east) - x, view.y(north) - y) <= reach;
    const alarm = this.alarms.find((a) => {
      const spot = city.whereIs(a.entity);
      return spot && Math.hypot(view.x(spot[0]) - x, view.y(spot[1]) - 17 - y) <= 11;
    });
    if (alarm) return alarm.entity;
    if (this.show.ues) {
      let [best, nearest] = [-1, 8];
      for (let i = 0; i < city.east.length; i += 1) {
        const away = Math.hypot(view.x(city.east[i]) - x, view.y(city.north[i]) - y);
        if (away < nearest) [best, nearest] = [i, away];
      }
      if (best >= 0) return city.ueIds[best] ?? null;
    }
    const spot =
      city.sites.find((s) => near(s.east, s.north, 7)) ??
      city.cells.find((c) => inWedge(city, view, c, x, y)) ??
      (this.show.links ? (city.nodes.find((n) => near(n.east, n.north, 9)) ?? this.#linkAt(x, y)) : undefined) ??
      city.places.find((p) => near(p.east, p.north, 10)) ??
      (buildings ? city.buildingAt(view.eastAt(x), view.northAt(y)) : undefined);
    return spot?.id ?? null;
  }

  #linkAt(x, y) {
    const { view } = this;
    return this.city.links.find(({ from, to }) => {
      if (!from || !to) return false;
      const [ax, ay] = [view.x(from.east), view.y(from.north)];
      const [dx, dy] = [view.x(to.east) - ax, view.y(to.north) - ay];
      const along = Math.max(0, Math.min(1, ((x - ax) * dx + (y - ay) * dy) / (dx * dx + dy * dy || 1)));
      return Math.hypot(ax + along * dx - x, ay + along * dy - y) < 5;
    });
  }

  #hover(x, y) {
    const id = this.at(x, y);
    this.canvas.classList.toggle("over", id !== null);
    this.tell.hover(id, { x, y, sinr_db: this.ground?.sinrAt(this.view.eastAt(x), this.view.northAt(y)) ?? null });
  }

  #step(by) {
    if (!this.city || this.city.cells.length === 0) return;
    const { cells } = this.city;
    const now = cells.findIndex((c) => c.id === this.selection.id);
    const next = cells[(now < 0 ? (by > 0 ? 0 : cells.length - 1) : now + by + cells.length) % cells.length];
    this.tell.select(next.id, { fly: true });
  }

  #stopFlight() {
    this.flight = null;
    this.touch();
  }

  #resize() {
    const { clientWidth: width, clientHeight: height } = this.canvas;
    const ratio = Math.min(2, window.devicePixelRatio || 1);
    for (const canvas of [this.base, this.canvas]) {
      canvas.width = Math.round(width * ratio);
      canvas.height = Math.round(height * ratio);
    }
    this.ratio = ratio;
    this.view.resize(width, height);
    this.#redrawGround();
  }

  #redrawGround() {
    this.picture = null;
    this.touch();
  }

  #tick(now) {
    requestAnimationFrame((next) => this.#tick(next));
    if (!this.city || document.hidden) return;
    if (this.flight) this.#fly(now);
    const moving = this.city.moving(now) && this.show.ues;
    if (!this.stale && !(moving && now - this.lastDraw >= FRAME_MS) && !this.blurred) return;
    this.stale = false;
    this.lastDraw = now;
    this.city.place(now);
    this.#drawGround(now);
    this.#drawNetwork();
  }

  #fly(now) {
    const { from, goal, start } = this.flight;
    const share = Math.min(1, (now - start) / FLIGHT_MS);
    const eased = share * share * (3 - 2 * share);
    const mix = (a, b) => a + (b - a) * eased;
    this.view.look(mix(from.east, goal.east), mix(from.north, goal.north), Math.exp(mix(Math.log(from.scale), Math.log(goal.scale))));
    this.touch();
    if (share === 1) this.flight = null;
  }

  /** The ground is drawn anew when the view changed; while it keeps changing and that is slow, the old picture is moved. */
  #drawGround(now) {
    const { view, base, picture } = this;
    if (picture && picture.number === view.number) return;
    const ctx = base.getContext("2d", { alpha: false });
    if (this.seenNumber !== view.number) {
      this.seenNumber = view.number;
      this.changedAt = now;
    }
    const settled = now - this.changedAt >= SETTLE_MS;
    if (picture && this.groundMs > SLOW_GROUND_MS && !settled) {
      this.blurred = true;
      const zoom = view.scale / picture.scale;
      ctx.setTransform(1, 0, 0, 1, 0, 0);
      ctx.fillStyle = this.palette.outside;
      ctx.fillRect(0, 0, base.width, base.height);
      const left = view.x(picture.west) * this.ratio;
      const top = view.y(picture.north) * this.ratio;
      ctx.drawImage(picture.canvas, left, top, picture.canvas.width * zoom, picture.canvas.height * zoom);
      return;
    }
    const start = performance.now();
    this.ground.draw(ctx, view, this.palette, this.ratio);
    this.groundMs = performance.now() - start;
    this.blurred = false;
    const copy = picture?.canvas ?? document.createElement("canvas");
    copy.width = base.width;
    copy.height = base.height;
    copy.getContext("2d", { alpha: false }).drawImage(base, 0, 0);
    this.picture = { canvas: copy, number: view.number, west: view.eastAt(0), north: view.northAt(0), scale: view.scale };
  }

  #drawNetwork() {
    const { canvas, city, view } = this;
    const ctx = canvas.getContext("2d");
    ctx.setTransform(this.ratio, 0, 0, this.ratio, 0, 0);
    ctx.clearRect(0, 0, view.width, view.height);
    const alarmed = new Set(this.alarms.map((a) => city.things.get(a.entity)?.site ?? a.entity));
    const look = { palette: this.palette, scale: this.scale, selection: this.selection, alarmed };
    if (view.scale > STREET_NAMES_FROM) drawStreetNames(ctx, city, view, look);
    if (this.show.links) drawLinks(ctx, city, view, look);
    drawCells(ctx, city, view, look);
    drawRelations(ctx, city, view, look);
    if (this.show.ues) drawUes(ctx, city, view, look);
    drawSpot(ctx, city, view, look);
    drawLabels(ctx, city, view, look);
    drawAlarms(ctx, city, view, this.alarms);
    drawScaleBar(ctx, view, this.palette, 26);
  }
}

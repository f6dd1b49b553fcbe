/** What is drawn and how. Two canvases: the ground changes with the view only, the network with every frame. */

import { SEVERITY, rasterScale } from "./colour.js";

const TILE_M = 500;
const HALF_WEDGE = (Math.PI / 180) * 38; // wider than a beam of 65 degrees, narrow enough to tell three sectors apart

/** The map's colours, as the style sheet defines them for this theme. */
export function readPalette() {
  const style = getComputedStyle(document.documentElement);
  const names = [
    "ground", "outside", "building", "building-edge", "major", "minor", "path", "street-edge", "label", "halo",
    "ue", "ue-edge", "mast", "mast-edge", "missing", "outline", "select", "link", "place", "street-name",
  ];
  return Object.fromEntries(names.map((name) => [name.replace(/-(.)/g, (_, c) => c.toUpperCase()), style.getPropertyValue(`--map-${name}`).trim()]));
}

/** Paths in metres, cut into tiles so that a close view draws only what it shows. */
class Tiles {
  constructor(shapes, closed) {
    const tiles = new Map();
    for (const points of shapes) {
      const key = `${Math.floor(points[0] / TILE_M)} ${Math.floor(points[1] / TILE_M)}`;
      const tile = tiles.get(key) ?? { path: new Path2D(), west: Infinity, south: Infinity, east: -Infinity, north: -Infinity };
      tiles.set(key, tile);
      for (let i = 0; i < points.length; i += 2) {
        if (i === 0) tile.path.moveTo(points[0], points[1]);
        else tile.path.lineTo(points[i], points[i + 1]);
        tile.west = Math.min(tile.west, points[i]);
        tile.east = Math.max(tile.east, points[i]);
        tile.south = Math.min(tile.south, points[i + 1]);
        tile.north = Math.max(tile.north, points[i + 1]);
      }
      if (closed) tile.path.closePath();
    }
    this.tiles = [...tiles.values()];
  }

  seen(view) {
    const [west, east] = [view.eastAt(0), view.eastAt(view.width)];
    const [south, north] = [view.northAt(view.height), view.northAt(0)];
    return this.tiles.filter((t) => t.east >= west && t.west <= east && t.north >= south && t.south <= north);
  }
}

/** Streets, buildings and the SINR raster. */
export class Ground {
  constructor(city) {
    this.city = city;
    this.buildings = new Tiles(city.buildings.map((b) => b.points), true);
    const ofClass = (name) => new Tiles(city.streets.filter((s) => s.class === name).map((s) => s.points), false);
    this.streets = { path: ofClass("path"), minor: ofClass("minor"), major: ofClass("major") };
    this.raster = null;
  }

  /** Takes a raster frame, null takes it away. */
  setRaster(frame) {
    this.raster = frame && { ...frame, image: rasterImage(frame) };
  }

  draw(ctx, view, palette, ratio) {
    ctx.setTransform(ratio, 0, 0, ratio, 0, 0);
    ctx.fillStyle = palette.outside;
    ctx.fillRect(0, 0, view.width, view.height);
    const k = view.scale * ratio;
    ctx.setTransform(k, 0, 0, -k, (view.width / 2 - view.east * view.scale) * ratio, (view.height / 2 + view.north * view.scale) * ratio);
    const [west, south, east, north] = this.city.extent;
    ctx.fillStyle = palette.ground;
    ctx.fillRect(west, south, east - west, north - south);
    ctx.lineJoin = "round";
    ctx.lineCap = "round";
    const px = 1 / view.scale;
    const stroke = (tiles, colour, width_m) => {
      ctx.strokeStyle = colour;
      ctx.lineWidth = width_m;
      for (const { path } of tiles.seen(view)) ctx.stroke(path);
    };
    const major = Math.max(11, 1.6 * px);
    const minor = Math.max(6.5, 0.9 * px);
    if (view.scale > 0.12) stroke(this.streets.path, palette.path, Math.max(1.6, 0.8 * px));
    if (view.scale > 0.25) {
      stroke(this.streets.minor, palette.streetEdge, minor + 2 * px);
      stroke(this.streets.major, palette.streetEdge, major + 2 * px);
    }
    stroke(this.streets.minor, palette.minor, minor);
    stroke(this.streets.major, palette.major, major);
    ctx.fillStyle = palette.building;
    for (const { path } of this.buildings.seen(view)) ctx.fill(path);
    if (view.scale > 0.45) stroke(this.buildings, palette.buildingEdge, 0.8 * px);
    if (!this.raster) return;
    this.#drawRaster(ctx);
    ctx.globalAlpha = 0.4;
    stroke(this.streets.major, palette.outside, Math.max(4, 0.8 * px));
    stroke(this.streets.minor, palette.outside, Math.max(2, 0.6 * px));
    ctx.globalAlpha = 1;
  }

  #drawRaster(ctx) {
    const { image, west_m: left, south_m: bottom, cell_m: edge, rows, cols } = this.raster;
    ctx.globalAlpha = 0.62;
    ctx.imageSmoothingEnabled = true;
    ctx.drawImage(image, left, bottom, cols * edge, rows * edge);
    ctx.globalAlpha = 1;
  }

  /** SINR in dB at a spot, null outside or without raster. */
  sinrAt(east, north) {
    if (!this.raster) return null;
    const col = Math.floor((east - this.raster.west_m) / this.raster.cell_m);
    const row = Math.floor((north - this.raster.south_m) / this.raster.cell_m);
    if (col < 0 || row < 0 || col >= this.raster.cols || row >= this.raster.rows) return null;
    const step = this.raster.squares[row * this.raster.cols + col];
    return step === 255 ? null : step / this.raster.steps_per_db + this.raster.low_db;
  }
}

/** Row 0 is in the south and the ground is drawn with north up by a mirrored transform, so rows stay in order. */
function rasterImage(frame) {
  const canvas = document.createElement("canvas");
  canvas.width = frame.cols;
  canvas.height = frame.rows;
  const ctx = canvas.getContext("2d");
  const image = ctx.createImageData(frame.cols, frame.rows);
  frame.squares.forEach((step, i) => {
    if (step === 255) return;
    const [r, g, b] = rasterScale.rgb[rasterScale.step(step / frame.steps_per_db + frame.low_db)];
    image.data.set([r, g, b, 255], i * 4);
  });
  ctx.putImageData(image, 0, 0);
  return canvas;
}

/** Radius of a wedge in pixels. */
export function wedgeRadius(city, view) {
  return Math.min(110, Math.max(11, city.wedgeRadius_m * view.scale));
}

function wedge(ctx, x, y, radius, azimuth_deg) {
  const up = (azimuth_deg * Math.PI) / 180 - Math.PI / 2;
  ctx.beginPath();
  ctx.moveTo(x, y);
  ctx.arc(x, y, radius, up - HALF_WEDGE, up + HALF_WEDGE);
  ctx.closePath();
}

/** Whether a spot in pixels lies in the wedge of a cell. */
export function inWedge(city, view, cell, x, y) {
  if (cell.azimuth === null) return false;
  const [dx, dy] = [x - view.x(cell.east), y - view.y(cell.north)];
  if (Math.hypot(dx, dy) > wedgeRadius(city, view)) return false;
  const bearing = Math.atan2(dx, -dy) - (cell.azimuth * Math.PI) / 180;
  return Math.abs(Math.atan2(Math.sin(bearing), Math.cos(bearing))) <= HALF_WEDGE;
}

/** Three sectors per site, coloured by the chosen KPI; locked ones empty and dashed, unknown ones grey. */
export function drawCells(ctx, city, view, { palette, scale, selection }) {
  const radius = wedgeRadius(city, view);
  ctx.lineJoin = "round";
  for (const cell of city.cells) {
    const [x, y] = [view.x(cell.east), view.y(cell.north)];
    if (cell.azimuth === null || x < -radius || y < -radius || x > view.width + radius || y > view.height + radius) continue;
    wedge(ctx, x, y, radius, cell.azimuth);
    const step = scale ? scale.step(city.live?.frame.cell_value[cell.place]) : -1;
    if (cell.locked) {
      ctx.setLineDash([4, 3]);
      ctx.strokeStyle = palette.label;
      ctx.lineWidth = 1.4;
      ctx.stroke();
      ctx.setLineDash([]);
    } else {
      ctx.globalAlpha = step < 0 ? 0.55 : 0.88;
      ctx.fillStyle = step < 0 ? palette.missing : scale.css[step];
      ctx.fill();
      ctx.globalAlpha = 1;
      ctx.strokeStyle = palette.outline;
      ctx.lineWidth = 0.9;
      ctx.stroke();
    }
    if (selection.cells.has(cell.id)) {
      wedge(ctx, x, y, radius + 2, cell.azimuth);
      ctx.strokeStyle = palette.select;
      ctx.lineWidth = cell.id === selection.id ? 3.2 : 1.8;
      ctx.stroke();
    }
  }
  for (const site of city.sites) {
    disc(ctx, view.x(site.east), view.y(site.north), site.id === selection.id ? 5.5 : Math.min(4, radius / 5 + 1), palette.mast, palette.mastEdge);
  }
}

function disc(ctx, x, y, radius, fill, edge) {
  ctx.beginPath();
  ctx.arc(x, y, radius, 0, 2 * Math.PI);
  ctx.fillStyle = fill;
  ctx.fill();
  ctx.strokeStyle = edge;
  ctx.lineWidth = 1.2;
  ctx.stroke();
}

/** Lines from a selected cell to its neighbours. */
export function drawRelations(ctx, city, view, { palette, selection }) {
  const from = selection.id && city.whereIs(selection.id);
  if (!from) return;
  ctx.strokeStyle = palette.select;
  ctx.globalAlpha = 0.55;
  ctx.lineWidth = 1.2;
  ctx.setLineDash([2, 4]);
  ctx.beginPath();
  for (const id of selection.neighbours) {
    const to = city.whereIs(id);
    if (!to) continue;
    ctx.moveTo(view.x(from[0]), view.y(from[1]));
    ctx.lineTo(view.x(to[0]), view.y(to[1]));
  }
  ctx.stroke();
  ctx.setLineDash([]);
  ctx.globalAlpha = 1;
}

/** Transport links between sites and routers. */
export function drawLinks(ctx, city, view, { palette, selection }) {
  for (const link of city.links) {
    if (!link.from || !link.to) continue;
    ctx.strokeStyle = link.id === selection.id ? palette.select : palette.link;
    ctx.lineWidth = link.id === selection.id ? 3.4 : 1.5;
    ctx.beginPath();
    ctx.moveTo(view.x(link.from.east), view.y(link.from.north));
    ctx.lineTo(view.x(link.to.east), view.y(link.to.north));
    ctx.stroke();
  }
  for (const node of city.nodes) {
    const [x, y] = [view.x(node.east), view.y(node.north)];
    ctx.fillStyle = palette.link;
    ctx.strokeStyle = palette.mastEdge;
    ctx.lineWidth = 1.2;
    ctx.fillRect(x - 5, y - 5, 10, 10);
    ctx.strokeRect(x - 5, y - 5, 10, 10);
  }
}

/** UEs as dots; in the colours of the KPI where a UE has the same figure, and only served ones stay bright around a selected cell. */
export function drawUes(ctx, city, view, { palette, scale, selection }) {
  if (!city.live) return;
  const { serving, ue_value: values } = city.live.frame;
  const size = Math.min(5, Math.max(1.6, 1.5 + view.scale * 1.6));
  const groups = new Map();
  for (let i = 0; i < city.east.length; i += 1) {
    const [x, y] = [view.x(city.east[i]), view.y(city.north[i])];
    if (!(x >= -6 && y >= -6 && x <= view.width + 6 && y <= view.height + 6)) continue; // NaN: not seen yet
    const step = values && scale ? scale.step(values[i]) : -1;
    const dim = selection.servedBy !== null && serving[i] !== selection.servedBy;
    const key = dim ? "dim" : step;
    const path = groups.get(key) ?? new Path2D();
    groups.set(key, path);
    path.moveTo(x + size, y);
    path.arc(x, y, size, 0, 2 * Math.PI);
  }
  for (const [key, path] of groups) {
    ctx.globalAlpha = key === "dim" ? 0.25 : 1;
    ctx.strokeStyle = palette.ueEdge;
    ctx.lineWidth = 1.4;
    if (key !== "dim") ctx.stroke(path);
    ctx.fillStyle = typeof key === "number" && key >= 0 ? scale.css[key] : palette.ue;
    ctx.fill(path);
    ctx.globalAlpha = 1;
  }
  drawSelectedUe(ctx, city, view, palette, selection);
}

function drawSelectedUe(ctx, city, view, palette, selection) {
  const number = city.ueNumber.get(selection.id);
  if (number === undefined) return;
  const [x, y] = [view.x(city.east[number]), view.y(city.north[number])];
  const cell = city.cells[city.live.frame.serving[number]];
  ctx.strokeStyle = palette.select;
  if (cell) {
    ctx.lineWidth = 1.6;
    ctx.setLineDash([5, 4]);
    ctx.beginPath();
    ctx.moveTo(x, y);
    ctx.lineTo(view.x(cell.east), view.y(cell.north));
    ctx.stroke();
    ctx.setLineDash([]);
  }
  ctx.lineWidth = 2.4;
  ctx.beginPath();
  ctx.arc(x, y, 9, 0, 2 * Math.PI);
  ctx.stroke();
}

/** Rings around what is selected and has no shape of its own. */
export function drawSpot(ctx, city, view, { palette, selection }) {
  const thing = city.things.get(selection.id);
  if (!thing) return;
  ctx.strokeStyle = palette.select;
  ctx.lineWidth = 2.4;
  ctx.beginPath();
  if (thing.kind === "building") {
    for (let i = 0; i < thing.points.length; i += 2) ctx.lineTo(view.x(thing.points[i]), view.y(thing.points[i + 1]));
    ctx.closePath();
  } else if (thing.kind === "place" || thing.kind === "site" || thing.kind === "node") {
    ctx.arc(view.x(thing.east), view.y(thing.north), 10, 0, 2 * Math.PI);
  }
  ctx.stroke();
}

/** Alarm marks: colour, shape of the sign and a pin, at the entity that the alarm is about. */
export function drawAlarms(ctx, city, view, alarms) {
  ctx.textAlign = "center";
  ctx.textBaseline = "middle";
  for (const alarm of alarms) {
    const spot = city.whereIs(alarm.entity);
    if (!spot) continue;
    const { colour, mark } = SEVERITY[alarm.perceivedSeverity] ?? SEVERITY.INDETERMINATE;
    const [x, y] = [view.x(spot[0]), view.y(spot[1]) - 17];
    ctx.beginPath();
    ctx.moveTo(x, y + 17);
    ctx.lineTo(x - 6, y + 7);
    ctx.arc(x, y, 10, Math.PI * 0.72, Math.PI * 0.28);
    ctx.closePath();
    ctx.fillStyle = colour;
    ctx.fill();
    ctx.strokeStyle = "#ffffff";
    ctx.lineWidth = 1.6;
    ctx.stroke();
    ctx.fillStyle = "#ffffff";
    ctx.font = "700 13px system-ui, 'DejaVu Sans', sans-serif";
    ctx.fillText(mark, x, y + 0.5);
  }
}

/** A bar with a round length in metres, lower right. */
export function drawScaleBar(ctx, view, palette, bottom) {
  const round = [10, 20, 50, 100, 200, 500, 1000, 2000, 5000].findLast((m) => m * view.scale <= 130) ?? 10;
  const length = round * view.scale;
  const [right, y] = [view.width - 14, view.height - bottom];
  ctx.strokeStyle = palette.halo;
  ctx.lineWidth = 4;
  const line = () => {
    ctx.beginPath();
    ctx.moveTo(right - length, y - 4);
    ctx.lineTo(right - length, y);
    ctx.lineTo(right, y);
    ctx.lineTo(right, y - 4);
    ctx.stroke();
  };
  line();
  ctx.strokeStyle = palette.label;
  ctx.lineWidth = 1.5;
  line();
  const text = round >= 1000 ? `${round / 1000} km` : `${round} m`;
  ctx.font = "11px system-ui, 'DejaVu Sans', sans-serif";
  ctx.textAlign = "right";
  ctx.textBaseline = "bottom";
  ctx.strokeStyle = palette.halo;
  ctx.lineWidth = 3;
  ctx.strokeText(text, right - 3, y - 4);
  ctx.fillStyle = palette.label;
  ctx.fillText(text, right - 3, y - 4);
}

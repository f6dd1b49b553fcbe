/** Names on the map: the most important first; a name that would cover another, or a mast, is left out. */

import { wedgeRadius } from "./layers.js";

const FONT = "system-ui, 'DejaVu Sans', sans-serif";
const MAST_PX = 7;
const OVERVIEW = 0.5; // pixels per metre below which many places keep a distance, so that the network stays in front
const CROWD = 25;

/** Boxes that are taken, each [left, top, right, bottom] in pixels. */
class Room {
  constructor(view) {
    this.taken = [[view.width - 160, view.height - 46, view.width, view.height]]; // the scale bar
  }

  free([left, top, right, bottom]) {
    return !this.taken.some((t) => left < t[2] && right > t[0] && top < t[3] && bottom > t[1]);
  }

  take(box) {
    this.taken.push(box);
  }
}

function write(ctx, text, x, y, { font, colour, halo }) {
  ctx.font = `${font} ${FONT}`;
  ctx.textAlign = "center";
  ctx.textBaseline = "middle";
  ctx.lineJoin = "round";
  ctx.strokeStyle = halo;
  ctx.lineWidth = 3.6;
  ctx.strokeText(text, x, y);
  ctx.fillStyle = colour;
  ctx.fillText(text, x, y);
}

/** Sites and places. */
export function drawLabels(ctx, city, view, look) {
  const { palette, selection, alarmed } = look;
  const room = new Room(view);
  const radius = wedgeRadius(city, view);
  const chosen = (thing) => thing.id === selection.id || selection.cells.has(thing.id);
  const rank = (site) => (chosen(site) ? 0 : alarmed.has(site.id) ? 1 : 2);
  const inSight = ({ east, north }) => view.x(east) > 0 && view.x(east) < view.width && view.y(north) > 0 && view.y(north) < view.height;
  const sites = city.sites.filter((s) => inSight(s) && (view.scale > 0.16 || rank(s) < 2)).sort((a, b) => rank(a) - rank(b));
  for (const site of sites) {
    const [x, y] = [view.x(site.east), view.y(site.north) + radius + 9];
    const font = rank(site) === 0 ? "700 12.5px" : "600 11.5px";
    ctx.font = `${font} ${FONT}`;
    const half = ctx.measureText(site.name).width / 2 + 4;
    const box = [x - half, y - 9, x + half, y + 9];
    if (!room.free(box)) continue;
    room.take(box);
    write(ctx, site.name, x, y, { font, colour: palette.label, halo: palette.halo });
  }
  for (const site of city.sites.filter(inSight)) {
    const [x, y] = [view.x(site.east), view.y(site.north)];
    room.take([x - MAST_PX, y - MAST_PX, x + MAST_PX, y + MAST_PX]);
  }
  drawPlaces(ctx, city.places.filter((p) => inSight(p) && (view.scale > 0.1 || chosen(p))), view, look, room);
}

function drawPlaces(ctx, places, view, { palette, selection }, room) {
  const apart = view.scale < OVERVIEW && places.length > CROWD ? 5 : -2;
  ctx.font = `italic 12px ${FONT}`;
  for (const place of places.toSorted((a, b) => (b.id === selection.id) - (a.id === selection.id))) {
    const [x, y] = [view.x(place.east), view.y(place.north)];
    ctx.font = `italic 12px ${FONT}`;
    const half = ctx.measureText(place.name).width / 2 + 4;
    const box = [x - half, y - 6, x + half, y + 20];
    const wide = [box[0] - apart, box[1] - apart, box[2] + apart, box[3] + apart];
    if (place.id !== selection.id && !room.free(wide)) continue;
    room.take(box);
    diamond(ctx, x, y, palette);
    write(ctx, place.name, x, y + 12, { font: "italic 12px", colour: palette.place, halo: palette.halo });
  }
}

function diamond(ctx, x, y, palette) {
  ctx.beginPath();
  ctx.moveTo(x, y - 4.5);
  ctx.lineTo(x + 4.5, y);
  ctx.lineTo(x, y + 4.5);
  ctx.lineTo(x - 4.5, y);
  ctx.closePath();
  ctx.fillStyle = palette.place;
  ctx.fill();
  ctx.strokeStyle = palette.halo;
  ctx.lineWidth = 1.2;
  ctx.stroke();
}

/** Street names along a straight piece that is long enough, each name once per picture. */
export function drawStreetNames(ctx, city, view, { palette }) {
  const written = new Set();
  for (const street of city.streets) {
    if (!street.name || written.has(street.name)) continue;
    const { points } = street;
    ctx.font = `500 11px ${FONT}`;
    const width = ctx.measureText(street.name).width;
    for (let i = 2; i < points.length; i += 2) {
      const [ax, ay, bx, by] = [view.x(points[i - 2]), view.y(points[i - 1]), view.x(points[i]), view.y(points[i + 1])];
      const [x, y] = [(ax + bx) / 2, (ay + by) / 2];
      if (Math.hypot(bx - ax, by - ay) < width + 12 || x < 0 || y < 0 || x > view.width || y > view.height) continue;
      const lean = Math.atan2(by - ay, bx - ax);
      ctx.save();
      ctx.translate(x, y);
      ctx.rotate(Math.abs(lean) > Math.PI / 2 ? lean + Math.PI : lean); // never upside down
      write(ctx, street.name, 0, 0, { font: "500 11px", colour: palette.streetName, halo: palette.major });
      ctx.restore();
      written.add(street.name);
      break;
    }
  }
}

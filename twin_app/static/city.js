/** The city as the page holds it: decoded geometry, things by id, and where each UE is at this very frame. */

const JUMP_M = 250; // farther than any car goes between two frames: a respawn, not a way to be drawn

/** Differences in decimetres to metres: [east, north, east, north, ...]. */
function decode(line) {
  const metres = new Float32Array(line.length);
  let [east, north] = [0, 0];
  for (let i = 0; i < line.length; i += 2) {
    east += line[i];
    north += line[i + 1];
    metres[i] = east / 10;
    metres[i + 1] = north / 10;
  }
  return metres;
}

function boxOf(points) {
  let [west, south, east, north] = [Infinity, Infinity, -Infinity, -Infinity];
  for (let i = 0; i < points.length; i += 2) {
    west = Math.min(west, points[i]);
    east = Math.max(east, points[i]);
    south = Math.min(south, points[i + 1]);
    north = Math.max(north, points[i + 1]);
  }
  return { west, south, east, north };
}

/** Ring contains the point (even-odd rule). */
function inside(ring, east, north) {
  let within = false;
  for (let i = 0, j = ring.length - 2; i < ring.length; j = i, i += 2) {
    const crosses = ring[i + 1] > north !== ring[j + 1] > north;
    if (crosses && east < ((ring[j] - ring[i]) * (north - ring[i + 1])) / (ring[j + 1] - ring[i + 1]) + ring[i]) within = !within;
  }
  return within;
}

/** Everything that the map shows. */
export class City {
  /** @param {object} doc answer of GET /v1/map */
  constructor(doc) {
    this.doc = doc;
    this.extent = doc.extent_m;
    this.streets = doc.streets.map(({ line, ...rest }) => ({ ...rest, points: decode(line) }));
    this.buildings = doc.buildings.map(({ ring, ...rest }) => {
      const points = decode(ring);
      return { ...rest, kind: "building", points, box: boxOf(points) };
    });
    const at = ({ position_m: [east, north], ...rest }) => ({ ...rest, east, north });
    this.sites = doc.sites.map((s) => ({ ...at(s), kind: "site" }));
    this.places = doc.places.map((p) => ({ ...at(p), kind: "place" }));
    this.nodes = doc.nodes.map((n) => ({ ...at(n), kind: "node" }));
    this.things = new Map([...this.sites, ...this.places, ...this.nodes, ...this.buildings].map((t) => [t.id, t]));
    this.cells = doc.cells.map((c, place) => {
      const site = this.things.get(c.site);
      return { ...c, kind: "cell", place, east: site.east, north: site.north, azimuth: null, locked: false };
    });
    this.links = doc.links.map((k) => ({ ...k, kind: "link", from: this.things.get(k.a), to: this.things.get(k.b) }));
    for (const thing of [...this.cells, ...this.links]) this.things.set(thing.id, thing);
    for (const slice of doc.slices) this.things.set(slice.id, { ...slice, kind: "slice" });
    this.wedgeRadius_m = this.#wedgeRadius();
    this.content = this.#content();
    this.ueIds = [];
    this.ueNumber = new Map();
    this.live = null;
    this.east = new Float32Array(0);
    this.north = new Float32Array(0);
  }

  /** Wedges reach a third of the way to the nearest other site, in the median. */
  #wedgeRadius() {
    const nearest = this.sites.map((a) =>
      Math.min(...this.sites.filter((b) => b !== a).map((b) => Math.hypot(a.east - b.east, a.north - b.north))),
    );
    nearest.sort((a, b) => a - b);
    const median = nearest[Math.floor(nearest.length / 2)];
    return Number.isFinite(median) ? Math.max(40, median / 3) : 120;
  }

  /** The box around what is there to see, which may be less than the area. */
  #content() {
    const boxes = [...this.streets.map((s) => boxOf(s.points)), ...this.sites.map((s) => boxOf([s.east, s.north]))];
    if (boxes.length === 0) return this.extent;
    const [west, south, east, north] = this.extent;
    const edge = (side, pick) => boxes.reduce((far, box) => pick(far, box[side]), boxes[0][side]);
    return [
      Math.max(west, edge("west", Math.min)), Math.max(south, edge("south", Math.min)),
      Math.min(east, edge("east", Math.max)), Math.min(north, edge("north", Math.max)),
    ];
  }

  /** Takes a live frame; UEs will move from where they are drawn now to where it says. */
  take(frame, now_ms) {
    if (frame.ue_ids) {
      this.ueIds = frame.ue_ids;
      this.ueNumber = new Map(frame.ue_ids.map((id, number) => [id, number]));
      this.live = null;
    }
    if (frame.cells) frame.cells.forEach((c, i) => Object.assign(this.cells[i], { azimuth: c.azimuth_deg, locked: c.locked }));
    const count = frame.east_m.length;
    if (this.live && this.live.frame.east_m.length === count) {
      this.place(now_ms);
      const gap = Math.min(2000, Math.max(100, now_ms - this.live.at_ms));
      this.live = { frame, at_ms: now_ms, span_ms: gap, fromEast: this.east, fromNorth: this.north };
      this.east = new Float32Array(count);
      this.north = new Float32Array(count);
    } else {
      this.live = { frame, at_ms: now_ms, span_ms: 1, fromEast: frame.east_m, fromNorth: frame.north_m };
      this.east = frame.east_m.slice();
      this.north = frame.north_m.slice();
    }
  }

  /** Puts every UE where it is at this moment, between the last two frames. */
  place(now_ms) {
    if (!this.live) return;
    const { frame, at_ms, span_ms, fromEast, fromNorth } = this.live;
    const share = Math.min(1, (now_ms - at_ms) / span_ms);
    for (let i = 0; i < this.east.length; i += 1) {
      const east = frame.east_m[i] - fromEast[i];
      const north = frame.north_m[i] - fromNorth[i];
      const near = Math.abs(east) + Math.abs(north) <= JUMP_M; // false when it was nowhere before
      this.east[i] = near ? fromEast[i] + east * share : frame.east_m[i];
      this.north[i] = near ? fromNorth[i] + north * share : frame.north_m[i];
    }
  }

  /** Whether UEs still have a way to go. */
  moving(now_ms) {
    return this.live !== null && now_ms - this.live.at_ms < this.live.span_ms;
  }

  /** East and north of anything with a place, null otherwise. */
  whereIs(id) {
    const number = this.ueNumber.get(id);
    if (number !== undefined) return [this.east[number], this.north[number]];
    const thing = this.things.get(id);
    if (!thing) return null;
    if (thing.kind === "building") return [(thing.box.west + thing.box.east) / 2, (thing.box.south + thing.box.north) / 2];
    if (thing.kind === "link") return thing.from && thing.to ? [(thing.from.east + thing.to.east) / 2, (thing.from.north + thing.to.north) / 2] : null;
    if (thing.kind === "cell" && thing.azimuth !== null) {
      const bearing = (thing.azimuth * Math.PI) / 180;
      return [thing.east + Math.sin(bearing) * this.wedgeRadius_m * 0.62, thing.north + Math.cos(bearing) * this.wedgeRadius_m * 0.62];
    }
    return thing.east === undefined ? null : [thing.east, thing.north];
  }

  /** Whether the id names something known. */
  knows(id) {
    return this.things.has(id) || this.ueNumber.has(id);
  }

  /** The name to show for an id. */
  nameOf(id) {
    return this.things.get(id)?.name || String(id).replaceAll("-", " ").replace(/^ue /, "UE ");
  }

  buildingAt(east, north) {
    return this.buildings.find(
      ({ box, points }) => east >= box.west && east <= box.east && north >= box.south && north <= box.north && inside(points, east, north),
    );
  }
}

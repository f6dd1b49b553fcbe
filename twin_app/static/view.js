/** Where the reader looks: metres to pixels and back, and the gestures that change it. */

const KEY_STEP_PX = 80;
const MIN_SCALE = 0.02;
const MAX_SCALE = 12;

/** A viewpoint over the ENU plane: centre in metres, pixels per metre. */
export class View {
  constructor() {
    this.east = 0;
    this.north = 0;
    this.scale = 0.3;
    this.width = 1;
    this.height = 1;
    this.number = 0; // grows with every change, so layers know when they are out of date
  }

  x(east) {
    return (east - this.east) * this.scale + this.width / 2;
  }

  y(north) {
    return this.height / 2 - (north - this.north) * this.scale;
  }

  eastAt(x) {
    return (x - this.width / 2) / this.scale + this.east;
  }

  northAt(y) {
    return (this.height / 2 - y) / this.scale + this.north;
  }

  resize(width, height) {
    this.width = Math.max(1, width);
    this.height = Math.max(1, height);
    this.number += 1;
  }

  look(east, north, scale = this.scale) {
    this.east = east;
    this.north = north;
    this.scale = Math.min(MAX_SCALE, Math.max(MIN_SCALE, scale));
    this.number += 1;
  }

  panBy(dx, dy) {
    this.look(this.east - dx / this.scale, this.north + dy / this.scale);
  }

  /** Zooms by a factor; the ground under (x, y) stays where it is. */
  zoomAt(x, y, factor) {
    const [east, north] = [this.eastAt(x), this.northAt(y)];
    const scale = Math.min(MAX_SCALE, Math.max(MIN_SCALE, this.scale * factor));
    this.look(east - (x - this.width / 2) / scale, north + (y - this.height / 2) / scale, scale);
  }

  /** Shows west, south, east, north with a margin in pixels; `left` pixels are covered where there is room to spare. */
  fit([west, south, east, north], { margin = 24, left = 0 } = {}) {
    const across = (this.width - 2 * margin) / Math.max(1, east - west);
    const scale = Math.max(MIN_SCALE, Math.min(across, (this.height - 2 * margin) / Math.max(1, north - south)));
    const spare = this.width - 2 * margin - (east - west) * scale;
    this.look((west + east) / 2 - Math.min(left, spare) / 2 / scale, (south + north) / 2, scale);
  }
}

/**
 * Binds mouse, touch, pen, wheel and keys to a view.
 * @param {HTMLCanvasElement} canvas
 * @param {View} view
 * @param {{changed(): void, click(x: number, y: number): void, hover(x: number, y: number): void, leave(): void,
 *          fit(): void, step(by: number): void, escape(): void}} tell
 */
export function bindGestures(canvas, view, tell) {
  const fingers = new Map();
  let travelled = 0;
  const place = (event) => {
    const box = canvas.getBoundingClientRect();
    return { x: event.clientX - box.left, y: event.clientY - box.top };
  };

  canvas.addEventListener("pointerdown", (event) => {
    canvas.setPointerCapture(event.pointerId);
    if (fingers.size === 0) travelled = 0;
    fingers.set(event.pointerId, place(event));
  });
  canvas.addEventListener("pointermove", (event) => {
    const now = place(event);
    const before = fingers.get(event.pointerId);
    if (!before) {
      tell.hover(now.x, now.y);
      return;
    }
    const others = [...fingers].filter(([id]) => id !== event.pointerId).map(([, at]) => at);
    fingers.set(event.pointerId, now);
    travelled += Math.hypot(now.x - before.x, now.y - before.y);
    if (others.length === 0) {
      if (travelled < 4) return;
      canvas.classList.add("moving");
      view.panBy(now.x - before.x, now.y - before.y);
    } else {
      const other = others[0];
      const spreadBefore = Math.hypot(before.x - other.x, before.y - other.y);
      const spread = Math.hypot(now.x - other.x, now.y - other.y);
      view.panBy((now.x - before.x) / 2, (now.y - before.y) / 2);
      if (spreadBefore > 0) view.zoomAt((now.x + other.x) / 2, (now.y + other.y) / 2, spread / spreadBefore);
    }
    tell.changed();
  });
  const up = (event) => {
    const at = fingers.get(event.pointerId);
    fingers.delete(event.pointerId);
    canvas.classList.remove("moving");
    if (at && event.type === "pointerup" && fingers.size === 0 && travelled < 4) tell.click(at.x, at.y);
  };
  canvas.addEventListener("pointerup", up);
  canvas.addEventListener("pointercancel", up);
  canvas.addEventListener("pointerleave", () => tell.leave());
  canvas.addEventListener(
    "wheel",
    (event) => {
      event.preventDefault();
      const { x, y } = place(event);
      const pixels = event.deltaY * (event.deltaMode === 1 ? 16 : 1);
      view.zoomAt(x, y, Math.exp(-Math.max(-240, Math.min(240, pixels)) * 0.0022));
      tell.changed();
    },
    { passive: false },
  );
  canvas.addEventListener("dblclick", (event) => {
    const { x, y } = place(event);
    view.zoomAt(x, y, 2);
    tell.changed();
  });
  canvas.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const looks = {
      ArrowLeft: () => view.panBy(KEY_STEP_PX, 0),
      ArrowRight: () => view.panBy(-KEY_STEP_PX, 0),
      ArrowUp: () => view.panBy(0, KEY_STEP_PX),
      ArrowDown: () => view.panBy(0, -KEY_STEP_PX),
      "+": () => view.zoomAt(view.width / 2, view.height / 2, 1.4),
      "=": () => view.zoomAt(view.width / 2, view.height / 2, 1.4),
      "-": () => view.zoomAt(view.width / 2, view.height / 2, 1 / 1.4),
    };
    const orders = { 0: tell.fit, Home: tell.fit, ",": () => tell.step(-1), ".": () => tell.step(1), Escape: tell.escape };
    const look = looks[event.key];
    const act = look ?? orders[event.key];
    if (!act) return;
    event.preventDefault();
    act();
    if (look) tell.changed(); // an order may have started a flight, which `changed` would end
  });
}

/** A small line chart on a canvas. Missing values and gaps stay empty: a line is drawn only through what was measured. */

import { brief } from "./words.js";

/** Milliseconds of a point's time, which comes as RFC 3339 text or as simulated seconds. */
function timeOf(point) {
  return typeof point[0] === "number" ? point[0] * 1000 : Date.parse(point[0]);
}

/**
 * Draws points into a canvas of the page.
 * @param {HTMLCanvasElement} canvas
 * @param {{points: Array<[string|number, number|null]>, granularity_s?: number, gaps?: Array<[string, string]>}} series
 * @param {{from?: number, to?: number}} span milliseconds at the two ends; those of the points when left out
 */
export function drawChart(canvas, series, span = {}) {
  const style = getComputedStyle(canvas);
  const colour = (name) => style.getPropertyValue(name).trim();
  const ratio = Math.min(2, window.devicePixelRatio || 1);
  const [width, height] = [canvas.clientWidth || 240, canvas.clientHeight || 74];
  canvas.width = Math.round(width * ratio);
  canvas.height = Math.round(height * ratio);
  const ctx = canvas.getContext("2d");
  ctx.setTransform(ratio, 0, 0, ratio, 0, 0);
  ctx.clearRect(0, 0, width, height);
  const points = series.points.map((p) => [timeOf(p), p[1]]);
  const seen = points.map((p) => p[1]).filter(Number.isFinite);
  ctx.font = "10.5px system-ui, 'DejaVu Sans', sans-serif";
  ctx.fillStyle = colour("--dim");
  ctx.textBaseline = "middle";
  if (seen.length === 0) {
    ctx.textAlign = "center";
    ctx.fillText("no measurement in this time", width / 2, height / 2);
    return;
  }
  let [low, high] = [Math.min(...seen), Math.max(...seen)];
  const room = (high - low) * 0.08 || Math.max(Math.abs(high) * 0.05, 0.5);
  const top = series.unit === "%" && high <= 100 ? 100 : Infinity;
  [low, high] = [low < 0 || low - room > 0 ? low - room : 0, Math.min(top, high + room)];
  const from = span.from ?? points[0][0];
  const to = span.to ?? points.at(-1)[0];
  const labels = [brief(high), brief(low)];
  const left = Math.max(...labels.map((text) => ctx.measureText(text).width)) + 6;
  const x = (t) => left + ((t - from) / Math.max(1, to - from)) * (width - left - 5);
  const y = (v) => height - 6 - ((v - low) / (high - low)) * (height - 12);
  ctx.textAlign = "right";
  labels.forEach((text, i) => ctx.fillText(text, left - 5, i === 0 ? 7 : height - 7));
  ctx.strokeStyle = colour("--line");
  ctx.lineWidth = 1;
  ctx.beginPath();
  for (const at of [6.5, height - 6.5]) {
    ctx.moveTo(left, at);
    ctx.lineTo(width - 4, at);
  }
  ctx.stroke();
  shadeGaps(ctx, series.gaps ?? [], x, [left, width - 5], height, colour("--line"));

  const step = series.granularity_s ? series.granularity_s * 1000 : medianStep(points);
  ctx.strokeStyle = colour("--accent");
  ctx.fillStyle = colour("--accent");
  ctx.lineWidth = 1.6;
  ctx.lineJoin = "round";
  ctx.beginPath();
  let before = null;
  for (const [t, v] of points) {
    if (!Number.isFinite(v)) {
      before = null;
      continue;
    }
    if (before !== null && t - before <= 2.5 * step) ctx.lineTo(x(t), y(v));
    else ctx.moveTo(x(t), y(v));
    before = t;
  }
  ctx.stroke();
  const [t, v] = points.findLast((p) => Number.isFinite(p[1]));
  ctx.beginPath();
  ctx.arc(x(t), y(v), 2.6, 0, 2 * Math.PI);
  ctx.fill();
}

function medianStep(points) {
  const steps = points.slice(1).map((p, i) => p[0] - points[i][0]).sort((a, b) => a - b);
  return steps[Math.floor(steps.length / 2)] || 1000;
}

/** Times without any report are hatched, so that nobody takes them for zero. */
function shadeGaps(ctx, gaps, x, [left, right], height, colour) {
  ctx.strokeStyle = colour;
  for (const [from, to] of gaps) {
    const [a, b] = [Math.max(left, x(Date.parse(from))), Math.min(right, x(Date.parse(to)))];
    if (!(b - a > 1)) continue;
    ctx.save();
    ctx.beginPath();
    ctx.rect(a, 6, b - a, height - 12);
    ctx.clip();
    ctx.beginPath();
    for (let at = a - height; at < b; at += 6) {
      ctx.moveTo(at, height);
      ctx.lineTo(at + height, 0);
    }
    ctx.stroke();
    ctx.restore();
  }
}

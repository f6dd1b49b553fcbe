/** Figures, units and times as people read them. */

const MINUS = "−";

/** A number with a fixed count of decimals, thin groups and a true minus; a dash when missing. */
export function figure(value, decimals = 1) {
  if (value === null || value === undefined || !Number.isFinite(value)) return "–";
  return value
    .toLocaleString("en", { minimumFractionDigits: decimals, maximumFractionDigits: decimals })
    .replace("-", MINUS);
}

/** A number with its unit; kbit/s become Mbit/s where that reads better. */
export function quantity(value, unit, decimals = 1) {
  if (Number.isFinite(value) && unit === "kbit/s" && Math.abs(value) >= 1000) return `${figure(value / 1000, 1)} Mbit/s`;
  return unit ? `${figure(value, decimals)} ${unit}` : figure(value, decimals);
}

/** A number as short as its size allows, for legends and evidence of unknown precision. */
export function brief(value) {
  if (value === null || value === undefined || !Number.isFinite(value)) return "–";
  const size = Math.abs(value);
  if (size >= 10000) return `${figure(value / 1000, size >= 100000 ? 0 : 1)}k`;
  return figure(value, size >= 100 || Number.isInteger(value) ? 0 : size >= 10 ? 1 : 2);
}

/** "14:05:12" of an RFC 3339 text, in the offset that it carries: the city's civil time, not the reader's. */
export function clockOf(at) {
  return typeof at === "string" && at.length >= 19 ? at.slice(11, 19) : "–";
}

const DAYS = ["Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"];
const MONTHS = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];

/** "Sat 21 Nov" of an RFC 3339 text, in its own offset. */
export function dayOf(at) {
  if (typeof at !== "string" || at.length < 10) return "";
  const [year, month, day] = at.slice(0, 10).split("-").map(Number);
  return `${DAYS[new Date(Date.UTC(year, month - 1, day)).getUTCDay()]} ${day} ${MONTHS[month - 1]}`;
}

/** "14:05" on the same day as `now`, "Fri 20 Nov 14:05" otherwise. */
export function moment(at, now) {
  if (typeof at !== "string") return "";
  const time = clockOf(at).slice(0, 5);
  return now && at.slice(0, 10) === now.slice(0, 10) ? time : `${dayOf(at)} ${time}`;
}

/** Seconds as the largest sensible unit. */
export function duration(seconds) {
  if (!Number.isFinite(seconds)) return "";
  if (seconds < 90) return `${Math.max(0, Math.round(seconds))} s`;
  if (seconds < 5400) return `${Math.round(seconds / 60)} min`;
  return `${Math.round(seconds / 3600)} h`;
}

/** SCREAMING_CASE and camelCase names as words. */
export function plain(name) {
  const spaced = String(name ?? "").replaceAll("_", " ").replace(/([a-z])([A-Z])/g, "$1 $2");
  return spaced.toLowerCase();
}

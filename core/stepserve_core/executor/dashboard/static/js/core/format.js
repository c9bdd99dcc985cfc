// Moments, durations and numbers as people read them.

import { h } from "./dom.js";

const UNITS = [
  ["day", 86_400_000],
  ["hour", 3_600_000],
  ["minute", 60_000],
  ["second", 1000],
];
const relative = new Intl.RelativeTimeFormat("en", { numeric: "auto", style: "short" });
const absolute = new Intl.DateTimeFormat(undefined, {
  weekday: "short", year: "numeric", month: "short", day: "numeric",
  hour: "2-digit", minute: "2-digit", second: "2-digit", hourCycle: "h23", timeZoneName: "short",
});
const count = new Intl.NumberFormat("en");

/** @param {number} value */
export function number(value) {
  return count.format(value);
}

/**
 * Write a duration: 850 ms, 1.24 s, 3 min 4 s, 2 h 5 min, 3 d 4 h.
 *
 * @param {number | null | undefined} milliseconds
 */
export function duration(milliseconds) {
  if (milliseconds === null || milliseconds === undefined) return "–";
  const value = Math.max(milliseconds, 0);
  if (value < 1) return "<1 ms";
  if (value < 1000) return `${Math.round(value)} ms`;
  if (value < 10_000) return `${(value / 1000).toFixed(2)} s`;
  if (value < 60_000) return `${(value / 1000).toFixed(1)} s`;
  const seconds = Math.round(value / 1000);
  if (seconds < 3600) return pair(seconds, 60, "min", 1, "s");
  if (seconds < 86_400) return pair(seconds, 3600, "h", 60, "min");
  return pair(seconds, 86_400, "d", 3600, "h");
}

/** @param {number} seconds @param {number} large @param {string} name @param {number} small @param {string} rest */
function pair(seconds, large, name, small, rest) {
  const left = Math.floor((seconds % large) / small);
  return left ? `${Math.floor(seconds / large)} ${name} ${left} ${rest}` : `${Math.floor(seconds / large)} ${name}`;
}

/** @param {string} iso */
export function ago(iso) {
  const distance = Date.parse(iso) - Date.now();
  for (const [unit, size] of UNITS) {
    if (Math.abs(distance) >= Number(size)) {
      return relative.format(Math.round(distance / Number(size)), /** @type {any} */ (unit));
    }
  }
  return distance > 0 ? "in a moment" : "just now";
}

/** @param {string} iso */
export function moment(iso) {
  return absolute.format(new Date(iso));
}

/** @param {string} iso */
export function clock(iso) {
  const date = new Date(iso);
  const two = (/** @type {number} */ part) => String(part).padStart(2, "0");
  const day = date.toDateString() === new Date().toDateString() ? "" : `${date.getMonth() + 1}/${date.getDate()} `;
  return `${day}${two(date.getHours())}:${two(date.getMinutes())}:${two(date.getSeconds())}`;
}

/**
 * Build a moment that says how long ago it was and keeps saying so.
 *
 * @param {string | null | undefined} iso
 */
export function when(iso) {
  if (!iso) return h("span", { class: "muted" }, "–");
  return h("time", { datetime: iso, title: `${moment(iso)}\n${iso}`, "data-ago": true }, ago(iso));
}

/**
 * Build how long it is until a moment, counting down.
 *
 * @param {number} until in milliseconds
 */
export function countdown(until) {
  return h("span", { class: "number", title: moment(new Date(until).toISOString()), "data-until": String(until) }, left(until));
}

/** @param {number} until */
function left(until) {
  const milliseconds = until - Date.now();
  if (milliseconds <= 500) return "now";
  return `in ${milliseconds < 60_000 ? `${Math.round(milliseconds / 1000)} s` : duration(milliseconds)}`;
}

/**
 * Build a duration; one that has not ended keeps growing.
 *
 * @param {string | null | undefined} from
 * @param {string | null | undefined} to
 */
export function span(from, to) {
  if (!from) return h("span", { class: "muted" }, "–");
  if (to) return h("span", { class: "number" }, duration(Date.parse(to) - Date.parse(from)));
  return h("span", { class: "number", "data-since": from }, duration(Date.now() - Date.parse(from)));
}

/** Keep moments and durations current. */
export function startTicking() {
  setInterval(() => {
    if (document.hidden) return;
    tick("time[data-ago]", (element) => ago(element.getAttribute("datetime") ?? ""));
    tick("[data-since]", (element) => duration(Date.now() - Date.parse(element.getAttribute("data-since") ?? "")));
    tick("[data-until]", (element) => left(Number(element.getAttribute("data-until"))));
  }, 1000);
}

/** Text is set only where it changed: each change makes the browser lay the page out again. @param {string} selector @param {(element: Element) => string} textOf */
function tick(selector, textOf) {
  for (const element of document.querySelectorAll(selector)) {
    const text = textOf(element);
    if (element.textContent !== text) element.textContent = text;
  }
}

// The waterfall: a row for each step, a bar for its time.

import { fill, h, reconcile } from "../core/dom.js";
import { countdown, duration } from "../core/format.js";
import { icon } from "../parts/icons.js";
import { lookOf } from "../parts/status.js";
import { rangeOf, rowsOf } from "./timeline.js";

/** @typedef {import("./timeline.js").Row} Row */
/** @typedef {import("./children.js").Children} Children */

const TICKS = 4;

/**
 * Build a waterfall and return it with a function that draws a trace.
 *
 * @param {(run: string, step: string) => void} choose is called with a run and the hash of its step, "" for the run
 * @param {Children} children
 */
export function waterfall(choose, children) {
  const axis = h("div", { class: "axis", "aria-hidden": "true" });
  const list = h("ol", { class: "rows", on: { keydown: walk } });
  const element = h("div", { class: "waterfall" }, axis, list);
  /** @param {import("./timeline.js").Trace} trace @param {{run: string, step: string}} chosen @param {number} now */
  const draw = (trace, chosen, now) => {
    const rows = rowsOf(trace, now, (id) => children.get(id));
    const range = rangeOf(rows);
    drawAxis(axis, range.to - range.from);
    reconcile(list, rows, (row) => row.key, (row) => create(row, choose, children), () => {});
    rows.forEach((row, index) => paint(/** @type {HTMLElement} */ (list.children[index]), row, range, chosen, children));
  };
  return { element, draw };
}

/** Arrow keys go from row to row, and fold and unfold. @param {KeyboardEvent} event */
function walk(event) {
  const row = event.target instanceof Element ? event.target.closest("li") : null;
  if (!row || event.metaKey || event.ctrlKey || event.altKey) return;
  const next = event.key === "ArrowDown" ? row.nextElementSibling : event.key === "ArrowUp" ? row.previousElementSibling : null;
  const fold = /** @type {HTMLElement | null} */ (row.querySelector(".fold"));
  const wanted = event.key === "ArrowRight" ? "false" : event.key === "ArrowLeft" ? "true" : "";
  if (next) /** @type {HTMLElement} */ (next.querySelector(".bar-row")).focus();
  else if (fold && fold.getAttribute("aria-expanded") === wanted) fold.click();
  else return;
  event.preventDefault();
}

/** @param {HTMLElement} axis @param {number} length in milliseconds */
function drawAxis(axis, length) {
  const ticks = Array.from({ length: TICKS + 1 }, (_, index) => {
    const tick = h("span", null, index ? duration((length * index) / TICKS) : "0");
    tick.style.left = `${(100 * index) / TICKS}%`;
    return tick;
  });
  fill(axis, h("div", { class: "axis-ticks" }, ticks));
}

/** @param {Row} row @param {(run: string, step: string) => void} choose @param {Children} children */
function create(row, choose, children) {
  const fold = h("button", { type: "button", class: "fold", hidden: true }, icon("right"));
  const element = h(
    "li",
    { class: row.isAttempt ? "attempt" : row.depth ? "" : "root" },
    fold,
    h(
      "button",
      { type: "button", class: "bar-row", on: { click: () => choose(row.run, row.step) } },
      h("span", { class: "bar-name" }),
      h("span", { class: "bar-track", "aria-hidden": "true" }),
    ),
  );
  fold.addEventListener("click", () => fold.dataset.child && children.toggle(fold.dataset.child));
  element.style.setProperty("--depth", String(row.depth));
  return element;
}

/**
 * @param {HTMLElement} element
 * @param {Row} row
 * @param {{from: number, to: number}} range
 * @param {{run: string, step: string}} chosen
 * @param {Children} children
 */
function paint(element, row, range, chosen, children) {
  const [fold, button] = /** @type {HTMLElement[]} */ ([...element.children]);
  const [name, track] = button.children;
  const isChosen = !row.isAttempt && row.run === chosen.run && row.step === chosen.step;
  button.setAttribute("aria-current", String(isChosen));
  fold.hidden = !row.child;
  if (row.child) {
    fold.dataset.child = row.child;
    const isOpen = children.isOpen(row.child);
    fold.setAttribute("aria-expanded", String(isOpen));
    fold.setAttribute("aria-label", `${isOpen ? "Hide" : "Show"} the steps of the run that ${row.label} started`);
  }
  drawName(element, name, row);
  reconcile(track, row.bars.map((bar, index) => ({ bar, index })), ({ bar, index }) => `${index}${bar.kind}`, ({ bar }) => h("span", { class: `bar ${bar.kind}` }), () => {});
  row.bars.forEach((bar, index) => place(/** @type {HTMLElement} */ (track.children[index]), bar, range));
}

/** @param {HTMLElement} element @param {Element} name @param {Row} row */
function drawName(element, name, row) {
  const took = row.milliseconds === null ? "" : duration(row.milliseconds);
  const signature = `${row.status}|${row.label}|${took}|${row.until}`;
  if (element.dataset.signature === signature) return;
  element.dataset.signature = signature;
  const look = lookOf(row.status);
  fill(
    name,
    h("span", { class: `bar-status ${look.tone}` }, icon(look.icon), h("span", { class: "unseen" }, `${look.label}: `)),
    h("span", { class: "bar-label", title: row.label }, row.label),
    row.op ? h("span", { class: "bar-op" }, row.op) : null,
    row.until === null ? null : h("span", { class: "bar-time soon" }, countdown(row.until)),
    took ? h("span", { class: "bar-time" }, took) : null,
  );
}

/** @param {HTMLElement} element @param {import("./timeline.js").Bar} bar @param {{from: number, to: number}} range */
function place(element, bar, range) {
  const whole = range.to - range.from;
  element.style.left = `${(100 * (bar.from - range.from)) / whole}%`;
  element.style.width = `${(100 * (bar.to - bar.from)) / whole}%`;
  element.classList.toggle("open", bar.isOpen);
}

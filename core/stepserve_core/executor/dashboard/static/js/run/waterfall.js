// The waterfall: a row for each step, a bar for its time.

import { fill, h, reconcile } from "../core/dom.js";
import { duration } from "../core/format.js";
import { icon } from "../parts/icons.js";
import { lookOf } from "../parts/status.js";
import { rangeOf, rowsOf } from "./timeline.js";

/** @typedef {import("./timeline.js").Row} Row */

const TICKS = 4;

/**
 * Build a waterfall and return it with a function that draws a trace.
 *
 * @param {(step: string) => void} choose is called with the hash of the step that was chosen, "" for the run
 */
export function waterfall(choose) {
  const axis = h("div", { class: "axis", "aria-hidden": "true" });
  const list = h("ol", { class: "rows" });
  const element = h("div", { class: "waterfall" }, axis, list);
  /** @param {import("./timeline.js").Trace} trace @param {string} chosen @param {number} now */
  const draw = (trace, chosen, now) => {
    const rows = rowsOf(trace, now);
    const range = rangeOf(rows);
    drawAxis(axis, range.to - range.from);
    reconcile(list, rows, (row) => row.key, (row) => create(row, choose), () => {});
    rows.forEach((row, index) => paint(/** @type {HTMLElement} */ (list.children[index]), row, range, chosen));
  };
  return { element, draw };
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

/** @param {Row} row @param {(step: string) => void} choose */
function create(row, choose) {
  return h(
    "li",
    { class: `depth-${row.depth}` },
    h(
      "button",
      { type: "button", class: "bar-row", on: { click: () => choose(row.step) } },
      h("span", { class: "bar-name" }),
      h("span", { class: "bar-track", "aria-hidden": "true" }),
    ),
  );
}

/** @param {HTMLElement} element @param {Row} row @param {{from: number, to: number}} range @param {string} chosen */
function paint(element, row, range, chosen) {
  const button = /** @type {HTMLElement} */ (element.firstElementChild);
  const [name, track] = button.children;
  const look = lookOf(row.status);
  const isChosen = row.depth < 2 && row.step === chosen;
  button.setAttribute("aria-current", String(isChosen));
  const took = row.milliseconds === null ? "" : duration(row.milliseconds);
  const signature = `${row.status}|${row.label}|${took}`;
  if (element.dataset.signature !== signature) {
    element.dataset.signature = signature;
    fill(
      name,
      h("span", { class: `bar-status ${look.tone}` }, icon(look.icon), h("span", { class: "unseen" }, `${look.label}: `)),
      h("span", { class: "bar-label" }, row.label),
      row.op ? h("span", { class: "bar-op" }, row.op) : null,
      took ? h("span", { class: "bar-time" }, took) : null,
    );
  }
  reconcile(track, row.bars, (bar) => bar.kind, (bar) => h("span", { class: `bar ${bar.kind}` }), () => {});
  row.bars.forEach((bar, index) => place(/** @type {HTMLElement} */ (track.children[index]), bar, range));
}

/** @param {HTMLElement} element @param {import("./timeline.js").Bar} bar @param {{from: number, to: number}} range */
function place(element, bar, range) {
  const whole = range.to - range.from;
  element.style.left = `${(100 * (bar.from - range.from)) / whole}%`;
  element.style.width = `${(100 * (bar.to - bar.from)) / whole}%`;
  element.classList.toggle("open", bar.isOpen);
}

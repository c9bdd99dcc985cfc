// A JSON value as a tree that folds. Branches are built when they are opened, long lists piece by piece.

import { h } from "../core/dom.js";
import { ExactNumber, format } from "../core/json.js";
import { copyButton } from "./copy.js";

const PIECE = 100;
const LONG_TEXT = 400;
const OPEN_ENTRIES = 12;

/**
 * Show a value with a button that copies it.
 *
 * @param {unknown} value
 * @param {string} label what it is, for screen readers
 * @param {{open?: number}} [options] how many levels are open at first
 */
export function jsonTree(value, label, options = {}) {
  return h(
    "div",
    { class: "json", role: "group", "aria-label": label },
    copyButton(() => format(value), `Copy ${label}`),
    h("div", { class: "json-body" }, node(null, value, options.open ?? 2)),
  );
}

/** @param {string | null} key @param {unknown} value @param {number} levels @returns {HTMLElement} */
function node(key, value, levels) {
  if (!isBranch(value)) return h("div", { class: "json-line" }, keyOf(key), leaf(value));
  const entries = Array.isArray(value)
    ? value.map((item, index) => /** @type {[string, unknown]} */ ([String(index), item]))
    : Object.entries(/** @type {object} */ (value));
  const [begin, end] = Array.isArray(value) ? ["[", "]"] : ["{", "}"];
  if (!entries.length) return h("div", { class: "json-line" }, keyOf(key), h("span", { class: "json-mark" }, begin + end));
  const what = Array.isArray(value) ? "item" : "key";
  const size = `${entries.length} ${what}${entries.length === 1 ? "" : "s"}`;
  const children = h("div", { class: "json-children" });
  const branch = h(
    "details",
    { class: "json-branch", open: levels > 0 && (entries.length <= OPEN_ENTRIES || key === null) },
    h("summary", null, keyOf(key), h("span", { class: "json-mark" }, begin), h("span", { class: "json-size" }, size)),
    children,
    h("span", { class: "json-mark json-end" }, end),
  );
  const build = () => {
    if (!children.hasChildNodes()) grow(children, entries, 0, levels - 1);
  };
  if (branch.open) build();
  branch.addEventListener("toggle", build);
  return branch;
}

/** @param {HTMLElement} parent @param {[string, unknown][]} entries @param {number} start @param {number} levels */
function grow(parent, entries, start, levels) {
  const piece = entries.slice(start, start + PIECE);
  for (const [key, value] of piece) parent.append(node(key, value, levels));
  const left = entries.length - start - piece.length;
  if (left > 0) {
    const more = h("button", { type: "button", class: "button quiet small" }, `Show ${Math.min(left, PIECE)} of ${left} more`);
    more.addEventListener("click", () => {
      more.remove();
      grow(parent, entries, start + PIECE, levels);
    });
    parent.append(more);
  }
}

/** @param {string | null} key */
function keyOf(key) {
  return key === null ? null : [h("span", { class: "json-key" }, key), h("span", { class: "json-mark" }, ": ")];
}

/** @param {unknown} value */
function isBranch(value) {
  return value !== null && typeof value === "object" && !(value instanceof ExactNumber);
}

/** @param {unknown} value */
function leaf(value) {
  if (typeof value === "string") return textLeaf(value);
  if (value instanceof ExactNumber) return h("span", { class: "json-number" }, value.text);
  const kind = value === null ? "null" : typeof value;
  return h("span", { class: `json-${kind}` }, String(value));
}

/** @param {string} text */
function textLeaf(text) {
  const quoted = JSON.stringify(text);
  if (quoted.length <= LONG_TEXT) return h("span", { class: "json-string" }, quoted);
  const shown = h("span", { class: "json-string" }, `${quoted.slice(0, LONG_TEXT)}…`);
  const more = h("button", { type: "button", class: "button quiet small" }, `Show all ${text.length} characters`);
  more.addEventListener("click", () => {
    shown.textContent = quoted;
    more.remove();
  });
  return h("span", null, shown, " ", more);
}

// Pieces that several pages are made of: headings, facts, empty states.

import { h } from "../core/dom.js";
import { copyButton } from "./copy.js";

/** @typedef {import("../core/dom.js").Child} Child */

/**
 * The head of a page: where it belongs, its name, and what can be done.
 *
 * @param {{title: Child, trail?: {href: string, text: string}, lead?: Child, actions?: Child}} parts
 */
export function pageHead(parts) {
  return h(
    "div",
    { class: "page-head" },
    h(
      "div",
      { class: "page-title" },
      parts.trail ? h("p", { class: "trail" }, h("a", { href: parts.trail.href }, parts.trail.text)) : null,
      h("h1", null, parts.title),
      parts.lead ? h("p", { class: "lead" }, parts.lead) : null,
    ),
    parts.actions ? h("div", { class: "actions" }, parts.actions) : null,
  );
}

/**
 * A list of facts; those without a value are left out.
 *
 * @param {[string, Child][]} entries
 */
export function facts(entries) {
  const shown = entries.filter(([, value]) => value !== null && value !== undefined && value !== "" && value !== false);
  return h("dl", { class: "facts" }, shown.map(([name, value]) => h("div", null, h("dt", null, name), h("dd", null, value))));
}

/**
 * A section with a heading.
 *
 * @param {string} title
 * @param {...Child} children
 */
export function section(title, ...children) {
  return h("section", { class: "section" }, h("h2", null, title), children);
}

/**
 * What is shown where there is nothing yet: why, and what to do next.
 *
 * @param {string} title
 * @param {Child} text
 * @param {...Child} steps
 */
export function empty(title, text, ...steps) {
  return h("div", { class: "empty" }, h("p", { class: "empty-title" }, title), h("p", null, text), steps);
}

/**
 * A command to type, with a button that copies it.
 *
 * @param {string} text
 */
export function command(text) {
  return h("div", { class: "command" }, h("code", null, text), copyButton(() => text, "Copy the command"));
}

// An error as people read it: what, where, and everything else that was sent with it.

import { h } from "../core/dom.js";
import { copyButton } from "./copy.js";
import { jsonTree } from "./json_tree.js";

const SHOWN = new Set(["name", "message", "stack", "error", "code", "cause", "__serialized"]);

/** @param {any} error @returns {HTMLElement} */
export function errorView(error) {
  if (error === null || typeof error !== "object") return h("p", { class: "error-message" }, String(error));
  const name = text(error.name) || text(error.code) || "Error";
  const rest = Object.fromEntries(Object.entries(error).filter(([key]) => !SHOWN.has(key)));
  const stack = text(error.stack);
  return h(
    "div",
    { class: "error" },
    h("p", { class: "error-message" }, h("strong", null, name), h("span", null, text(error.message) || text(error.error))),
    stack ? h("div", { class: "stack-trace" }, copyButton(() => stack, "Copy the stack"), h("pre", { tabindex: "0", role: "region", "aria-label": "Stack" }, stack)) : null,
    error.cause ? h("details", null, h("summary", null, "Caused by"), errorView(error.cause)) : null,
    Object.keys(rest).length ? jsonTree(rest, "further fields of the error", { open: 1 }) : null,
  );
}

/** @param {unknown} value */
function text(value) {
  return typeof value === "string" ? value : "";
}

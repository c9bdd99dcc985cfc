// Buttons that copy.

import { fill, h } from "../core/dom.js";
import { say } from "./announce.js";
import { icon } from "./icons.js";

/**
 * Build a button that copies what `text` returns.
 *
 * @param {() => string} text
 * @param {string} label
 */
export function copyButton(text, label) {
  const button = h("button", { type: "button", class: "copy", "aria-label": label, title: label }, icon("copy"));
  button.addEventListener("click", async () => {
    try {
      await navigator.clipboard.writeText(text());
      fill(button, icon("done"));
      say("Copied");
    } catch {
      fill(button, icon("failed"));
      say("Copying is not allowed here");
    }
    setTimeout(() => fill(button, icon("copy")), 1500);
  });
  return button;
}

/**
 * Show an id, with a button that copies it.
 *
 * @param {string} id
 * @param {string} label
 */
export function copyable(id, label) {
  return h("span", { class: "copyable" }, h("code", null, id), copyButton(() => id, `Copy ${label}`));
}

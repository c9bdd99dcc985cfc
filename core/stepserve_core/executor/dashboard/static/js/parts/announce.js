// Telling people what happened: on the screen, and to screen readers.

import { byId, fill, h } from "../core/dom.js";

const SHOWN_FOR = 7000;

/**
 * Let screen readers say something.
 *
 * @param {string} text
 */
export function say(text) {
  byId("announcer").textContent = text;
}

/**
 * Show the result of an action for some seconds.
 *
 * @param {string} text
 * @param {{isError?: boolean, link?: {href: string, text: string}}} [options]
 */
export function toast(text, options = {}) {
  const close = h("button", { type: "button", class: "toast-close", "aria-label": "Dismiss" }, "×");
  const note = h(
    "div",
    { class: `toast ${options.isError ? "fail" : "ok"}` },
    h("p", null, text, options.link ? [" ", h("a", { href: options.link.href }, options.link.text)] : null),
    close,
  );
  close.addEventListener("click", () => note.remove());
  byId("toasts").append(note);
  say(text);
  // Errors stay until they are dismissed: they may need to be read twice.
  if (!options.isError) setTimeout(() => note.remove(), SHOWN_FOR);
}

/**
 * Run an action with its button switched off; show what went wrong.
 *
 * @param {HTMLButtonElement} button
 * @param {() => Promise<void>} work
 */
export async function during(button, work) {
  button.disabled = true;
  try {
    await work();
  } catch (error) {
    toast(error instanceof Error ? error.message : String(error), { isError: true });
  } finally {
    button.disabled = false;
  }
}

/**
 * Ask before something is destroyed; true where the answer is yes.
 *
 * @param {{title: string, text: string, action: string}} question
 * @returns {Promise<boolean>}
 */
export function confirmed(question) {
  const title = h("h2", { id: "dialog-title" }, question.title);
  const cancel = h("button", { type: "button", class: "button", autofocus: true }, "Keep it");
  const go = h("button", { type: "button", class: "button danger" }, question.action);
  const dialog = h(
    "dialog",
    { class: "dialog", "aria-labelledby": "dialog-title" },
    title,
    h("p", null, question.text),
    h("div", { class: "dialog-buttons" }, cancel, go),
  );
  document.body.append(dialog);
  return new Promise((resolve) => {
    let answer = false;
    cancel.addEventListener("click", () => dialog.close());
    go.addEventListener("click", () => {
      answer = true;
      dialog.close();
    });
    dialog.addEventListener("close", () => {
      dialog.remove();
      resolve(answer);
    });
    dialog.showModal();
  });
}

/**
 * Show a problem in the place where something was to be shown.
 *
 * @param {Element} place
 * @param {string} text
 */
export function showProblem(place, text) {
  fill(place, h("p", { class: "problem", role: "alert" }, text));
}

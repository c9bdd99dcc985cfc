// New rows wait while somebody is busy with a list: what is under the pointer, or being read, does not move away.

import { number } from "../core/format.js";
import { h } from "../core/dom.js";

const SCROLLED = 80;

/**
 * Watch a list. Return it with a note above that tells how many rows wait, and what says whether new ones have to.
 *
 * @param {HTMLElement} list
 * @param {string} what "run" or "event"
 * @param {() => void} admit lets in what waits
 * @param {AbortSignal} signal
 */
export function arrivals(list, what, admit, signal) {
  let waiting = 0;
  const button = h("button", { type: "button", class: "button small" });
  const note = h("div", { class: "arrivals", hidden: true }, button);
  const element = h("div", null, note, list);
  const isBusy = () => Boolean(element.querySelector(".table:hover, .arrivals:hover")) || list.contains(document.activeElement) || window.scrollY > SCROLLED;
  const tell = (/** @type {number} */ count) => {
    waiting = count;
    note.hidden = !count;
    button.textContent = `${number(count)} new ${what}${count === 1 ? "" : "s"}`;
  };
  const enter = () => {
    if (!waiting) return;
    tell(0);
    admit();
  };
  button.addEventListener("click", () => {
    window.scrollTo(0, 0);
    button.blur();
    enter();
  });
  const leave = () => !isBusy() && enter();
  element.addEventListener("mouseleave", leave);
  window.addEventListener("scroll", leave, { signal, passive: true });
  return { element, isBusy, tell };
}

// Keys that work everywhere: ? shows them. None of them acts while somebody types, or with a modifier but for Ctrl K.

import { h } from "./dom.js";

/** @type {Record<string, string>} */
const PAGES = { o: "/", r: "/runs", e: "/events", f: "/functions", a: "/apps", s: "/send" };
const SEQUENCE = 1200;
const HELP = [
  ["Ctrl K or ⌘ K", "go to a page, a function, a run or an event"],
  ["/", "search this page"],
  ["j and k", "next and previous row"],
  ["Enter", "open the row"],
  ["g, then o r e f a s", "overview, runs, events, functions, apps, send"],
  ["Ctrl Enter or ⌘ Enter", "send what is in the form"],
  ["?", "this help"],
];

/**
 * Listen for keys.
 *
 * @param {{go: (address: string) => void, palette: () => void}} actions
 */
export function startShortcuts(actions) {
  let prefixAt = -Infinity;
  document.addEventListener("keydown", (event) => {
    if ((event.ctrlKey || event.metaKey) && !event.shiftKey && !event.altKey && event.key.toLowerCase() === "k") {
      event.preventDefault();
      actions.palette();
      return;
    }
    if (event.ctrlKey || event.metaKey || event.altKey || isTyping(event.target) || document.querySelector("dialog[open]")) return;
    const isSecond = performance.now() - prefixAt < SEQUENCE;
    prefixAt = event.key === "g" && !isSecond ? performance.now() : -Infinity;
    if (isSecond && event.key in PAGES) actions.go(PAGES[event.key]);
    else if (event.key === "/") /** @type {HTMLElement | null} */ (document.querySelector("main input[type=search]:last-of-type, main input[type=search]"))?.focus();
    else if (event.key === "?") showHelp();
    else if (event.key === "j" || event.key === "k") step(event.key === "j" ? 1 : -1);
    else return;
    event.preventDefault();
  });
}

/** @param {EventTarget | null} target */
function isTyping(target) {
  return target instanceof Element && target.closest("input, textarea, select, [contenteditable]") !== null;
}

/** @param {number} by */
function step(by) {
  const rows = /** @type {HTMLElement[]} */ ([...document.querySelectorAll("main .row-link, main .item-link, main .bar-row")]);
  const focused = document.activeElement?.closest("tr, li");
  const at = rows.findIndex((row) => row.closest("tr, li") === focused);
  const next = rows[at < 0 ? 0 : at + by];
  next?.focus();
  next?.scrollIntoView({ block: "nearest" });
}

/** Show the keys there are. */
export function showHelp() {
  const close = h("button", { type: "button", class: "button", autofocus: true }, "Close");
  const rows = HELP.map(([keys, what]) => h("div", null, h("dt", null, h("kbd", null, keys)), h("dd", null, what)));
  const dialog = h("dialog", { class: "dialog", "aria-labelledby": "keys-title" }, h("h2", { id: "keys-title" }, "Keys"), h("dl", { class: "keys" }, rows), h("div", { class: "dialog-buttons" }, close));
  close.addEventListener("click", () => dialog.close());
  dialog.addEventListener("close", () => dialog.remove());
  document.body.append(dialog);
  dialog.showModal();
}

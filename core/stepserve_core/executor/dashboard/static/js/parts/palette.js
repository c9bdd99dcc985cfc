// One field that leads everywhere: pages, functions, and runs and events by their ids. Ctrl K, or ⌘ K.

import { fill, h } from "../core/dom.js";
import { catalog } from "../core/catalog.js";
import { ApiError, get, path } from "../core/api.js";
import { icon } from "./icons.js";

/** @typedef {{text: string, note: string, icon: import("./icons.js").IconName, href: string}} Place */

const MOST = 9;
const ULID = /^[0-7][0-9A-HJKMNP-TV-Z]{25}$/i;
/** @type {Place[]} */
const PAGES = [
  { text: "Overview", note: "page", icon: "right", href: "/" },
  { text: "Runs", note: "page", icon: "right", href: "/runs" },
  { text: "Failed runs", note: "page", icon: "failed", href: "/runs?status=FAILED" },
  { text: "Active runs", note: "page", icon: "running", href: "/runs?status=RUNNING&status=QUEUED" },
  { text: "Events", note: "page", icon: "right", href: "/events" },
  { text: "Functions", note: "page", icon: "right", href: "/functions" },
  { text: "Apps", note: "page", icon: "right", href: "/apps" },
  { text: "Send an event", note: "action", icon: "event", href: "/send" },
];

/**
 * Ask where to go, and go there.
 *
 * @param {(address: string) => void} go
 */
export async function openPalette(go) {
  if (document.querySelector("dialog[open]")) return;
  const field = h("input", {
    type: "text",
    class: "palette-field",
    role: "combobox",
    "aria-label": "Go to",
    "aria-expanded": "true",
    "aria-controls": "palette-list",
    "aria-autocomplete": "list",
    placeholder: "Go to a page, a function, or the id of a run or event",
    autocomplete: "off",
    spellcheck: "false",
  });
  const list = h("ul", { id: "palette-list", class: "palette-list plain", role: "listbox", "aria-label": "Places" });
  const dialog = h("dialog", { class: "palette", "aria-label": "Go to" }, field, list);
  /** @type {Place[]} */
  let places = [];
  let chosen = 0;
  let asked = "";

  const choose = (/** @type {number} */ index) => {
    chosen = Math.max(0, Math.min(index, places.length - 1));
    [...list.children].forEach((item, at) => item.setAttribute("aria-selected", String(at === chosen)));
    list.children[chosen]?.scrollIntoView({ block: "nearest" });
    field.setAttribute("aria-activedescendant", places.length ? `palette-${chosen}` : "");
  };
  const enter = (/** @type {Place | undefined} */ place) => {
    if (!place) return;
    dialog.close();
    go(place.href);
  };
  const draw = async () => {
    asked = field.value.trim();
    const found = await placesOf(asked);
    if (asked !== field.value.trim()) return; // somebody typed on
    places = found;
    if (!places.length) fill(list, h("li", { class: "quiet-note", role: "option", "aria-disabled": "true" }, "Nothing has this name or id."));
    else fill(list, places.map((place, index) => option(place, index, () => enter(place), () => choose(index))));
    choose(0);
  };
  field.addEventListener("input", draw);
  field.addEventListener("keydown", (event) => {
    if (event.key === "ArrowDown") choose(chosen + 1);
    else if (event.key === "ArrowUp") choose(chosen - 1);
    else if (event.key === "Enter") enter(places[chosen]);
    else return;
    event.preventDefault();
  });
  dialog.addEventListener("click", (event) => event.target === dialog && dialog.close());
  dialog.addEventListener("close", () => dialog.remove());
  document.body.append(dialog);
  dialog.showModal();
  await draw();
}

/** @param {Place} place @param {number} index @param {() => void} enter @param {() => void} hover */
function option(place, index, enter, hover) {
  return h(
    "li",
    { id: `palette-${index}`, role: "option", on: { click: enter, mousemove: hover } },
    icon(place.icon),
    h("span", { class: "palette-text" }, place.text),
    h("span", { class: "muted" }, place.note),
  );
}

/** @param {string} text @returns {Promise<Place[]>} */
async function placesOf(text) {
  if (ULID.test(text)) return byId(text.toUpperCase());
  const all = await catalog();
  /** @type {Place[]} */
  const functions = all.functions.map((one) => ({ text: one.name, note: one.slug, icon: "invoking", href: `/functions/${one.slug}` }));
  const wanted = text.toLowerCase();
  const rank = (/** @type {Place} */ place) => (place.text.toLowerCase().startsWith(wanted) ? 0 : 1);
  const found = [...PAGES, ...functions].filter((place) => `${place.text} ${place.note}`.toLowerCase().includes(wanted));
  return found.sort((one, other) => rank(one) - rank(other)).slice(0, MOST);
}

/** @param {string} id @returns {Promise<Place[]>} */
async function byId(id) {
  const run = await found(path`/v2/runs/${id}`);
  if (run) return [{ text: `Run of ${run.function.slug ?? run.function.id}`, note: id, icon: "running", href: `/runs/${id}` }];
  const event = await found(path`/v1/events/${id}`);
  return event ? [{ text: `Event ${event.name}`, note: id, icon: "event", href: `/events/${id}` }] : [];
}

/** @param {string} address */
async function found(address) {
  try {
    return await get(address);
  } catch (error) {
    if (error instanceof ApiError && error.status === 404) return null;
    throw error;
  }
}

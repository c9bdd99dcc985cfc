// The filters of the list of runs. They live in the address, so that a view can be kept and passed on.

import { h } from "../core/dom.js";
import { lookOf, RUN_STATUSES } from "./status.js";
import { icon } from "./icons.js";

/** @typedef {import("../core/catalog.js").Catalog} Catalog */

const WINDOWS = [
  ["", "Any time"],
  ["15", "Last 15 minutes"],
  ["60", "Last hour"],
  ["1440", "Last 24 hours"],
  ["10080", "Last 7 days"],
];

/**
 * @param {import("../core/router.js").View} view
 * @param {Catalog} all
 * @param {() => Promise<void>} changed
 */
export function runFilters(view, all, changed) {
  const query = new URLSearchParams(view.query);
  const statuses = new Set(query.getAll("status"));

  const keep = async () => {
    const text = query.toString();
    history.replaceState(null, "", text ? `/runs?${text}` : "/runs");
    await changed();
  };
  /** @param {string} name @param {string} value */
  const set = (name, value) => {
    if (value) query.set(name, value);
    else query.delete(name);
    return keep();
  };

  const chips = RUN_STATUSES.map((status) => {
    const look = lookOf(status);
    const chip = h("button", { type: "button", class: `toggle ${look.tone}`, "aria-pressed": String(statuses.has(status)) }, icon(look.icon), look.label);
    chip.addEventListener("click", () => {
      if (!statuses.delete(status)) statuses.add(status);
      chip.setAttribute("aria-pressed", String(statuses.has(status)));
      query.delete("status");
      for (const one of statuses) query.append("status", one);
      keep();
    });
    return chip;
  });

  const fn = select("Function", [["", "All functions"], ...functionChoices(all)], query.get("function") ?? "");
  fn.control.addEventListener("change", () => set("function", fn.control.value));
  const app = select("App", [["", "All apps"], ...all.apps.filter((one) => one.name).map((one) => [one.name, one.name])], query.get("app") ?? "");
  app.control.addEventListener("change", () => set("app", app.control.value));
  const time = select("Queued", WINDOWS, query.get("minutes") ?? "");
  time.control.addEventListener("change", () => set("minutes", time.control.value));

  const search = h("input", {
    type: "search",
    id: "run-search",
    class: "input mono",
    value: query.get("query") ?? "",
    placeholder: 'event.data.order_id == "A-1"',
    spellcheck: "false",
    autocomplete: "off",
    "aria-describedby": "run-search-help",
  });
  const form = h(
    "form",
    { class: "search", role: "search", on: { submit: (/** @type {Event} */ event) => event.preventDefault() } },
    h("label", { for: "run-search" }, "Search"),
    search,
    h("p", { id: "run-search-help", class: "hint" }, "A CEL expression over ", h("code", null, "event"), ", ", h("code", null, "output"), " and ", h("code", null, "error"), "; press Enter."),
  );
  search.addEventListener("change", () => set("query", search.value.trim()));

  const element = h(
    "div",
    { class: "filters" },
    h("div", { class: "toggles", role: "group", "aria-label": "Status" }, chips),
    h("div", { class: "filter-row" }, fn.element, app.element, time.element, form),
  );
  return {
    element,
    isActive: () => [...query.keys()].length > 0,
    isSearch: () => Boolean(query.get("query")),
    /** @param {number} limit */
    address: (limit) => addressOf(all, query, limit),
  };
}

/** @param {Catalog} all @param {URLSearchParams} query @param {number} limit */
function addressOf(all, query, limit) {
  const wanted = new URLSearchParams({ limit: String(limit), includePreview: "true" });
  for (const status of query.getAll("status")) wanted.append("status", status);
  const slug = query.get("function");
  const fn = all.functions.find((one) => one.slug === slug);
  const app = query.get("app");
  if (fn) {
    wanted.set("appId", fn.appId);
    wanted.set("functionId", fn.id);
  } else if (app) {
    wanted.set("appId", app);
  }
  const minutes = Number(query.get("minutes"));
  // Whole minutes: the same address asks for the same runs while it is compared with the current one.
  if (minutes) wanted.set("from", new Date(Math.floor(Date.now() / 60_000 - minutes) * 60_000).toISOString());
  const text = query.get("query");
  if (text) wanted.set("query", text);
  return `/v2/runs?${wanted}`;
}

/** @param {Catalog} all */
function functionChoices(all) {
  return all.functions.map((one) => [one.slug, one.name === one.slug ? one.slug : `${one.name} (${one.slug})`]);
}

/** @param {string} name @param {string[][]} choices @param {string} chosen */
export function select(name, choices, chosen) {
  const control = h("select", { class: "input" }, choices.map(([value, text]) => h("option", { value, selected: value === chosen }, text)));
  return { control, element: h("label", { class: "field" }, h("span", null, name), control) };
}

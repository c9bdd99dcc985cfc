// All functions: what starts them, what bounds them, when they run next.

import { h, fill } from "../core/dom.js";
import { appOf, catalog } from "../core/catalog.js";
import { when } from "../core/format.js";
import { command, empty, pageHead } from "../parts/blocks.js";
import { flowFacts, triggerChips } from "../parts/flow_facts.js";
import { badge } from "../parts/status.js";

/** @typedef {import("../core/router.js").View} View */
/** @typedef {import("../core/catalog.js").Catalog} Catalog */
/** @typedef {import("../core/catalog.js").Fn} Fn */

const PAUSE = 500;
const COLUMNS = [["Function", ""], ["Triggers", "col-half"], ["Flow control", "col-trigger"], ["Next", "col-time"]];

/** @param {View} view */
export async function showFunctions(view) {
  view.title("Functions");
  const search = h("input", { type: "search", class: "input", placeholder: "Name or trigger", autocomplete: "off", spellcheck: "false" });
  const list = h("div", { class: "list" });
  const filters = h("div", { class: "filters" }, h("div", { class: "filter-row" }, h("label", { class: "field" }, h("span", null, "Find"), search)));
  fill(view.root, pageHead({ title: "Functions" }), filters, list);
  const draw = async () => {
    const all = await catalog();
    const wanted = search.value.trim().toLowerCase();
    const shown = all.functions.filter((one) => textOf(one).includes(wanted));
    filters.hidden = !all.functions.length;
    if (!all.functions.length) fill(list, nothing());
    else if (!shown.length) fill(list, empty("No function matches", "Nothing has this in its name or its triggers."));
    else fill(list, table(all, shown));
  };
  search.addEventListener("input", draw);
  await draw();
  view.follow((change) => change.apps, draw, PAUSE);
}

/** @param {Fn} fn */
function textOf(fn) {
  return [fn.name, fn.slug, ...fn.triggers.map((one) => one.event ?? one.cron)].join(" ").toLowerCase();
}

/** @param {Catalog} all @param {Fn[]} functions */
function table(all, functions) {
  return h(
    "table",
    { class: "table" },
    h("caption", { class: "unseen" }, "Functions"),
    h("thead", null, h("tr", null, COLUMNS.map(([name, kind]) => h("th", { scope: "col", class: kind }, name)))),
    h("tbody", null, functions.map((one) => row(all, one))),
  );
}

/** @param {Catalog} all @param {Fn} fn */
function row(all, fn) {
  const flow = flowFacts(fn);
  const next = fn.schedules.map((one) => one.next[0]).sort()[0];
  const link = h("a", { class: "row-link", href: `/functions/${fn.slug}` }, fn.name);
  const element = h(
    "tr",
    { class: "row" },
    h("td", { class: "wide" }, link, fn.paused ? [" ", badge("PAUSED")] : null, h("span", { class: "below" }, appOf(all, fn.appId)?.name ?? "", " ", h("code", null, fn.slug))),
    h("td", { class: "trigger" }, h("span", { class: "chips" }, triggerChips(fn))),
    h("td", { class: "trigger" }, flow.length ? h("span", { class: "chips" }, [...new Set(flow.map(([name]) => name))].map((name) => h("span", { class: "chip plain" }, name))) : h("span", { class: "muted" }, "none")),
    h("td", null, next && !fn.paused ? when(next) : h("span", { class: "muted" }, "–")),
  );
  element.addEventListener("click", (event) => {
    const inner = event.target instanceof Element ? event.target.closest("a, button") : null;
    if (!inner && !String(getSelection())) link.click();
  });
  return element;
}

function nothing() {
  return empty(
    "No functions yet",
    "Functions appear when an app that serves them is synced. Start the app, then add its address:",
    command("stepserve dev -u http://127.0.0.1:8000/api/inngest"),
    h("p", null, h("a", { href: "/apps" }, "Add an app")),
  );
}

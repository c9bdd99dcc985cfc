// A list of runs, as several pages show it.

import { fill, h, reconcile } from "../core/dom.js";
import { appOf, functionOf } from "../core/catalog.js";
import { span, when } from "../core/format.js";
import { icon } from "./icons.js";
import { badge } from "./status.js";

/**
 * @typedef {{id: string, status: string, function: {id: string, slug: string | null}, app: {id: string | null},
 *   queuedAt: string, startedAt?: string, endedAt?: string, durationMs?: number, output?: any,
 *   trigger: {eventId: string, eventName: string, cron: string | null, batchId: string | null}}} Run
 * @typedef {import("../core/catalog.js").Catalog} Catalog
 */

/**
 * Build an empty table of runs, and return it with a function that fills it.
 *
 * @param {Catalog} all
 * @param {string} caption
 */
export function runTable(all, caption) {
  const body = h("tbody");
  const table = h(
    "table",
    { class: "table runs" },
    h("caption", { class: "unseen" }, caption),
    h(
      "thead",
      null,
      h("tr", null, ["Status", "Function", "Trigger", "Queued", "Duration"].map((name) => h("th", { scope: "col" }, name))),
    ),
    body,
  );
  /** @param {Run[]} runs */
  const show = (runs) => {
    reconcile(body, runs, (run) => run.id, (run) => row(all, run), (element, run) => update(all, element, run));
  };
  return { table, show };
}

/** @param {Run} run */
function signature(run) {
  return `${run.status} ${run.startedAt ?? ""} ${run.endedAt ?? ""}`;
}

/** @param {Catalog} all @param {Run} run */
function row(all, run) {
  const element = h("tr", { class: "row" });
  element.addEventListener("click", (event) => {
    // The whole row leads to the run; the link in it is what keyboards and screen readers use.
    const inner = event.target instanceof Element ? event.target.closest("a, button") : null;
    if (!inner && !String(getSelection())) element.querySelector("a")?.click();
  });
  draw(all, element, run);
  return element;
}

/** @param {Catalog} all @param {HTMLElement} element @param {Run} run */
function update(all, element, run) {
  if (element.dataset.signature !== signature(run)) draw(all, element, run);
}

/** @param {Catalog} all @param {HTMLElement} element @param {Run} run */
function draw(all, element, run) {
  const held = element.contains(document.activeElement);
  element.dataset.signature = signature(run);
  const slug = run.function.slug ?? run.function.id;
  const name = functionOf(all, slug)?.name ?? slug;
  fill(
    element,
    h("td", { "data-name": "Status" }, badge(run.status)),
    h(
      "td",
      { class: "wide" },
      h("a", { href: `/runs/${run.id}`, class: "row-link" }, name),
      h("span", { class: "below" }, appOf(all, run.app.id)?.name ?? "", " ", h("code", null, run.id)),
    ),
    h("td", { class: "trigger" }, trigger(run)),
    h("td", null, when(run.queuedAt)),
    h("td", null, run.status === "QUEUED" ? h("span", { class: "muted" }, "–") : span(run.startedAt ?? run.queuedAt, run.endedAt)),
  );
  if (held) element.querySelector("a")?.focus();
}

/** @param {Run} run */
export function trigger(run) {
  if (run.trigger.cron) return h("span", { class: "chip" }, icon("clock"), h("code", null, run.trigger.cron));
  const parts = [icon(run.trigger.batchId ? "batch" : "event"), h("code", null, run.trigger.eventName)];
  return h("span", { class: "chip" }, parts, run.trigger.batchId ? " batch" : null);
}

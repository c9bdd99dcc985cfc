// A list of runs, as several pages show it.

import { fill, h, reconcile } from "../core/dom.js";
import { get } from "../core/api.js";
import { appOf, functionOf } from "../core/catalog.js";
import { span, when } from "../core/format.js";
import { icon } from "./icons.js";
import { badge } from "./status.js";

/**
 * @typedef {{id: string, status: string, function: {id: string, slug: string | null}, app: {id: string | null},
 *   queuedAt: string, startedAt?: string, endedAt?: string, durationMs?: number, output?: any,
 *   trigger: {eventId: string, eventName: string, cron: string | null, batchId: string | null,
 *   preview?: Record<string, any>}}} Run
 * @typedef {import("../core/catalog.js").Catalog} Catalog
 */

const COLUMNS = [["Status", "col-status"], ["Function", ""], ["Trigger", "col-trigger"], ["Queued", "col-time"], ["Duration", "col-length"]];
const MOST_ACTIVE = 20;
const INVOKED = "inngest/function.invoked";

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
      h("tr", null, COLUMNS.map(([name, kind]) => h("th", { scope: "col", class: kind }, name))),
    ),
    body,
  );
  /** @param {Run[]} runs */
  const show = (runs) => {
    reconcile(body, runs, (run) => run.id, (run) => row(all, run), (element, run) => update(all, element, run));
  };
  return { table, show };
}

/**
 * Return runs of a list as they are now: those that had not ended are looked at, each alone, and few of them.
 *
 * @param {Run[]} runs
 * @param {AbortSignal} signal
 * @returns {Promise<Run[]>}
 */
export async function current(runs, signal) {
  const active = runs.filter((run) => !run.endedAt).slice(0, MOST_ACTIVE);
  const found = await Promise.all(active.map((run) => get(`/v2/runs/${run.id}`, signal)));
  const byId = new Map(found.map((run) => [run.id, run]));
  return runs.map((run) => {
    const now = byId.get(run.id);
    return now ? { ...now, trigger: run.trigger } : run; // a run alone comes without a preview
  });
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
      below(all, run),
    ),
    h("td", { class: "trigger" }, trigger(run)),
    h("td", null, when(run.queuedAt)),
    h("td", null, run.status === "QUEUED" ? h("span", { class: "muted" }, "–") : span(run.startedAt ?? run.queuedAt, run.endedAt)),
  );
  if (held) element.querySelector("a")?.focus();
}

/** What tells this run from the others of its function: some of its event, else its id. @param {Catalog} all @param {Run} run */
function below(all, run) {
  const app = all.apps.length > 1 ? appOf(all, run.app.id)?.name : null;
  const fields = Object.entries(run.trigger.preview ?? {});
  if (!fields.length) return h("span", { class: "below" }, app ? `${app} ` : null, h("code", null, run.id));
  return h(
    "span",
    { class: "below preview" },
    app ? h("span", null, app) : null,
    fields.map(([name, value]) => h("span", null, `${name} `, h("code", null, String(value)))),
  );
}

/** @param {Run} run */
export function trigger(run) {
  if (run.trigger.cron) return h("span", { class: "chip" }, icon("clock"), h("code", null, run.trigger.cron));
  if (run.trigger.eventName === INVOKED) return h("span", { class: "chip" }, icon("invoking"), "invoked");
  const parts = [icon(run.trigger.batchId ? "batch" : "event"), h("code", null, run.trigger.eventName)];
  return h("span", { class: "chip" }, parts, run.trigger.batchId ? " batch" : null);
}

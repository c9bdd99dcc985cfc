// One run: its waterfall, and beside it what is known of the chosen step.

import { h, fill } from "../core/dom.js";
import { ask, get, path } from "../core/api.js";
import { catalog, appOf, functionOf } from "../core/catalog.js";
import { parse } from "../core/json.js";
import { span, when } from "../core/format.js";
import { facts, pageHead } from "../parts/blocks.js";
import { copyable } from "../parts/copy.js";
import { badge } from "../parts/status.js";
import { cancelButton, rerunButton, rerunFromStep } from "../run/actions.js";
import { runDetail, stepDetail } from "../run/detail.js";
import { FUNCTION, isExecuted } from "../run/timeline.js";
import { waterfall } from "../run/waterfall.js";

/**
 * @typedef {import("../core/router.js").View} View
 * @typedef {import("../run/timeline.js").Trace} Trace
 */

const PAUSE = 300;
const BATCH = "query ($id: String!) { runTrigger(runID: $id) { IDs payloads } }";

/** @param {View} view */
export async function showRun(view) {
  const id = view.params.id;
  view.title(`Run ${id}`);
  const all = await catalog();
  let trace = await loadTrace(id, view.signal);
  const events = await loadEvents(trace, view.signal);
  const name = functionOf(all, trace.function)?.name ?? trace.function;
  view.title(`${name} · run`);

  const head = h("div");
  const panel = h("div", { class: "detail", role: "region", "aria-label": "Details", tabindex: "-1" });
  const content = h("div");
  const extras = h("div");
  panel.append(content, extras);
  let chosen = view.query.get("step") ?? firstFailed(trace);
  let shownStep = "-";
  const fall = waterfall((step) => {
    chosen = step;
    history.replaceState(null, "", step ? `${location.pathname}?step=${encodeURIComponent(step)}` : location.pathname);
    draw();
    if (matchMedia("(max-width: 60rem)").matches) panel.scrollIntoView({ behavior: "smooth" });
  });
  fill(view.root, head, h("div", { class: "run-body" }, h("section", { class: "run-steps", "aria-label": "Timeline" }, fall.element, h("p", { class: "hint" }, legend())), panel));

  const draw = () => {
    drawHead(head, trace, name, events, all, refresh);
    fall.draw(trace, chosen, Date.now());
    const step = trace.steps.find((one) => one.id === chosen);
    // Built anew only when it says something new: what was unfolded stays unfolded.
    const signature = JSON.stringify(chosen && step ? step : [trace.run, trace.metadata, trace.defers]);
    if (content.dataset.signature !== signature) {
      content.dataset.signature = signature;
      fill(content, ...(chosen && step ? stepDetail(step) : runDetail(trace, events)));
    }
    if (shownStep !== chosen) {
      shownStep = chosen;
      fill(extras, step && isExecuted(step) ? rerunFromStep(id, step) : null);
    }
  };
  const refresh = async () => {
    trace = await loadTrace(id, view.signal);
    draw();
  };

  draw();
  view.follow((change) => change.moreRuns || change.runs.has(id), refresh, PAUSE);
  const growing = setInterval(() => {
    if (!trace.run.ended_at && !document.hidden) fall.draw(trace, chosen, Date.now());
  }, 500);
  view.signal.addEventListener("abort", () => clearInterval(growing));
}

/** @param {string} id @param {AbortSignal} signal @returns {Promise<Trace>} */
async function loadTrace(id, signal) {
  const trace = await get(path`/v2/runs/${id}/trace`, signal);
  // The function's own attempts have no hash; here every row needs an id of its own.
  for (const step of trace.steps) if (step.op === FUNCTION) step.id = FUNCTION;
  return trace;
}

/** @param {Trace} trace */
function firstFailed(trace) {
  return trace.steps.find((step) => "error" in step)?.id ?? "";
}

/** @param {Trace} trace @param {AbortSignal} signal */
async function loadEvents(trace, signal) {
  if (!trace.run.batch_id) return [await get(path`/v1/events/${trace.run.event_id}`, signal)];
  const { runTrigger } = await ask(BATCH, { id: trace.run.run_id }, signal);
  return runTrigger.payloads.map((/** @type {string} */ text, /** @type {number} */ index) => {
    const event = parse(text);
    return { ...event, internal_id: runTrigger.IDs[index], received_at: new Date(event.ts).toISOString() };
  });
}

/**
 * @param {HTMLElement} place
 * @param {Trace} trace
 * @param {string} name
 * @param {any[]} events
 * @param {import("../core/catalog.js").Catalog} all
 * @param {() => Promise<void>} refresh
 */
function drawHead(place, trace, name, events, all, refresh) {
  const { run } = trace;
  const signature = `${run.status}${run.started_at}${run.ended_at}`;
  if (place.dataset.signature === signature) return;
  place.dataset.signature = signature;
  const app = appOf(all, functionOf(all, trace.function)?.appId);
  const parent = events[0]?.data?._inngest?.source_run_id;
  fill(
    place,
    pageHead({
      trail: { href: "/runs", text: "Runs" },
      title: [name, " ", badge(run.status)],
      actions: [run.ended_at ? null : cancelButton(run.run_id, refresh), rerunButton(run.run_id)],
    }),
    facts([
      ["Run", copyable(run.run_id, "run id")],
      ["Function", h("a", { href: `/functions/${trace.function}` }, trace.function)],
      ["App", app?.name],
      ["Queued", when(run.queued_at)],
      ["Duration", run.status === "Scheduled" ? null : span(run.started_at ?? run.queued_at, run.ended_at)],
      ["Schedule", run.cron ? h("code", null, run.cron) : null],
      ["Parent run", parent ? h("a", { href: `/runs/${parent}` }, parent) : null],
      ["Repeats run", run.original_run_id ? h("a", { href: `/runs/${run.original_run_id}` }, run.original_run_id) : null],
    ]),
  );
}

function legend() {
  const part = (/** @type {string} */ kind, /** @type {string} */ text) => h("span", { class: "legend" }, h("span", { class: `bar ${kind}`, "aria-hidden": "true" }), text);
  return [part("queue", "queued"), part("work", "running"), part("rest", "waiting or sleeping"), part("failed", "failed")];
}

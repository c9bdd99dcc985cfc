// One run: its waterfall, and beside it what is known of the chosen step.

import { h, fill } from "../core/dom.js";
import { ask, get, path } from "../core/api.js";
import { catalog, appOf, functionOf } from "../core/catalog.js";
import { parse } from "../core/json.js";
import { clock, countdown, span, when } from "../core/format.js";
import { facts, pageHead } from "../parts/blocks.js";
import { copyable } from "../parts/copy.js";
import { icon } from "../parts/icons.js";
import { badge, lookOf } from "../parts/status.js";
import { cancelButton, rerunButton, rerunFromStep } from "../run/actions.js";
import { Children } from "../run/children.js";
import { runDetail, stepDetail } from "../run/detail.js";
import { doingOf, statusOf } from "../run/now.js";
import { FUNCTION, isExecuted, lastError } from "../run/timeline.js";
import { waterfall } from "../run/waterfall.js";

/**
 * @typedef {import("../core/router.js").View} View
 * @typedef {import("../run/timeline.js").Trace} Trace
 */

const PAUSE = 300;
const SHOWN_DOING = 4;
const BATCH = "query ($id: String!) { runTrigger(runID: $id) { IDs payloads } }";

/** @param {View} view */
export async function showRun(view) {
  const id = view.params.id;
  view.title(`Run ${id}`);
  const all = await catalog();
  let trace = await loadTrace(id, view.signal);
  const events = await loadEvents(trace, view.signal);
  const fn = functionOf(all, trace.function);
  const name = fn?.name ?? trace.function;
  view.title(`${name} · run`);

  const head = h("div");
  const doing = h("ul", { class: "doing plain" });
  const panel = h("div", { class: "detail", role: "region", "aria-label": "Details", tabindex: "-1" });
  const content = h("div");
  const extras = h("div");
  panel.append(content, extras);
  let chosen = { run: id, step: view.query.get("step") ?? firstFailed(trace) };
  let shown = "";
  const children = new Children((child) => loadTrace(child, view.signal), () => draw());
  const fall = waterfall((run, step) => {
    chosen = { run, step };
    history.replaceState(history.state, "", step && run === id ? `${location.pathname}?step=${encodeURIComponent(step)}` : location.pathname);
    draw();
    if (matchMedia("(max-width: 68rem)").matches) panel.scrollIntoView({ behavior: "smooth" });
  }, children);
  fill(view.root, head, doing, h("div", { class: "run-body" }, h("section", { class: "run-steps", "aria-label": "Timeline" }, fall.element, h("p", { class: "hint" }, legend())), panel));

  const draw = () => {
    const now = doingOf(trace, fn?.maxAttempts ?? 0);
    drawHead(head, trace, statusOf(trace, now), name, events, all, refresh);
    drawDoing(doing, now);
    fall.draw(trace, chosen, Date.now());
    const owner = chosen.run === id ? trace : children.get(chosen.run);
    const step = owner?.steps.find((one) => one.id === chosen.step);
    // Built anew only when it says something new: what was unfolded stays unfolded.
    const signature = JSON.stringify(step ? [chosen.run, step] : [trace.run, trace.metadata, trace.defers]);
    if (content.dataset.signature !== signature) {
      content.dataset.signature = signature;
      fill(content, ...(step ? stepDetail(step, chosen.run === id ? null : chosen.run) : runDetail(trace, events)));
    }
    const choice = `${chosen.run}${step?.id ?? ""}${step?.ended_at ?? ""}`;
    if (shown !== choice) {
      shown = choice;
      fill(extras, step && isExecuted(step) ? rerunFromStep(chosen.run, step) : null);
    }
  };
  const refresh = async () => {
    trace = await loadTrace(id, view.signal);
    children.unfold(trace);
    draw();
  };

  children.unfold(trace);
  draw();
  view.follow((change) => change.moreRuns || change.runs.has(id), refresh, PAUSE);
  view.follow((change) => change.moreRuns || [...children.open].some((child) => change.runs.has(child)), async () => {
    await children.refresh(children.open);
    draw();
  }, PAUSE);
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

/** The step that people come for: the one that failed, for good or for now. @param {Trace} trace */
function firstFailed(trace) {
  return trace.steps.find((step) => "error" in step || lastError(step) !== undefined)?.id ?? "";
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

/** @param {HTMLElement} place @param {import("../run/now.js").Doing[]} doing */
function drawDoing(place, doing) {
  const signature = JSON.stringify(doing);
  if (place.dataset.signature === signature) return;
  place.dataset.signature = signature;
  place.hidden = !doing.length;
  const lines = doing.slice(0, SHOWN_DOING).map((one) => {
    const look = lookOf(one.status);
    return h("li", { class: look.tone }, icon(look.icon), h("span", null, one.text, one.until === null ? null : [" · ", one.ends, " ", countdown(one.until)]));
  });
  const left = doing.length - lines.length;
  fill(place, lines, left > 0 ? h("li", { class: "muted" }, `and ${left} more`) : null);
}

/**
 * @param {HTMLElement} place
 * @param {Trace} trace
 * @param {string} status
 * @param {string} name
 * @param {any[]} events
 * @param {import("../core/catalog.js").Catalog} all
 * @param {() => Promise<void>} refresh
 */
function drawHead(place, trace, status, name, events, all, refresh) {
  const { run } = trace;
  const signature = `${status}${run.started_at}${run.ended_at}`;
  if (place.dataset.signature === signature) return;
  place.dataset.signature = signature;
  const app = appOf(all, functionOf(all, trace.function)?.appId);
  const parent = events[0]?.data?._inngest?.source_run_id;
  fill(
    place,
    pageHead({
      trail: { href: "/runs", text: "Runs" },
      title: [name, " ", badge(status)],
      actions: [run.ended_at ? null : cancelButton(run.run_id, refresh), rerunButton(run.run_id)],
    }),
    facts([
      ["Run", copyable(run.run_id, "run id")],
      ["Function", h("a", { href: `/functions/${trace.function}` }, trace.function)],
      ["App", app?.name],
      ["Queued", [clock(run.queued_at), h("span", { class: "muted" }, " · ", when(run.queued_at))]],
      ["Duration", run.status === "Scheduled" ? null : span(run.started_at ?? run.queued_at, run.ended_at)],
      ["Schedule", run.cron ? h("code", null, run.cron) : null],
      ["Parent run", parent ? h("a", { href: `/runs/${parent}` }, parent) : null],
      ["Repeats run", run.original_run_id ? h("a", { href: `/runs/${run.original_run_id}` }, run.original_run_id) : null],
    ]),
  );
}

function legend() {
  const part = (/** @type {string} */ kind, /** @type {string} */ text) => h("span", { class: "legend" }, h("span", { class: `bar ${kind}`, "aria-hidden": "true" }), text);
  return [part("queue", "queued"), part("work", "running"), part("rest", "waiting, sleeping, or between attempts"), part("failed", "failed")];
}

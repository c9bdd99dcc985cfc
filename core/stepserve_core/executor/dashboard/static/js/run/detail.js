// What is known of the chosen step, or of the run as a whole.

import { h } from "../core/dom.js";
import { duration, moment, when } from "../core/format.js";
import { facts, section } from "../parts/blocks.js";
import { copyable } from "../parts/copy.js";
import { errorView } from "../parts/error_view.js";
import { jsonTree } from "../parts/json_tree.js";
import { badge } from "../parts/status.js";
import { FUNCTION, lastError, nameOf, opOf } from "./timeline.js";

/**
 * @typedef {import("./timeline.js").Trace} Trace
 * @typedef {import("./timeline.js").Step} Step
 * @typedef {import("../core/dom.js").Child} Child
 */

/**
 * The run: what it gave, and what started it.
 *
 * @param {Trace} trace
 * @param {any[]} events
 */
export function runDetail(trace, events) {
  const { run } = trace;
  const failed = run.status === "Failed" || run.status === "Cancelled";
  return [
    run.skip_reason ? section("Skipped", skipped(run)) : null,
    failed && run.output !== null ? section("Error", errorView(run.output)) : null,
    !failed && run.ended_at && run.status === "Completed" ? section("Output", jsonTree(run.output, "output")) : null,
    section(events.length > 1 ? `Triggered by a batch of ${events.length} events` : "Triggered by", events.map(eventView)),
    trace.defers.length ? section("Deferred functions", h("ul", { class: "plain" }, trace.defers.map(deferView))) : null,
    metadataView(trace.metadata),
  ];
}

/** @param {any} event */
function eventView(event) {
  return h(
    "div",
    { class: "stack" },
    h("p", { class: "broken" }, h("a", { href: `/events/${event.internal_id}` }, event.name), " ", h("span", { class: "muted" }, "received "), when(event.received_at)),
    jsonTree(event.data, `data of ${event.name}`, { open: 2 }),
  );
}

/** @param {any} defer */
function deferView(defer) {
  return h("li", null, badge(defer.status), " ", h("code", null, defer.function || defer.name));
}

/** @param {any} run */
function skipped(run) {
  return h(
    "p",
    null,
    run.skip_reason,
    run.skip_existing_run_id ? [": ", h("a", { href: `/runs/${run.skip_existing_run_id}` }, "the run that was in the way")] : null,
  );
}

/**
 * A step: its facts, its input, what it gave, and what went wrong.
 *
 * @param {Step} step
 * @param {string | null} child the run it belongs to, where that is not the one of the page
 */
export function stepDetail(step, child) {
  const detail = step.detail ?? {};
  const failures = step.attempts.filter((attempt) => attempt.error !== undefined);
  return [
    h("div", { class: "detail-head" }, h("h2", null, nameOf(step)), badge(lastError(step) === undefined ? step.status : "RETRYING")),
    facts([
      ["Invoked run", child ? h("a", { href: `/runs/${child}` }, child) : null],
      ["Kind", h("code", null, detail.type ?? opOf(step))],
      ["Started", when(step.started_at)],
      ["Duration", step.duration_ms === null ? null : duration(step.duration_ms)],
      ["Attempts", step.attempts.length > 1 ? String(step.attempts.length) : null],
      ...waits(step, detail),
      ["Step id", step.op !== FUNCTION ? copyable(step.id, "step id") : null],
    ]),
    "error" in step ? section("Error", errorView(step.error)) : null,
    failures.length && !("error" in step) ? section(failures.length > 1 ? "Failed attempts, the last first" : "Failed attempt", failures.reverse().map(failedAttempt)) : null,
    "input" in detail ? section("Input", inputView(detail.input)) : null,
    "output" in step ? section("Output", jsonTree(step.output, "output")) : null,
    metadataView(step.metadata),
  ];
}

/** The only argument of a step is shown without the list around it. @param {any} input */
function inputView(input) {
  return jsonTree(Array.isArray(input) && input.length === 1 ? input[0] : input, "input");
}

/** @param {Step} step @param {Record<string, any>} detail @returns {[string, Child][]} */
function waits(step, detail) {
  const expires = detail.expires_at ?? detail.until;
  return [
    [step.op === "Sleep" ? "Sleeps until" : "Times out", expires ? h("span", null, moment(new Date(expires * 1000).toISOString())) : null],
    ["Waits for event", detail.event ? h("code", null, detail.event) : null],
    ["Waits for signal", detail.signal ? h("code", null, detail.signal) : null],
    ["If", detail.expression ? h("code", null, detail.expression) : null],
    ["Invokes", detail.function ? h("code", null, detail.function) : null],
    ["Child run", step.invoked_run_id ? h("a", { href: `/runs/${step.invoked_run_id}` }, step.invoked_run_id) : null],
  ];
}

/** @param {import("./timeline.js").Attempt} attempt */
function failedAttempt(attempt) {
  return h("div", { class: "stack" }, h("p", { class: "muted" }, `Attempt ${attempt.attempt + 1}`), errorView(attempt.error));
}

/** @param {any} metadata */
function metadataView(metadata) {
  const isEmpty = !metadata || (Array.isArray(metadata) ? !metadata.length : !Object.keys(metadata).length);
  return isEmpty ? null : section("Metadata", jsonTree(metadata, "metadata"));
}

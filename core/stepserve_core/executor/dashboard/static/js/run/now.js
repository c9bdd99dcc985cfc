// What a run that has not ended is doing now, and until when. Decides; draws nothing.

import { nameOf, stepOf } from "./timeline.js";

/**
 * @typedef {import("./timeline.js").Trace} Trace
 * @typedef {import("./timeline.js").Step} Step
 * @typedef {import("./timeline.js").Call} Call
 * @typedef {{status: string, text: string, until: number | null, ends: string, step: string}} Doing `until` is a moment
 *   in milliseconds, `ends` what happens then, `step` the hash of the step that it is about
 */

/**
 * Return what a run does, the most telling first; nothing where it has ended.
 *
 * @param {Trace} trace
 * @param {number} attempts how many its function has, for each step
 * @returns {Doing[]}
 */
export function doingOf(trace, attempts) {
  if (trace.run.ended_at) return [];
  return [...trace.calls.map((call) => calling(trace, call, attempts)), ...trace.steps.flatMap(resting)];
}

/**
 * Return how a run looks: a run that only sleeps is not busy.
 *
 * @param {Trace} trace
 * @param {Doing[]} doing
 */
export function statusOf(trace, doing) {
  const { run } = trace;
  if (run.ended_at || run.status !== "Running" || !doing.length) return run.status;
  return doing.find((one) => one.status === "RUNNING")?.status ?? doing[0].status;
}

/** @param {Trace} trace @param {Call} call @param {number} attempts @returns {Doing} */
function calling(trace, call, attempts) {
  const step = stepOf(trace, call);
  const name = step ? nameOf(step) : "The function";
  const base = { until: null, ends: "", step: step?.id ?? "" };
  if (call.state === "held") return { ...base, status: "HELD", text: "Held by a concurrency limit: other calls go first" };
  if (call.state === "called") return { ...base, status: "RUNNING", text: step ? `${name} is being executed` : "The app is being called" };
  if (call.state === "ready") return { ...base, status: "RUNNING", text: "The app is about to be called" };
  if (!call.attempt) return { ...base, status: "SCHEDULED", text: "Scheduled", until: Date.parse(call.due_at), ends: "starts" };
  const text = `${name} failed; attempt ${call.attempt + 1} of ${attempts}`;
  return { ...base, status: "RETRYING", text, until: Date.parse(call.due_at), ends: "begins" };
}

/** @param {Step} step @returns {Doing[]} */
function resting(step) {
  if (step.ended_at) return [];
  const detail = step.detail ?? {};
  const moment = detail.until ?? detail.expires_at;
  const base = { until: moment ? moment * 1000 : null, step: step.id };
  if (step.op === "Sleep") return [{ ...base, status: "SLEEPING", text: `${step.name} sleeps`, ends: "goes on" }];
  if (step.op === "WaitForEvent") return [{ ...base, status: "WAITING", text: `${step.name} waits for ${detail.event}`, ends: "times out" }];
  if (step.op === "WaitForSignal") return [{ ...base, status: "WAITING", text: `${step.name} waits for the signal ${detail.signal}`, ends: "times out" }];
  if (step.op === "InvokeFunction") return [{ ...base, status: "INVOKING", text: `${step.name} waits for ${detail.function ?? "a function"}`, ends: "times out" }];
  return [];
}

// Options of a function, in words.

import { h } from "../core/dom.js";
import { icon } from "./icons.js";

/** @typedef {import("../core/catalog.js").Fn} Fn */

/**
 * Return the options that are set, each with a name and what it says.
 *
 * @param {Fn} fn
 * @returns {[string, string][]}
 */
export function flowFacts(fn) {
  const config = fn.config;
  /** @type {[string, string][]} */
  const found = [];
  for (const one of config.concurrency ?? []) found.push(["Concurrency", `${one.limit} calls at once${keyed(one)}`]);
  for (const one of config.runConcurrency ?? []) found.push(["Concurrency of runs", `${one.limit} runs at once${keyed(one)}`]);
  if (config.throttle) found.push(["Throttle", `${config.throttle.limit} starts in ${config.throttle.period}${burst(config.throttle)}${keyed(config.throttle)}`]);
  if (config.rateLimit) found.push(["Rate limit", `${config.rateLimit.limit} in ${config.rateLimit.period}, more are skipped${keyed(config.rateLimit)}`]);
  if (config.debounce) found.push(["Debounce", `${config.debounce.period} of quiet${config.debounce.timeout ? `, at most ${config.debounce.timeout}` : ""}${keyed(config.debounce)}`]);
  if (config.batchEvents) found.push(["Batch", `${config.batchEvents.maxSize} events, or after ${config.batchEvents.timeout}${keyed(config.batchEvents)}`]);
  if (config.singleton) found.push(["Singleton", `one run at a time: ${config.singleton.mode === "skip" ? "a new one is skipped" : "the old one is cancelled"}${keyed(config.singleton)}`]);
  if (config.priority) found.push(["Priority", config.priority.run]);
  if (config.idempotency) found.push(["Idempotency", config.idempotency]);
  for (const one of config.cancel ?? []) found.push(["Cancelled by", `${one.event}${one.if ? ` if ${one.if}` : ""}${one.timeout ? `, within ${one.timeout}` : ""}`]);
  if (config.timeouts?.start) found.push(["Must start within", config.timeouts.start]);
  if (config.timeouts?.finish) found.push(["Must finish within", config.timeouts.finish]);
  return found;
}

/** @param {any} option */
function burst(option) {
  return option.burst > 1 ? `, bursts of ${option.burst}` : "";
}

/** @param {any} option */
function keyed(option) {
  return option.key ? `, for each ${option.key}` : "";
}

/** @param {Fn} fn */
export function triggerChips(fn) {
  if (!fn.triggers.length) return h("span", { class: "muted" }, "invoked only");
  return fn.triggers.map((one) =>
    h(
      "span",
      { class: "chip" },
      icon(one.cron ? "clock" : "event"),
      h("code", null, one.cron ?? one.event),
      one.expression ? h("span", { class: "chip-if" }, ` if ${one.expression}`) : null,
    ),
  );
}

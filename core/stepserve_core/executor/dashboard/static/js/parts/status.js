// Statuses of runs and steps: a word, a picture and a colour, so that nobody depends on the colour.

import { h } from "../core/dom.js";
import { icon } from "./icons.js";

/**
 * @typedef {{label: string, tone: "ok" | "fail" | "run" | "wait" | "off", icon: import("./icons.js").IconName}} Look
 * @type {Record<string, Look>}
 */
const LOOKS = {
  COMPLETED: { label: "Completed", tone: "ok", icon: "done" },
  FAILED: { label: "Failed", tone: "fail", icon: "failed" },
  ERRORED: { label: "Attempt failed", tone: "fail", icon: "failed" },
  RUNNING: { label: "Running", tone: "run", icon: "running" },
  QUEUED: { label: "Queued", tone: "wait", icon: "queued" },
  SCHEDULED: { label: "Queued", tone: "wait", icon: "queued" },
  CANCELLED: { label: "Cancelled", tone: "off", icon: "cancelled" },
  SKIPPED: { label: "Skipped", tone: "off", icon: "skipped" },
  WAITING: { label: "Waiting", tone: "wait", icon: "waiting" },
  SLEEPING: { label: "Sleeping", tone: "wait", icon: "sleeping" },
  INVOKING: { label: "Invoking", tone: "run", icon: "invoking" },
  TIMEDOUT: { label: "Timed out", tone: "off", icon: "clock" },
  RETRYING: { label: "Retrying", tone: "fail", icon: "retrying" },
  HELD: { label: "Held back", tone: "wait", icon: "queued" },
  PAUSED: { label: "Paused", tone: "wait", icon: "waiting" },
  ACTIVE: { label: "Active", tone: "ok", icon: "done" },
  SYNCED: { label: "In sync", tone: "ok", icon: "done" },
  ERROR: { label: "Not in sync", tone: "fail", icon: "failed" },
};

export const RUN_STATUSES = ["RUNNING", "QUEUED", "FAILED", "COMPLETED", "CANCELLED", "SKIPPED"];

/** Statuses after which nothing more happens to a run. */
export const ENDED = new Set(["COMPLETED", "FAILED", "CANCELLED", "SKIPPED"]);

/**
 * Return how a status looks, whether it is written as the REST API or as the timeline writes it.
 *
 * @param {string} status
 * @returns {Look}
 */
export function lookOf(status) {
  return LOOKS[status.toUpperCase()] ?? { label: status, tone: "off", icon: "queued" };
}

/** @param {string} status */
export function badge(status) {
  const look = lookOf(status);
  return h("span", { class: `badge ${look.tone}` }, icon(look.icon), h("span", null, look.label));
}

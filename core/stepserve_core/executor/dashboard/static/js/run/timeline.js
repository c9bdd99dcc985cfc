// From the timeline of the API to the rows of the waterfall. Decides what is shown; draws nothing.

/**
 * @typedef {{attempt: number, status: string, queued_at: string, started_at: string | null, ended_at: string | null,
 *   duration_ms: number | null, error?: any, output?: any}} Attempt
 * @typedef {{id: string, name: string, op: string, status: string, queued_at: string, started_at: string | null,
 *   ended_at: string | null, duration_ms: number | null, attempts: Attempt[], detail?: Record<string, any>,
 *   output?: any, error?: any, invoked_run_id?: string, metadata?: any}} Step
 * @typedef {{run_id: string, status: string, queued_at: string, started_at: string | null, ended_at: string | null,
 *   output: any, event_id: string, event_name: string, original_run_id: string | null, cron: string | null,
 *   batch_id: string | null, skip_reason: string | null, skip_existing_run_id: string | null}} Run
 * @typedef {{run: Run, function: string, steps: Step[], defers: any[], metadata: any}} Trace
 * @typedef {{kind: "queue" | "work" | "rest" | "failed", from: number, to: number, isOpen: boolean}} Bar
 * @typedef {{key: string, step: string, label: string, op: string, depth: number, status: string, bars: Bar[],
 *   milliseconds: number | null}} Row
 */

export const FUNCTION = "Finalization";
const RESTING = new Set(["Sleep", "WaitForEvent", "WaitForSignal"]);

/** @type {Record<string, string>} */
const OPS = {
  Step: "step.run",
  StepRun: "step.run",
  StepError: "step.run",
  StepFailed: "step.run",
  StepPlanned: "step.run",
  Sleep: "step.sleep",
  WaitForEvent: "step.wait_for_event",
  WaitForSignal: "step.wait_for_signal",
  InvokeFunction: "step.invoke",
  AIGateway: "step.ai.infer",
  Gateway: "step.fetch",
  [FUNCTION]: "function",
};

/** @param {Step} step */
export function opOf(step) {
  return OPS[step.op] ?? step.op;
}

/** @param {Step} step */
export function nameOf(step) {
  return step.op === FUNCTION ? "Function body" : step.name;
}

/** Whether a step is executed by the app, so that a run can begin again there. @param {Step} step */
export function isExecuted(step) {
  return opOf(step) === "step.run";
}

/**
 * Return the rows of the waterfall: the run, its steps, and below each step the attempts where there were several.
 *
 * @param {Trace} trace
 * @param {number} now in milliseconds
 * @returns {Row[]}
 */
export function rowsOf(trace, now) {
  const { run } = trace;
  const root = {
    key: "run",
    step: "",
    label: "Run",
    op: "",
    depth: 0,
    status: run.status,
    bars: barsOf({ ...run, op: "" }, now),
    milliseconds: lengthOf(run.started_at ?? run.queued_at, run.ended_at),
  };
  return [root, ...trace.steps.flatMap((step) => stepRows(step, now))];
}

/** @param {Step} step @param {number} now @returns {Row[]} */
function stepRows(step, now) {
  const several = step.attempts.length > 1;
  const first = step.attempts[0];
  // A step with several attempts spans all of them; each has a row of its own below.
  const whole = several ? { ...step, queued_at: first.queued_at, started_at: first.started_at } : step;
  const row = {
    key: `step:${step.id}`,
    step: step.id,
    label: nameOf(step),
    op: opOf(step),
    depth: 1,
    status: step.status,
    bars: barsOf(whole, now),
    milliseconds: lengthOf(whole.started_at, step.ended_at),
  };
  if (!several) return [row];
  return [row, ...step.attempts.map((attempt) => attemptRow(step, attempt, now))];
}

/** @param {Step} step @param {Attempt} attempt @param {number} now @returns {Row} */
function attemptRow(step, attempt, now) {
  return {
    key: `attempt:${step.id}:${attempt.attempt}:${attempt.queued_at}`,
    step: step.id,
    label: `Attempt ${attempt.attempt + 1}`,
    op: "",
    depth: 2,
    status: attempt.status,
    bars: barsOf({ ...attempt, op: "" }, now),
    milliseconds: lengthOf(attempt.started_at, attempt.ended_at),
  };
}

/**
 * @param {{queued_at: string, started_at: string | null, ended_at: string | null, status: string, op: string}} entry
 * @param {number} now
 * @returns {Bar[]}
 */
function barsOf(entry, now) {
  const queued = Date.parse(entry.queued_at);
  const started = entry.started_at ? Date.parse(entry.started_at) : null;
  const ended = entry.ended_at ? Date.parse(entry.ended_at) : null;
  const end = ended ?? Math.max(now, queued);
  /** @type {Bar[]} */
  const bars = [];
  if (RESTING.has(entry.op)) return [{ kind: "rest", from: queued, to: end, isOpen: ended === null }];
  if (started === null) return [{ kind: "queue", from: queued, to: end, isOpen: ended === null }];
  if (started > queued) bars.push({ kind: "queue", from: queued, to: started, isOpen: false });
  const failed = entry.status === "Failed" || entry.status === "Errored";
  bars.push({ kind: failed ? "failed" : "work", from: started, to: end, isOpen: ended === null });
  return bars;
}

/** @param {string | null} from @param {string | null} to */
function lengthOf(from, to) {
  return from && to ? Date.parse(to) - Date.parse(from) : null;
}

/**
 * Return the first and the last moment of the rows.
 *
 * @param {Row[]} rows
 * @returns {{from: number, to: number}}
 */
export function rangeOf(rows) {
  const bars = rows.flatMap((row) => row.bars);
  const from = Math.min(...bars.map((bar) => bar.from));
  const to = Math.max(...bars.map((bar) => bar.to));
  return { from, to: Math.max(to, from + 1) };
}

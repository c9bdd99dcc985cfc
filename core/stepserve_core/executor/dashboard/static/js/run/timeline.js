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
 * @typedef {{step: string | null, attempt: number, due_at: string, state: "waiting" | "ready" | "called" | "held"}} Call
 * @typedef {{run: Run, function: string, steps: Step[], defers: any[], metadata: any, calls: Call[]}} Trace
 * @typedef {{kind: "queue" | "work" | "rest" | "failed", from: number, to: number, isOpen: boolean}} Bar
 * @typedef {{key: string, run: string, step: string, label: string, op: string, depth: number, isAttempt: boolean,
 *   status: string, bars: Bar[], milliseconds: number | null, until: number | null, child: string | null}} Row
 *   `until` is when an attempt begins, `child` the run that a step invoked
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

/** The error of an unfinished step's last attempt, if that failed. @param {Step} step */
export function lastError(step) {
  return step.ended_at ? undefined : step.attempts.at(-1)?.error;
}

/**
 * The step that a call is about: the one that it names, or the one whose attempt failed before.
 *
 * @param {Trace} trace
 * @param {Call} call
 * @returns {Step | undefined}
 */
export function stepOf(trace, call) {
  if (call.step) return trace.steps.find((step) => step.id === call.step);
  return call.attempt ? trace.steps.findLast((step) => !step.ended_at && step.attempts.length === call.attempt) : undefined;
}

/**
 * Return the rows of the waterfall: the run, its steps, below each step the attempts where one failed, and the steps of
 * the runs that it invoked, as far as they are unfolded.
 *
 * @param {Trace} trace
 * @param {number} now in milliseconds
 * @param {(id: string) => Trace | undefined} childOf
 * @returns {Row[]}
 */
export function rowsOf(trace, now, childOf) {
  const { run } = trace;
  const root = {
    ...PLAIN,
    key: "run",
    run: run.run_id,
    label: "Run",
    status: run.status,
    bars: barsOf({ ...run, op: "" }, now),
    milliseconds: lengthOf(run.started_at ?? run.queued_at, run.ended_at),
  };
  return [root, ...traceRows(trace, 1, now, childOf)];
}

const PLAIN = { step: "", op: "", depth: 0, isAttempt: false, milliseconds: null, until: null, child: null };

/** @param {Trace} trace @param {number} depth @param {number} now @param {(id: string) => Trace | undefined} childOf @returns {Row[]} */
function traceRows(trace, depth, now, childOf) {
  const retries = new Map(trace.calls.filter((call) => call.attempt && call.state === "waiting").map((call) => [stepOf(trace, call)?.id, call]));
  return trace.steps.flatMap((step) => {
    const rows = stepRows(trace.run.run_id, step, depth, now, retries.get(step.id));
    const child = step.invoked_run_id && childOf(step.invoked_run_id);
    return child ? [...rows, ...traceRows(child, depth + 1, now, childOf)] : rows;
  });
}

/** @param {string} run @param {Step} step @param {number} depth @param {number} now @param {Call | undefined} retry @returns {Row[]} */
function stepRows(run, step, depth, now, retry) {
  const several = step.attempts.length > 1 || lastError(step) !== undefined;
  const first = step.attempts[0];
  const key = `${run}:${step.id}`;
  const op = opOf(step);
  const row = {
    ...PLAIN,
    key,
    run,
    step: step.id,
    label: nameOf(step),
    op: op === "step.run" || op === "function" ? "" : op.replace("step.", ""),
    depth,
    status: retry ? "RETRYING" : step.status,
    bars: several ? attemptBars(step, first, now) : barsOf(step, now),
    milliseconds: lengthOf(several ? first.started_at : step.started_at, step.ended_at),
    child: step.invoked_run_id ?? null,
  };
  if (!several) return [row];
  const attempts = step.attempts.map((attempt) => attemptRow(row, attempt, now));
  return retry ? [row, ...attempts, nextAttempt(row, retry)] : [row, ...attempts];
}

/** @param {Row} step @param {Attempt} attempt @param {number} now @returns {Row} */
function attemptRow(step, attempt, now) {
  return {
    ...PLAIN,
    key: `${step.key}:${attempt.attempt}:${attempt.queued_at}`,
    run: step.run,
    step: step.step,
    label: `Attempt ${attempt.attempt + 1}`,
    depth: step.depth + 1,
    isAttempt: true,
    status: attempt.status,
    bars: barsOf({ ...attempt, op: "" }, now),
    milliseconds: lengthOf(attempt.started_at, attempt.ended_at),
  };
}

/** @param {Row} step @param {Call} call @returns {Row} */
function nextAttempt(step, call) {
  return {
    ...PLAIN,
    key: `${step.key}:next`,
    run: step.run,
    step: step.step,
    label: `Attempt ${call.attempt + 1}`,
    depth: step.depth + 1,
    isAttempt: true,
    status: "SCHEDULED",
    bars: [],
    until: Date.parse(call.due_at),
  };
}

/**
 * A step with several attempts spans all of them, and the pauses between them.
 *
 * @param {Step} step @param {Attempt} first @param {number} now @returns {Bar[]}
 */
function attemptBars(step, first, now) {
  const from = Date.parse(first.started_at ?? first.queued_at);
  const to = step.ended_at ? Date.parse(step.ended_at) : Math.max(now, from);
  const tries = step.attempts.flatMap((attempt) => barsOf({ ...attempt, op: "" }, now).filter((bar) => bar.kind !== "queue"));
  return [{ kind: "rest", from, to, isOpen: !step.ended_at }, ...tries];
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

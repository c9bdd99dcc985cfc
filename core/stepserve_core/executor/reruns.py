"""Running again: from the start, or from a step with what came before it, perhaps with edited input (executor.md 4.9).

Runs inside a transaction.
"""

from __future__ import annotations

from stepserve_core._canonical import canonicalize
from stepserve_core.executor import ids
from stepserve_core.executor.nesting import TOO_DEEP, is_too_deep
from stepserve_core.executor.schedule import Cause, start_run
from stepserve_core.executor.scope import Scope
from stepserve_core.executor.store.queue import QueueItem
from stepserve_core.executor.store.runs import RunRow
from stepserve_core.executor.store.steps import StepRow

_EXECUTED = frozenset({"Step", "StepRun", "StepPlanned", "StepError", "StepFailed"})
"""Steps that the app executes: the first call targets them."""


class RerunRefusedError(Exception):
    """A run that cannot be repeated like that; `code` says why, for programs."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


def read_arguments(text: bytes) -> bytes:
    """Return the arguments of a step, given as the text of a JSON array, in canonical form.

    Raises:
        ValueError: they are something else.
    """
    if is_too_deep(text):
        raise ValueError(f"input is {TOO_DEEP}")
    given = canonicalize(text)
    if given[:1] != b"[":
        raise ValueError("input must be an array: the arguments of the step")
    return given


def rerun(scope: Scope, run_id: str, from_step: str | None, given: bytes | None) -> str:
    """Start a run with the event of another one and return its id.

    Rate limits, debounce and batching are passed over; of a batch, the first event is taken.

    Args:
        from_step: the hash or the name of a step: what finished before it is taken over, not executed again.
        given: a JSON array that takes the place of the step's arguments.

    Raises:
        RerunRefusedError: the run, its function or the step is not there, the name is of several steps, or another
            option of the function is in the way.
    """
    original = scope.tables.runs.get(run_id)
    if original is None:
        raise RerunRefusedError("not_found", f"there is no run {run_id}")
    function = scope.registry.get(original.function_id)
    if function is None or function.archived:
        raise RerunRefusedError("not_found", f"the function of run {run_id} is gone")
    rows = sorted(scope.tables.steps.rows(run_id), key=_began_at)
    chosen = None if from_step is None else _find(rows, from_step)
    seq = scope.tables.runs.event_seq(run_id)
    cause = Cause(scope.tables.events.at(seq), seq, original.cron, again=ids.new_id(scope.now))
    new_id = start_run(scope, function, cause)
    if new_id is None:
        raise RerunRefusedError("function_skipped", "the function did not start: it is paused, or a singleton")
    scope.tables.runs.note_rerun(new_id, original.original_run_id or original.id)
    if chosen is not None:
        _take_over(scope, original, new_id, rows[: rows.index(chosen)], chosen, given)
    return new_id


def _take_over(
    scope: Scope, original: RunRow, new_id: str, before: list[StepRow], chosen: StepRow, given: bytes | None
) -> None:
    finished = [row.hash for row in before if row.memo is not None]
    scope.tables.steps.copy(original.id, new_id, finished)
    if given is not None:
        scope.tables.runs.edit_input(new_id, chosen.hash, given)
    if chosen.op in _EXECUTED:
        item_id = ids.job_id(new_id, "start")
        run = scope.tables.runs.facts(new_id)
        assert run is not None
        scope.tables.queue.remove(item_id)
        item = QueueItem(item_id, "start", new_id, original.function_id, scope.now, run.rank, chosen.hash)
        scope.tables.queue.add(item, scope.now)


def _find(rows: list[StepRow], wanted: str) -> StepRow:
    found = [row for row in rows if row.hash == wanted] or [row for row in rows if row.name == wanted]
    if not found:
        raise RerunRefusedError("step_not_found", f"the run has no step {wanted!r}")
    if len(found) > 1:
        raise RerunRefusedError("step_ambiguous", f"{len(found)} steps are named {wanted!r}; give the hash of one")
    return found[0]


def _began_at(row: StepRow) -> float:
    return row.queued_at if row.started_at is None else row.started_at

"""Making the history of a run from what the store has, for `stepserve export`. Runs where the store is read."""

from __future__ import annotations

import msgspec

from stepserve_core.executor.store.steps import StepRow
from stepserve_core.executor.store.tables import Tables
from stepserve_core.history import EXECUTED_OPS, History, HistoryRun, HistoryStep


def build_history(tables: Tables, run_id: str) -> History | None:
    """Return the history of a run; None where there is no such run."""
    run = tables.runs.get(run_id)
    if run is None:
        return None
    app, slug = tables.apps.names_of(run.function_id)
    places = {step: position for step, _, position in tables.steps.memos(run_id)}
    failed: dict[str, int] = {}
    for attempt in tables.steps.attempts(run_id):
        failed[attempt.hash] = failed.get(attempt.hash, 0) + 1
    rows = tables.steps.rows(run_id)
    # Sorting is stable: steps that have not finished stay in the order in which they were first seen.
    rows.sort(key=lambda row: places.get(row.hash, len(rows)))
    return History(
        app=app,
        function=slug,
        run=HistoryRun(
            run.id, run.status, run.queued_at, run.started_at, run.ended_at, msgspec.Raw(run.output or b"null")
        ),
        events=[msgspec.Raw(event.body) for event in tables.events.of_run(run_id)],
        steps=[_step(row, failed.get(row.hash, 0)) for row in rows],
    )


def _step(row: StepRow, failed: int) -> HistoryStep:
    return HistoryStep(
        id=row.hash,
        name=row.name,
        op="StepRun" if row.op in EXECUTED_OPS else row.op,
        status=row.status,
        attempts=failed if row.memo is None else row.attempt + 1,
        queued_at=row.queued_at,
        started_at=row.started_at,
        ended_at=row.ended_at,
        memo=msgspec.Raw(row.memo or b"null"),
    )

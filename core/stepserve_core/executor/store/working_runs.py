"""Runs that are being called, in memory: what each of their calls needs, so that it is read once and not for each step.

Only the writer has any. What it changes of a run it changes here too, or forgets; what is undone in the database is
forgotten with all the rest.
"""

from __future__ import annotations

from bisect import insort
from typing import Any

import msgspec

from stepserve_core.executor.decisions import RunFacts

_MOST = 500
"""Runs that are kept at most; when there are more, the one that has been here for longest goes."""

_LARGEST = 64 * 1024
"""Bytes of events and memos up to which a run is kept. Of a larger one, reading them is not what a call costs."""


class WorkingRun:
    """A run that has not ended: its facts, its trigger event, its memos in order of hash, and the stack."""

    __slots__ = ("event", "facts", "memos", "stack")

    def __init__(self, facts: RunFacts, event: bytes, memos: list[tuple[str, bytes]], stack: list[str]) -> None:
        self.facts = facts
        self.event = event
        self.memos = memos
        self.stack = stack

    def is_small(self) -> bool:
        """Say whether it is worth its place."""
        return self.facts.state_size + len(self.event) + len(self.facts.edited_input or b"") <= _LARGEST


class WorkingRuns:
    """The runs that are kept, as the transaction under way has them."""

    def __init__(self) -> None:
        self._runs: dict[str, WorkingRun] = {}

    def get(self, run_id: str) -> WorkingRun | None:
        """Return a run, if it is kept."""
        return self._runs.get(run_id)

    def keep(self, run: WorkingRun) -> None:
        """Keep a run that is called."""
        if run.facts.id not in self._runs and run.is_small():
            if len(self._runs) >= _MOST:
                del self._runs[next(iter(self._runs))]
            self._runs[run.facts.id] = run

    def change(self, run_id: str, **facts: Any) -> None:
        """Note facts that were changed; None stands for those that were not."""
        run = self._runs.get(run_id)
        if run is not None:
            changed = {name: value for name, value in facts.items() if value is not None}
            run.facts = msgspec.structs.replace(run.facts, **changed)

    def add_memo(self, run_id: str, step_hash: str, memo: bytes) -> None:
        """Note the memo of a step that had none, which is counted too."""
        run = self._runs.get(run_id)
        if run is not None:
            insort(run.memos, (step_hash, memo))
            run.stack.append(step_hash)
            count, size = run.facts.step_count + 1, run.facts.state_size + len(memo)
            run.facts = msgspec.structs.replace(run.facts, step_count=count, state_size=size)
            if not run.is_small():
                self.forget(run_id)

    def forget(self, run_id: str) -> None:
        """Let a run be read again."""
        self._runs.pop(run_id, None)

    def clear(self) -> None:
        """Forget all of them."""
        self._runs.clear()

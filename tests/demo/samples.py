"""Runs as they would be if everything went as declared."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from stepserve_core.cli.timeline import Attempt, Run, Step
from stepserve_core.demo.expected import ExpectedRun, ExpectedStep
from stepserve_core.demo.values import Having, ListOf


def fulfil(declared: ExpectedRun, run_id: str = "run") -> Run:
    """Return a run that is exactly as declared; stage n takes place in second n."""
    steps = [
        _fulfil_step(step, float(number)) for number, stage in enumerate(declared.stages, start=1) for step in stage
    ]
    return Run(
        id=run_id,
        function=declared.function,
        event=declared.event,
        status=declared.status,
        started_at=0.0,
        ended_at=100.0,
        output=_value(declared.output),
        steps=tuple(steps),
        attempts=(Attempt(1, declared.status, 1.0),),
    )


def fulfil_all(expected: Sequence[ExpectedRun]) -> list[Run]:
    """Return the runs of a whole demo."""
    return [fulfil(declared, f"{declared.function}-{i}") for declared in expected for i in range(declared.times)]


def change_step(run: Run, name: str, **changes: Any) -> Run:
    """Return the run with one of its steps changed."""
    assert run.step(name) is not None
    return replace(run, steps=tuple(replace(s, **changes) if s.name == name else s for s in run.steps))


def _fulfil_step(declared: ExpectedStep, second: float) -> Step:
    failed = [Attempt(i, "Failed", 1.0, {"message": text}) for i, text in enumerate(declared.failures, start=1)]
    attempts = (*failed, Attempt(len(failed) + 1, "Completed", 1.0)) if declared.tried else ()
    return Step(
        declared.name, declared.kind, "Completed", attempts, second, second + 0.5, output=_value(declared.output)
    )


def _value(declared: Any) -> Any:
    if isinstance(declared, Having):
        members: Mapping[str, Any] = declared.members
        return {**{key: _value(member) for key, member in members.items()}, "more": 1}
    if isinstance(declared, ListOf):
        return [f"id-{i}" for i in range(declared.length)]
    return declared

"""How runs differ from their declaration. No I/O."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from stepserve_core.cli.timeline import Run, Step
from stepserve_core.demo.expected import ExpectedRun, ExpectedStep
from stepserve_core.demo.values import agrees, describe


@dataclass(frozen=True)
class Verdict:
    """What was found about one declared function, or about a run that nobody declared. No problems: as declared."""

    function: str
    runs: tuple[Run, ...]
    problems: tuple[str, ...]


def compare(expected: Sequence[ExpectedRun], runs: Sequence[Run]) -> list[Verdict]:
    """Return a verdict for every declaration, in its order, then one for every function that has none."""
    verdicts: list[Verdict] = []
    for declared in expected:
        own = tuple(run for run in runs if run.function == declared.function)
        problems = [
            *_count_problems(declared, len(own)),
            *(text for run in own for text in run_problems(declared, run)),
        ]
        verdicts.append(Verdict(declared.function, own, tuple(problems)))
    known = {declared.function for declared in expected}
    for function in dict.fromkeys(run.function for run in runs if run.function not in known):
        others = tuple(run for run in runs if run.function == function)
        verdicts.append(Verdict(function, others, ("it ran although nothing declares it",)))
    return verdicts


def _count_problems(declared: ExpectedRun, count: int) -> Iterable[str]:
    if declared.times == 0 and count:
        yield f"it must not run, but did {_times(count)}"
    elif count < declared.times or (count > declared.times and not declared.or_more):
        least = "at least " if declared.or_more else ""
        yield f"it ran {_times(count)}, declared {least}{_times(declared.times)}"


def _times(count: int) -> str:
    return {0: "not at all", 1: "once", 2: "twice"}.get(count, f"{count} times")


def run_problems(declared: ExpectedRun, run: Run) -> list[str]:
    """Return how a run differs from its declaration, one sentence each."""
    if declared.times == 0:
        return []
    problems: list[str] = []
    if run.event != declared.event:
        problems.append(f"started by {run.event}, declared {declared.event}")
    if run.status != declared.status:
        unfinished = "" if run.has_ended else ": it did not end in time"
        problems.append(f"status {run.status}, declared {declared.status}{unfinished}")
    if run.has_ended and not agrees(declared.output, run.output):
        problems.append(f"output {describe(run.output)}, declared {describe(declared.output)}")
    problems += _step_set_problems(declared, run)
    for stage in declared.stages:
        for step in stage:
            actual = run.step(step.name)
            if actual is not None:
                problems += [f"step {step.name}: {text}" for text in _step_problems(step, actual)]
    problems += _order_problems(declared, run)
    if run.has_ended and len(run.attempts) != 1:
        problems.append(f"the function was tried {_times(len(run.attempts))} outside its steps, declared once")
    return problems


def _step_set_problems(declared: ExpectedRun, run: Run) -> Iterable[str]:
    names = [step.name for step in run.steps]
    expected = [step.name for stage in declared.stages for step in stage]
    for name in expected:
        if name not in names:
            yield f"step {name} is missing"
    for name in dict.fromkeys(names):
        if name not in expected:
            yield f"step {name} was executed, but is not declared"
        elif names.count(name) > 1:
            yield f"step {name} was executed {_times(names.count(name))}, declared once"


def _step_problems(declared: ExpectedStep, step: Step) -> Iterable[str]:
    if step.kind != declared.kind:
        yield f"is a {step.kind}, declared {declared.kind}"
    if step.status != "Completed":
        reason = "" if step.error is None else f" ({describe(step.error)})"
        yield f"status {step.status}{reason}, declared Completed"
    elif not agrees(declared.output, step.output):
        yield f"result {describe(step.output)}, declared {describe(declared.output)}"
    if declared.tried:
        yield from _attempt_problems(declared, step)


def _attempt_problems(declared: ExpectedStep, step: Step) -> Iterable[str]:
    count = len(declared.failures) + 1
    if len(step.attempts) != count:
        yield f"tried {_times(len(step.attempts))}, declared {_times(count)}"
        return
    for attempt, message in zip(step.attempts, declared.failures, strict=False):  # the last one has no message
        found = attempt.error.get("message") if isinstance(attempt.error, dict) else attempt.error
        if attempt.status != "Failed" or found != message:
            shown = describe(found)
            yield f"attempt {attempt.number} {attempt.status} ({shown}), declared Failed ({describe(message)})"
    last = step.attempts[-1]
    if last.status != "Completed" and step.status == "Completed":
        yield f"attempt {last.number} {last.status}, declared Completed"


def _order_problems(declared: ExpectedRun, run: Run) -> Iterable[str]:
    """Report steps that began before the stage before theirs was over."""
    for before, after in zip(declared.stages, declared.stages[1:], strict=False):
        for earlier in (run.step(step.name) for step in before):
            for later in (run.step(step.name) for step in after):
                if earlier is None or later is None or earlier.ended_at is None or later.started_at is None:
                    continue
                if later.started_at < earlier.ended_at:
                    yield f"step {later.name} began before step {earlier.name} had ended"

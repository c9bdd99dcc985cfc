"""What came out while faults happened: steps that ran again, outputs that changed, functions that do not replay.

Calls of the same state are compared: the same run, memos, target and attempt. A function finds the same steps then,
unless it depends on something else.
"""

from __future__ import annotations

import logging
import re
from collections import Counter, OrderedDict
from collections.abc import Mapping

import msgspec

from stepserve_core.executor.claims import Claim
from stepserve_core.executor.decisions import AddDefer, Decision, EndRun, FailAttempt, FinishStep, StepRef
from stepserve_core.executor.fault_words import (
    CHANGED,
    CHANGED_ARGUMENTS,
    EXECUTED_AGAIN,
    NONDETERMINISTIC,
    REPEATED,
    UNSIGNED,
    Finding,
    describe,
    sentence,
    show_change,
    show_steps,
)
from stepserve_core.faults import KINDS, Faults
from stepserve_core.history import EXECUTED_OPS

_log = logging.getLogger(__name__)

_EXECUTED = EXECUTED_OPS | {"Step"}
_MOST_RUNS, _MOST_FINDINGS = 10_000, 1_000
"""What is remembered at most: servers run for days."""

_EVENT_IDS = re.compile(rb'\{"data":\["[0-9A-Z]{26}"(?:,"[0-9A-Z]{26}")*\]\}')
"""What a step that sends events gives. Those that it sends again get other ids, and start nothing more."""

_END = ""
"""What stands for the end of a function among what it came to; no step has this id."""


class _Seen(msgspec.Struct):
    """What was seen of one run."""

    executions: Counter[tuple[str, int]] = msgspec.field(default_factory=Counter[tuple[str, int]])
    outputs: dict[str, bytes] = {}
    found: dict[tuple[object, ...], dict[str, str]] = {}


class FaultReport:
    """What happened, for tests and for people.

    `injected` counts the faults by kind, `without_effect` the clocks that were put wrong and that nobody looked at.
    The findings are tuples, in the order in which they were made:

    - `repeated`: steps that ran more than once for the same attempt. With faults that is to be expected: it says which
      steps must bear it.
    - `changed_arguments`: steps of our SDK that were given other arguments in a later call of their run. The process
      of the app finds that, and tells it here because the server asks.
    - `changed`: steps, and functions, whose output was another one when they ran again.
    - `nondeterministic`: functions that found other steps, although their memos were the same.
    - `executed_again`: steps that ran although their result was recorded. This never happens; if it does, the server
      or the SDK is broken.
    """

    def __init__(self, faults: Faults) -> None:
        self.faults = faults
        self.injected: Counter[str] = Counter()
        self.without_effect = 0
        self._told: set[tuple[str, str, str | None]] = set()
        self._findings: dict[str, dict[tuple[str, str | None], Finding]] = {}
        self._runs: OrderedDict[str, _Seen] = OrderedDict()

    @property
    def repeated(self) -> tuple[Finding, ...]:
        """Steps that ran more than once."""
        return self._of(REPEATED)

    @property
    def changed_arguments(self) -> tuple[Finding, ...]:
        """Steps whose arguments changed."""
        return self._of(CHANGED_ARGUMENTS)

    @property
    def changed(self) -> tuple[Finding, ...]:
        """Steps and functions whose output changed."""
        return self._of(CHANGED)

    @property
    def nondeterministic(self) -> tuple[Finding, ...]:
        """Functions that found other steps for the same memos."""
        return self._of(NONDETERMINISTIC)

    @property
    def executed_again(self) -> tuple[Finding, ...]:
        """Steps that ran although they had finished."""
        return self._of(EXECUTED_AGAIN)

    def text(self) -> str:
        """Return the report for people: what was found, what it means, and what to do."""
        kinds = [kind for kind in sorted(KINDS) if getattr(self.faults, kind) or self.injected[kind]]
        counts = ", ".join(f"{kind} {self.injected[kind]}" for kind in kinds) or "none"
        head = f"faults with seed {self.faults.seed}: {counts}"
        if self.without_effect:
            head += f" ({self.without_effect} more had no effect: {UNSIGNED})"
        lines = describe({what: findings.values() for what, findings in self._findings.items()})
        return "\n".join([head, *(lines or ["no step ran more than once, and nothing changed"])])

    def note(self, item: Claim, decisions: list[Decision], changed_arguments: Mapping[str, str]) -> None:
        """Take note of what a call came to, whether its answer counts or not; of arguments, both are in the values."""
        run = self._seen(item.run.id)
        for name, both in changed_arguments.items():
            self._add(CHANGED_ARGUMENTS, item, name, both)
        for decision in decisions:
            step = _step_of(decision)
            if step is not None and isinstance(decision, (FinishStep, FailAttempt)) and step.op in _EXECUTED:
                self._note_execution(run, item, step, decision)
        self._note_found(run, item, decisions)

    def _note_execution(self, run: _Seen, item: Claim, step: StepRef, decision: FinishStep | FailAttempt) -> None:
        key = (step.hash, item.work.attempt)
        run.executions[key] += 1
        times = run.executions[key]
        if times > 1:
            self._add(REPEATED, item, step.name, f"{times} times")
        if step.hash in item.state.stack:
            self._add(EXECUTED_AGAIN, item, step.name, "its memo was in the call")
        if isinstance(decision, FinishStep) and not decision.failed:
            self._compare_output(run, item, step.hash, step.name, decision.memo)

    def _compare_output(self, run: _Seen, item: Claim, key: str, name: str | None, output: bytes) -> None:
        before = run.outputs.setdefault(key, output)
        if before != output and not (_EVENT_IDS.fullmatch(before) and _EVENT_IDS.fullmatch(output)):
            self._add(CHANGED, item, name, show_change(before, output))

    def _note_found(self, run: _Seen, item: Claim, decisions: list[Decision]) -> None:
        found = {step.hash: step.name for decision in decisions if (step := _step_of(decision)) is not None}
        found |= {one.hash: one.name for one in decisions if isinstance(one, AddDefer)}
        end = next((one for one in decisions if isinstance(one, EndRun)), None)
        if end is not None and end.status == "Completed":
            found[_END] = _END
            self._compare_output(run, item, _END, None, end.output)
        if not found:
            return  # the function failed, or was not reached: that says nothing about what it would have found
        key = (item.work.step, item.work.attempt, item.run.force_plan, *item.state.stack)
        before = run.found.setdefault(key, found)
        if before.keys() != found.keys():
            first, second = (show_steps(name for hashed, name in one.items() if hashed) for one in (before, found))
            detail = f"called twice with the same results, it came to {first} once, and to {second} once"
            self._add(NONDETERMINISTIC, item, None, detail)

    def _add(self, what: str, item: Claim, step: str | None, detail: str) -> None:
        findings = self._findings.setdefault(what, {})
        key = (item.run.id, step)
        is_first = key not in findings and len(findings) < _MOST_FINDINGS
        if is_first or (key in findings and what == REPEATED):  # of the others the first is the one to look at
            finding = findings[key] = Finding(item.function.slug, item.run.id, step, detail)
            self._tell(what, finding)

    def _tell(self, what: str, finding: Finding) -> None:
        """Log the first finding of a step; its other runs are in the report."""
        key = (what, finding.function, finding.step)
        if key not in self._told:
            self._told.add(key)
            _log.log(logging.INFO if what == REPEATED else logging.WARNING, "%s", sentence(what, finding))

    def _of(self, what: str) -> tuple[Finding, ...]:
        return tuple(self._findings.get(what, {}).values())

    def _seen(self, run_id: str) -> _Seen:
        if run_id not in self._runs:
            self._runs[run_id] = _Seen()
            if len(self._runs) > _MOST_RUNS:
                self._runs.popitem(last=False)
        return self._runs[run_id]


def _step_of(decision: Decision) -> StepRef | None:
    step: object = getattr(decision, "step", None)
    return step if isinstance(step, StepRef) else None

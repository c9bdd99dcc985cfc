"""What a report of faults says to people: the findings, what they mean, and what to do. No I/O."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

REPEATED = "repeated"
CHANGED = "changed"
CHANGED_ARGUMENTS = "changed_arguments"
NONDETERMINISTIC = "nondeterministic"
EXECUTED_AGAIN = "executed_again"

UNSIGNED = "without a signing key, calls do not say when they were made; try clock_skew in a harness, or with keys"
"""Why a clock that is wrong makes no difference."""

_SHOWN = 60
"""Characters of an output that are shown."""


class Finding(NamedTuple):
    """Something that is worth a look. `step` is None where it is the function itself; `detail` is for people."""

    function: str
    run_id: str
    step: str | None
    detail: str

    @property
    def subject(self) -> str:
        """What it is about."""
        return (
            f"function {self.function!r}" if self.step is None else f"step {self.step!r} of function {self.function!r}"
        )


_SENTENCES = {
    EXECUTED_AGAIN: "ran although its result was recorded",
    NONDETERMINISTIC: "is not deterministic",
    CHANGED_ARGUMENTS: "was given other arguments when it was reached again",
    CHANGED: "gave another output when it ran again",
    REPEATED: "ran more than once",
}

_HEADINGS = {
    EXECUTED_AGAIN: "Ran although their result was recorded. This is a bug of the server or the SDK: please report it.",
    NONDETERMINISTIC: (
        "Not deterministic: called again with the same results, these came to other steps. Put whatever may differ"
        " between two calls (time, random numbers, queries, the order of a set) into a step, and use its result."
    ),
    CHANGED_ARGUMENTS: (
        "Given other arguments when they were reached again. What a step is given must come from the event or from"
        " steps: if it runs again it does something else, and what the function does besides is about another value."
    ),
    CHANGED: (
        "Gave another output when they ran again. Of a step, one of the outputs counts and the other is lost, with what"
        " was made of it; of a function, something in the output does not come from a step."
    ),
    REPEATED: (
        "Ran more than once for one attempt, as steps may if they are interrupted before their result is recorded. What"
        " they do elsewhere, such as a payment, must bear it: give it a key made of ctx.run_id and the step."
    ),
}
"""What findings mean, the worst first."""


def sentence(what: str, finding: Finding) -> str:
    """Return one finding for a log."""
    return f"{finding.subject} {_SENTENCES[what]}: {finding.detail} (run {finding.run_id})"


def describe(findings: dict[str, Iterable[Finding]]) -> list[str]:
    """Return lines for all findings, by what they are; those of one step stand in one line, whatever their run."""
    lines: list[str] = []
    for what, heading in _HEADINGS.items():
        groups: dict[str, list[Finding]] = {}
        for finding in findings.get(what, ()):
            groups.setdefault(finding.subject, []).append(finding)
        lines += [heading] if groups else []
        lines += [f"- {_line(group)}" for group in groups.values()]
    return lines


def _line(group: list[Finding]) -> str:
    first = group[0]
    others = f" and {len(group) - 1} more" if len(group) > 1 else ""
    return f"{first.subject}: {first.detail} (run {first.run_id}{others})"


def show_change(before: bytes, after: bytes) -> str:
    """Return two outputs from where they begin to differ, without what memos are wrapped in."""
    texts = [_unwrapped(output).decode(errors="replace") for output in (before, after)]
    if max(map(len, texts)) > _SHOWN:
        same = next((at for at, (a, b) in enumerate(zip(*texts, strict=False)) if a != b), min(map(len, texts)))
        begin = max(0, same - _SHOWN // 3)
        texts = [_cut(text, begin) for text in texts]
    return f"{texts[0]} and then {texts[1]}"


def _unwrapped(output: bytes) -> bytes:
    return output[len(b'{"data":') : -1] if output.startswith(b'{"data":') else output


def _cut(text: str, begin: int) -> str:
    shown = text[begin : begin + _SHOWN]
    return f"{'…' if begin else ''}{shown}{'…' if begin + _SHOWN < len(text) else ''}"


def show_steps(steps: Iterable[str]) -> str:
    """Return to which steps a call came; none at all is the end of the function."""
    names = [repr(step) for step in sorted(steps)]
    if not names:
        return "its end"
    return f"step{'s' if len(names) > 1 else ''} {', '.join(names)}"

"""Where our answers differ from the official ones on purpose (protocol.md 15.1, and our stricter checks)."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from tests.peers.differential.both import Answer
from tests.peers.differential.programs import Do
from tests.peers.differential.requests import Case


class Difference(NamedTuple):
    """A difference, why we want it, and how to tell it."""

    reason: str
    applies: Callable[[Case, Answer, Answer], bool]


def _code(answer: Answer) -> object:
    return answer.body.get("code") if isinstance(answer.body, dict) and answer.status == 500 else None


def _says(answer: Answer, text: str) -> bool:
    return _code(answer) == "step_unexpected" and text in answer.body["message"]


def _is_targeted_step_done(case: Case, official: Answer, ours: Answer) -> bool:
    del official
    return case.target in case.body["steps"] and ours.status in (200, 206)


def _is_work_kept(case: Case, official: Answer, ours: Answer) -> bool:
    has_failed = any(isinstance(memo, dict) and memo.get("error") for memo in case.body["steps"].values())
    is_reported = ours.status == 206 and [op["id"] for op in ours.body] == [case.target]
    return has_failed and is_reported and official.status == 500


def _is_target_missed(case: Case, official: Answer, ours: Answer) -> bool:
    del case, official
    return _says(ours, "the function ended without reaching the step")


def _is_target_missed_in_group(case: Case, official: Answer, ours: Answer) -> bool:
    del case, official
    return _says(ours, "no branch of a parallel group reached the step")


def _has_colliding_ids(case: Case, official: Answer, ours: Answer) -> bool:
    del official, ours
    names = [do.step_id for do in flat(case.program)]
    return "a:1" in names and names.count("a") > 1


def flat(program: tuple[Do, ...]) -> list[Do]:
    """Return everything that a program does, also in branches."""
    return [one for do in program for one in (do, *(inner for branch in do.branches for inner in branch))]


DIFFERENCES = {
    "done": Difference(
        "A targeted step that is memoised already: there every other step is skipped or an error; here the function"
        " goes on to what comes next (6.3).",
        _is_targeted_step_done,
    ),
    "work kept": Difference(
        "A targeted step beside a branch that failed: there the failure wins, and the step will run again; here the"
        " step is reported.",
        _is_work_kept,
    ),
    "missed": Difference(
        "A target that does not exist: there the function completes, here that is an error (15.1, 3).",
        _is_target_missed,
    ),
    "missed in a group": Difference(
        "A target that no branch of a group reaches: there the code after the group goes on, here that is an error"
        " (15.1, 3).",
        _is_target_missed_in_group,
    ),
    "colliding": Difference(
        'The repeat of a step "a" and a step named "a:1": there both have one id, here they do not (6.1).',
        _has_colliding_ids,
    ),
}


def find_difference(case: Case, official: Answer, ours: Answer) -> str | None:
    """Return the name of the difference that explains two answers that are not equal; None if there is none."""
    return next((name for name, one in DIFFERENCES.items() if one.applies(case, official, ours)), None)

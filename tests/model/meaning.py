"""What programs mean, once for the model and for both colours of functions: a generator of what they ask for.

It yields an `Asked` for every step and group, is sent its result, and is thrown its error.
"""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Generator
from typing import Any

from tests.model.programs import Break, Choose, Guard, Invoke, Kind, Repeat, Send, Sleep, Together, Wait, Work

Meaning = Generator["Asked", Any, Any]


class StepFailedError(Exception):
    """What programs catch: a step failed for good."""


@dataclasses.dataclass(frozen=True)
class Asked:
    """A step under the id that it has, with a label that tells its repeats apart; or a group of branches."""

    statement: Any
    step_id: str = ""
    label: str = ""
    branches: tuple[Meaning, ...] = ()

    @property
    def kind(self) -> Kind | None:
        """The kind of a group; None for steps."""
        return self.statement.kind if isinstance(self.statement, Together) else None


class Reading:
    """Reads the program of one function, in one call of it."""

    def __init__(self) -> None:
        self._uses: Counter[str] = Counter()
        self._groups: Counter[str] = Counter()

    def body(self, statements: tuple[Any, ...], prefix: str = "") -> Meaning:
        """Do one thing after the other; return what came of each."""
        values: list[Any] = []
        for statement in statements:
            values.append((yield from self._one(statement, prefix, values)))
        return values

    def _one(self, statement: Any, prefix: str, values: list[Any]) -> Meaning:
        match statement:
            case Choose():
                return (yield from self.body(statement.then if score(values) % 2 else statement.otherwise, prefix))
            case Repeat():
                rounds: list[Any] = []
                for _ in range(statement.times):
                    rounds.append((yield from self.body(statement.body, prefix)))
                return rounds
            case Guard():
                return (yield from self._guard(statement, prefix))
            case Together():
                return (yield self._group(statement, prefix))
            case _:
                return (yield from self._step(statement, prefix))

    def _step(self, statement: Work | Sleep | Wait | Send | Invoke | Break, prefix: str) -> Meaning:
        step_id = prefix + statement.name
        use = self._uses[step_id]
        self._uses[step_id] += 1
        asked = Asked(statement, step_id, f"{step_id} ({use})")
        if not (isinstance(statement, (Work, Invoke)) and statement.catches):
            return (yield asked)
        try:
            return (yield asked)
        except StepFailedError:
            return "caught"

    def _group(self, statement: Together, prefix: str) -> Asked:
        number = self._groups[prefix]
        self._groups[prefix] += 1
        branches = (self.body(body, f"{prefix}{number}/{n}/") for n, body in enumerate(statement.branches))
        return Asked(statement, branches=tuple(branches))

    def _guard(self, guard: Guard, prefix: str) -> Meaning:
        is_thrown_away = False
        value: Any = "caught"
        try:
            value = yield from self.body(guard.body, prefix)
        except GeneratorExit:
            is_thrown_away = True
            raise
        except StepFailedError:
            if not guard.catches:
                raise
        finally:
            if not is_thrown_away:
                cleaned = yield from self.body(guard.clean_up, prefix)
                value = [value, cleaned]
        return value


def score(value: Any) -> int:
    """Return a number that depends on everything in a value."""
    if isinstance(value, list):
        return sum(score(one) for one in value)
    return len(value) if isinstance(value, str) else int(value or 0)

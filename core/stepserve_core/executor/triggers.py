"""Which functions an event starts: name patterns and conditions (executor.md 3.1). No I/O."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping
from functools import lru_cache
from typing import Any

from stepserve_core.executor.expressions import ExpressionFailedError, compile_expression
from stepserve_core.executor.function_config import Trigger

_log = logging.getLogger(__name__)


@lru_cache(maxsize=4096)
def name_patterns(name: str) -> tuple[str, ...]:
    """Return every trigger name that matches the event `name`: itself, and each `prefix/*` and `prefix.*`."""
    patterns = [name]
    for position, character in enumerate(name):
        if character in "/.":
            patterns.append(f"{name[: position + 1]}*")
    return tuple(patterns)


class TriggerIndex:
    """The event triggers of all functions, found by name in constant time."""

    def __init__(self, functions: Iterable[tuple[str, list[Trigger]]]) -> None:
        """Index the triggers of (function id, triggers) pairs; their order within a function is kept."""
        self._by_name: dict[str, list[tuple[str, int, str | None]]] = {}
        for function_id, triggers in functions:
            for number, trigger in enumerate(triggers):
                if trigger.event is not None:
                    entry = (function_id, number, trigger.expression)
                    self._by_name.setdefault(trigger.event, []).append(entry)

    def match(self, name: str, event: Callable[[], Mapping[str, Any]]) -> list[str]:
        """Return the ids of the functions that this event starts, each once.

        A function's triggers are tried in order; one whose condition is false or fails does not count.
        `event` is only called where a condition has to be looked at.
        """
        candidates = [entry for pattern in name_patterns(name) for entry in self._by_name.get(pattern, ())]
        matched: dict[str, None] = {}
        for function_id, _, expression in sorted(candidates, key=_by_number):
            if function_id not in matched and _holds(expression, event, function_id):
                matched[function_id] = None
        return list(matched)


def _by_number(entry: tuple[str, int, str | None]) -> int:
    return entry[1]


def _holds(expression: str | None, event: Callable[[], Mapping[str, Any]], function_id: str) -> bool:
    if not expression:
        return True
    try:
        return compile_expression(expression).matches(event())
    except ExpressionFailedError as error:
        _log.warning("the trigger expression %r of function %s failed: %s", expression, function_id, error)
        return False

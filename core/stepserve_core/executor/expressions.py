"""Where expressions are compiled, evaluated and bound to an event: the dialect of CEL of executor.md 3.3. No I/O.

Triggers, waits, cancellations and the keys of flow control are written in it. The parts: `expression_syntax` (text
to tree), `expression_compiler` (tree to closures, `expression_evaluators`), `expression_operators`,
`expression_arithmetic`, `expression_functions` and `expression_times` (what they calculate),
`expression_values` (on what).
"""

from __future__ import annotations

import functools
import json
import math
import re
from collections.abc import Mapping
from typing import Any

from stepserve_core.executor.expression_compiler import Program, compile_program
from stepserve_core.executor.expression_values import (
    MISSING,
    ExpressionFailedError,
    ExpressionInvalidError,
    Scope,
    class_of,
    kind_of,
    to_json,
)

__all__ = ["Expression", "ExpressionFailedError", "ExpressionInvalidError", "compile_expression"]

MAX_STEPS = 1_000_000
"""Operators that one evaluation may apply in macros and over long values; some tenths of a second."""
_LONGEST_CACHED = 4096


class Expression:
    """A compiled expression; immutable, and safe to use in several threads."""

    __slots__ = ("_bound_event", "_bound_text", "_program", "_text")

    def __init__(self, text: str, program: Program, bound_event: Mapping[str, object] | None = None) -> None:
        self._text = text
        self._program = program
        self._bound_event = bound_event
        self._bound_text: str | None = None

    @property
    def text(self) -> str:
        """What the expression is compiled from; of a bound one, with the values of its event.

        Raises:
            ExpressionFailedError: a value of the event it is bound to is no JSON.
        """
        if self._bound_event is None:
            return self._text
        if self._bound_text is None:
            self._bound_text = self._write_bound(self._scope({}, None))
        return self._bound_text

    def evaluate(self, event: Mapping[str, object], awaited: Mapping[str, object] | None = None) -> object:
        """Return the value for `event`, with `awaited` as the variable `async` (executor.md 3.3).

        It is a value that JSON can carry; numbers of events are floats, an int is an int that the expression made.
        A missing attribute gives False.

        Raises:
            ExpressionFailedError: the values do not suit the operators, or the evaluation takes too long.
        """
        return to_json(_run(self._program.evaluate, self._scope(event, awaited)))

    def _scope(self, event: Mapping[str, object], awaited: Mapping[str, object] | None) -> Scope:
        return Scope(
            event if class_of(event) is dict else dict(event),
            MISSING if awaited is None else awaited if class_of(awaited) is dict else dict(awaited),
            bound_event=self._bound_event,
            locals_count=self._program.locals_count,
            steps=MAX_STEPS,
        )

    def matches(self, event: Mapping[str, object], awaited: Mapping[str, object] | None = None) -> bool:
        """Tell whether the expression is true for `event`.

        Raises:
            ExpressionFailedError: as `evaluate`, or the value is neither true nor false.
        """
        value = self.evaluate(event, awaited)
        if isinstance(value, bool):
            return value
        raise ExpressionFailedError(f"the expression must be true or false, but its value is a {kind_of(value)}")

    def bind(self, event: Mapping[str, object]) -> Expression:
        """Return the expression with its paths into `event` replaced by their values, a missing one by null.

        This is how a pause keeps it (executor.md 3.3 "Interpolation"); a text without "event." stays as it is. It
        costs next to nothing: nothing is compiled, and the text is written when it is asked for. Only a text that
        the values make longer than 4 MiB would not compile again.
        """
        if "event." not in self._text or not self._program.event_paths or self._bound_event is not None:
            return self
        return Expression(self._text, self._program, event if class_of(event) is dict else dict(event))

    def _write_bound(self, scope: Scope) -> str:
        pieces, end = list[str](), 0
        for path in self._program.event_paths:
            pieces += self._text[end : path.start], _literal(_run(path.evaluate, scope))
            end = path.end
            if self._text[end : end + 1].isalnum():  # event["a"]in b
                pieces.append(" ")
        return "".join([*pieces, self._text[end:]])

    def __repr__(self) -> str:
        """Show the text, of a bound one before it was bound."""
        return f"Expression({self._text!r})"


def compile_expression(text: str) -> Expression:
    """Compile `text`; the same text is compiled once.

    Raises:
        ExpressionInvalidError: not an expression; the message says where and what is allowed.
    """
    return _compile_cached(text) if len(text) <= _LONGEST_CACHED else Expression(text, compile_program(text))


@functools.lru_cache(maxsize=1024)
def _compile_cached(text: str) -> Expression:
    return Expression(text, compile_program(text))


def _run(evaluate: Any, scope: Scope) -> Any:
    try:
        return evaluate(scope)
    except RecursionError:
        raise ExpressionFailedError("the values are nested too deeply to be compared") from None


_LONE_SURROGATE = re.compile("[\ud800-\udfff]")


def _literal(value: Any) -> str:
    """Write a value drawn from an event so that it compiles to the same value."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float):
        text = repr(value) if math.isfinite(value) else f'double("{value}")'
        return f"({text})" if text.startswith("-") else text
    try:
        if isinstance(value, str):
            return _json_text(value)
        # One token, however large the value; a quote inside is written as JSON's escape.
        is_map = class_of(value) is dict
        raw = _json_text(value if is_map else {"value": value}).replace("'", "\\u0027")
    except (TypeError, ValueError, RecursionError) as error:
        raise ExpressionFailedError(f"the event cannot be written into the expression: {error}") from None
    return f"json_parse(r'{raw}')" if is_map else f"json_parse(r'{raw}').value"


def _json_text(value: object) -> str:
    # A lone surrogate cannot be stored as UTF-8; expressions and JSON write it with the same escape.
    text = json.dumps(value, ensure_ascii=False)
    return _LONE_SURROGATE.sub(lambda match: f"\\u{ord(match[0]):04x}", text)

"""Keys of flow control: the value of an expression over the trigger event, as a short text. No I/O."""

from __future__ import annotations

import hashlib

from stepserve_core.executor import fragments
from stepserve_core.executor.events import Event
from stepserve_core.executor.expressions import ExpressionFailedError, compile_expression


def evaluate_key(expression: str, event: Event) -> bytes | None:
    """Return the key's value as canonical JSON; None where it is false, as a missing attribute is.

    Raises:
        ExpressionFailedError: it has no value that can be a key.
    """
    value = compile_expression(expression).evaluate(event.value())
    if value is False:
        return None
    try:
        return fragments.encode(value)
    except (TypeError, ValueError, RecursionError) as error:
        raise ExpressionFailedError(f"the value cannot be a key: {error}") from None


def digest(value: bytes) -> str:
    """Return a short text that stands for `value` in keys."""
    return hashlib.sha256(value).hexdigest()[:24]


def name_key(owner: str, expression: str | None, value: bytes) -> str:
    """Return the key of one value of one expression. Another expression counts anew."""
    return owner if expression is None else f"{owner}:{digest(expression.encode())}:{digest(value)}"

"""Priority: how many seconds older than it is a run counts (executor.md 7.7). No I/O."""

from __future__ import annotations

import logging

from stepserve_core.executor.events import Event
from stepserve_core.executor.expressions import ExpressionFailedError, compile_expression

_log = logging.getLogger(__name__)

_MOST = 43_200


def read_factor(expression: str, event: Event) -> int:
    """Return the seconds that the expression gives, within ±12 hours.

    Only an integer counts: numbers of events are floats, and 0 unless the expression converts them with `int()`.
    """
    try:
        factor = compile_expression(expression).evaluate(event.value())
    except ExpressionFailedError as error:
        _log.warning("the priority %r failed and counts as 0: %s", expression, error)
        return 0
    if not isinstance(factor, int) or isinstance(factor, bool):
        return 0
    return min(max(factor, -_MOST), _MOST)

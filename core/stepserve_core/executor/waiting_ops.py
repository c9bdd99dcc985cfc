"""Ops that finish later: planned steps, sleeps, waits, signals, invocations, gateway requests, defers. No I/O.

See executor.md 5.4 to 5.10.
"""

from __future__ import annotations

from typing import Any

from stepserve_core._canonical import canonicalize
from stepserve_core.executor import fragments, limits
from stepserve_core.executor.answers import Op
from stepserve_core.executor.decisions import (
    AI_GATEWAY,
    GATEWAY,
    AddDefer,
    Decision,
    GatewayStep,
    InvokeStep,
    PlanStep,
    SleepStep,
    StepRef,
    WaitSignalStep,
    WaitStep,
)
from stepserve_core.executor.expressions import ExpressionInvalidError, compile_expression
from stepserve_core.executor.moments import parse_moment


class OpInvalidError(ValueError):
    """An op that lacks something or cannot be read: a failed attempt, which may be retried."""


class RunFailedError(Exception):
    """Something that fails the run at once, whatever retries remain (executor.md 16, item 22)."""

    def __init__(self, name: str, message: str) -> None:
        super().__init__(message)
        self.name = name


def plan_waiting(op: Op, step: StepRef, now: float) -> Decision:
    """Return what to do for an op that finishes later.

    Raises:
        OpInvalidError: a field is missing or unreadable.
        RunFailedError: it would wait too long, or its expression does not compile.
    """
    match op.op:
        case "StepPlanned":
            return PlanStep(step)
        case "Sleep":
            return SleepStep(step, _moment(op, op.option("duration") or op.name, now, default=0.0))
        case "WaitForEvent":
            return _plan_wait(op, step, now)
        case "WaitForSignal":
            return _plan_signal_wait(op, step, now)
        case "InvokeFunction":
            return _plan_invoke(op, step, now)
        case "AIGateway" | "Gateway":
            return _plan_gateway(op, step)
        case _:
            raise OpInvalidError(f"the opcode {op.op} cannot stand here")


def _plan_wait(op: Op, step: StepRef, now: float) -> WaitStep:
    event_name = _text(op, "event") or op.name
    if not event_name:
        raise OpInvalidError(f"step {op.label!r} waits for an event without a name")
    expression = _text(op, "if")
    if expression:
        try:
            compile_expression(expression)
        except ExpressionInvalidError as error:
            message = f"the expression {expression!r} of step {op.label!r} cannot be used: {error}"
            raise RunFailedError("InvalidExpression", message) from None
    return WaitStep(step, event_name, expression, _moment(op, op.option("timeout"), now, default=0.0))


def _plan_signal_wait(op: Op, step: StepRef, now: float) -> WaitSignalStep:
    signal, conflict = _text(op, "signal"), _text(op, "conflict") or "fail"
    if not signal:
        raise OpInvalidError(f"step {op.label!r} waits for a signal without a name")
    if conflict not in ("fail", "replace"):
        raise OpInvalidError(f"step {op.label!r}: opts.conflict must be fail or replace, not {conflict!r}")
    expires_at = _moment(op, op.option("timeout"), now, default=limits.SIGNAL_TIMEOUT)
    return WaitSignalStep(step, signal, conflict == "replace", expires_at)


def _plan_invoke(op: Op, step: StepRef, now: float) -> InvokeStep:
    function = _text(op, "function_id")
    payload: Any = op.option("payload")
    if not function:
        raise OpInvalidError(f"step {op.label!r} invokes a function without an id")
    if not isinstance(payload, dict):
        raise OpInvalidError(f"step {op.label!r} invokes {function!r} without a payload")
    expires_at = _moment(op, op.option("timeout"), now, default=limits.INVOKE_TIMEOUT)
    return InvokeStep(step, function, payload, expires_at)  # pyright: ignore[reportUnknownArgumentType] - JSON


def _plan_gateway(op: Op, step: StepRef) -> GatewayStep:
    url = _text(op, "url") or ""
    if not url.startswith(("http://", "https://")):
        raise OpInvalidError(f"step {op.label!r} names no http or https URL")
    parts = {
        key: canonicalize(bytes(raw)) for key, raw in (op.opts or {}).items() if key.isascii() and key.isidentifier()
    }
    if op.op == "AIGateway":
        return GatewayStep(step, fragments.join_object(parts), AI_GATEWAY)
    body: object = op.option("body")
    if body is not None and not isinstance(body, str):
        raise OpInvalidError(f"step {op.label!r}: opts.body must be text")
    return GatewayStep(step, fragments.join_object(parts), GATEWAY)


def plan_defer(op: Op) -> AddDefer:
    """Return what to do for a defer. One that cannot be is noted and never fails the run (executor.md 5.10)."""
    slug: object = op.option("fn_slug")
    given = (op.opts or {}).get("input", b"{}")
    content = canonicalize(bytes(given))
    if not isinstance(slug, str) or not slug:
        return AddDefer(op.id, op.label, "", b"{}", "it names no function")
    if content[:1] != b"{":
        return AddDefer(op.id, op.label, slug, b"{}", "its input is no object")
    return AddDefer(op.id, op.label, slug, content)


def _text(op: Op, key: str) -> str | None:
    value = op.option(key)
    if value is None or isinstance(value, str):
        return value
    raise OpInvalidError(f"step {op.label!r}: opts.{key} must be text")


def _moment(op: Op, text: object, now: float, *, default: float) -> float:
    """Return when a wait ends. Empty texts take the default; durations over 366 days fail the run."""
    if text is None or text == "":
        return now + default
    if not isinstance(text, str):
        raise OpInvalidError(f"step {op.label!r}: {text!r} is neither a duration nor a date")
    try:
        moment = parse_moment(text, now)
    except (ValueError, OverflowError):
        raise OpInvalidError(f"step {op.label!r}: {text!r} is neither a duration nor a date") from None
    if moment - now > limits.LONGEST_WAIT:
        raise RunFailedError("InngestErrTimeoutTooLong", f"step {op.label!r} waits longer than 366 days ({text})")
    return moment

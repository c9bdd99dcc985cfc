"""The rules that a function's options must obey (executor.md 1.9, last table). No I/O."""

from __future__ import annotations

import re
from collections.abc import Iterator
from urllib.parse import urlsplit

from stepserve_core._durations import parse
from stepserve_core.executor.expressions import ExpressionInvalidError, compile_expression
from stepserve_core.executor.function_config import ConcurrencyLimit, FunctionConfig, Trigger
from stepserve_core.executor.schedules import ScheduleInvalidError, parse_schedule

_SECOND, _MINUTE, _DAY = 1000, 60_000, 86_400_000
_TEXT_LIMIT = 255
_GO_UNITS = re.compile(r"(?:[0-9]+(?:\.[0-9]+)?(?:ns|us|µs|ms|s|m|h))+")


def find_problems(config: FunctionConfig) -> list[str]:
    """Return one message for every rule that `config` breaks."""
    rules = (_basics, _triggers, _concurrency, _cancellations, _rates, _expressions, _batch)
    return [problem for rule in rules for problem in rule(config)]


def _basics(config: FunctionConfig) -> Iterator[str]:
    if not config.id:
        yield "id is empty"
    if not config.name:
        yield "name is empty"
    if len(config.steps) != 1:
        yield f"steps must hold exactly one step, not {len(config.steps)}"
    for step in config.steps.values():
        if _scheme(step.runtime.url) not in ("http", "https", "ws", "wss"):
            yield f"runtime.url must begin with http, https, ws or wss, not {step.runtime.url!r}"
        if step.retries is not None and (step.retries.attempts or 0) < 0:
            yield "retries.attempts must not be negative"
    if config.singleton is not None and config.singleton.mode not in ("skip", "cancel"):
        yield f"singleton.mode must be skip or cancel, not {config.singleton.mode!r}"


def _scheme(url: str) -> str:
    try:
        return urlsplit(url).scheme
    except ValueError:  # brackets around what is no address
        return ""


def _triggers(config: FunctionConfig) -> Iterator[str]:
    if len(config.triggers) > 10:
        yield f"at most 10 triggers, not {len(config.triggers)}"
    seen: set[tuple[str | None, ...]] = set()
    for number, trigger in enumerate(config.triggers):
        key = ("cron", trigger.cron) if trigger.cron else (trigger.event, trigger.expression)
        if key in seen:
            yield f"triggers[{number}] repeats another one"
        seen.add(key)
        yield from (f"triggers[{number}]: {problem}" for problem in _trigger(trigger))


def _trigger(trigger: Trigger) -> Iterator[str]:
    if (trigger.event is None) == (trigger.cron is None):
        yield "needs either event or cron"
    elif trigger.event is not None:
        if not trigger.event:
            yield "event is empty"
        if len(trigger.event) > _TEXT_LIMIT:
            yield f"event is longer than {_TEXT_LIMIT} characters"
        yield from _expression("expression", trigger.expression)
    else:
        yield from _cron(trigger)


def _cron(trigger: Trigger) -> Iterator[str]:
    text = trigger.cron or ""
    if len(text) > _TEXT_LIMIT:
        yield f"cron is longer than {_TEXT_LIMIT} characters"
        return
    try:
        parse_schedule(text)
    except ScheduleInvalidError as error:
        yield f"cron: {error}"
    yield from _duration("jitter", trigger.jitter, _SECOND, 5 * _MINUTE)


def _concurrency(config: FunctionConfig) -> Iterator[str]:
    if len(config.concurrency) > 2:
        yield f"at most 2 concurrency limits, not {len(config.concurrency)}"
    if len(config.run_concurrency) > 1:
        yield "at most one concurrency limit for whole runs"
    for limit in [*config.concurrency, *config.run_concurrency]:
        yield from (f"concurrency: {problem}" for problem in _limit(limit))


def _limit(limit: ConcurrencyLimit) -> Iterator[str]:
    if limit.limit < 0:
        yield "limit must not be negative"
    if limit.scope not in (None, "fn", "env", "account"):
        yield f"scope must be fn, env or account, not {limit.scope!r}"
    elif limit.scope in ("env", "account") and not limit.key:
        yield f"scope {limit.scope} needs a key"
    yield from _expression("key", limit.key)


def _cancellations(config: FunctionConfig) -> Iterator[str]:
    if len(config.cancel) > 5:
        yield f"at most 5 cancellations, not {len(config.cancel)}"
    for number, cancel in enumerate(config.cancel):
        if not cancel.event:
            yield f"cancel[{number}]: event is empty"
        yield from _expression(f"cancel[{number}].if", cancel.if_)
        yield from _duration(f"cancel[{number}].timeout", cancel.timeout, 0, 365 * _DAY)


def _rates(config: FunctionConfig) -> Iterator[str]:
    if config.debounce is not None:
        yield from _duration("debounce.period", config.debounce.period, _SECOND, 7 * _DAY)
        yield from _duration("debounce.timeout", config.debounce.timeout, _SECOND, None)
    if config.rate_limit is not None:
        yield from _duration("rateLimit.period", config.rate_limit.period, 1, _DAY)
        if config.rate_limit.limit <= 0:
            yield "rateLimit.limit must be positive"
    if config.throttle is not None:
        yield from _duration("throttle.period", config.throttle.period, _SECOND, None)
    if config.timeouts is not None:
        yield from _duration("timeouts.start", config.timeouts.start, 0, None)
        yield from _duration("timeouts.finish", config.timeouts.finish, 0, None)


def _expressions(config: FunctionConfig) -> Iterator[str]:
    yield from _expression("idempotency", config.idempotency)
    if config.priority is not None:
        yield from _expression("priority.run", config.priority.run)
    keyed = {"debounce": config.debounce, "rateLimit": config.rate_limit, "throttle": config.throttle}
    for name, option in {**keyed, "singleton": config.singleton, "batchEvents": config.batch_events}.items():
        if option is not None:
            yield from _expression(f"{name}.key", option.key)


def _batch(config: FunctionConfig) -> Iterator[str]:
    batch = config.batch_events
    if batch is None:
        return
    if batch.max_size < 2:
        yield "batchEvents.maxSize must be at least 2"
    if _GO_UNITS.fullmatch(batch.timeout) is None:
        yield f"batchEvents.timeout {batch.timeout!r} must be written with h, m, s or ms; it knows no days and weeks"
    else:
        yield from _duration("batchEvents.timeout", batch.timeout, _SECOND, None)
    yield from _expression("batchEvents.if", batch.if_)
    others = ("cancel", "debounce", "singleton", "priority")
    for other in (name for name in others if getattr(config, name)):
        yield f"combo_unsupported: batchEvents cannot be combined with {other}"


def _expression(label: str, text: str | None) -> Iterator[str]:
    if text is None:
        return
    try:
        compile_expression(text)
    except ExpressionInvalidError as error:
        yield f"{label}: {error}"


def _duration(label: str, text: str | None, least: int, most: int | None) -> Iterator[str]:
    if text is None:
        return
    try:
        milliseconds = parse(text)
    except ValueError as error:
        yield f"{label}: {error}"
        return
    if milliseconds < least:
        yield f"{label} is shorter than {least} ms"
    if most is not None and milliseconds > most:
        yield f"{label} is longer than {most} ms"

"""What an app registers: the body of `POST /fn/register`, read and checked (executor.md 1.8 and 1.9). No I/O."""

from __future__ import annotations

import hashlib
from typing import Any

import msgspec

from stepserve_core.executor import limits
from stepserve_core.executor.function_rules import find_problems


class RegistrationInvalidError(ValueError):
    """A registration that cannot be accepted; `problems` holds every message."""

    def __init__(self, message: str, problems: list[str] | None = None) -> None:
        super().__init__(message)
        self.problems = problems or []


class Trigger(msgspec.Struct, frozen=True, omit_defaults=True):
    """What starts a function: an event, perhaps under a condition, or a schedule."""

    event: str | None = None
    expression: str | None = None
    cron: str | None = None
    jitter: str | None = None


class Runtime(msgspec.Struct, frozen=True):
    """Where the function is called."""

    url: str
    type: str = "http"


class Retries(msgspec.Struct, frozen=True, omit_defaults=True):
    """Retries after the first attempt; None means the default."""

    attempts: int | None = None


class StepConfig(msgspec.Struct, frozen=True):
    """The one entry point of a function."""

    runtime: Runtime
    id: str = "step"
    name: str = "step"
    retries: Retries | None = None


class ConcurrencyLimit(msgspec.Struct, frozen=True, omit_defaults=True):
    """How many calls may be under way at once (executor.md 7.2)."""

    limit: int
    key: str | None = None
    scope: str | None = None


class Cancel(msgspec.Struct, frozen=True, omit_defaults=True):
    """An event that cancels a run."""

    event: str
    if_: str | None = msgspec.field(default=None, name="if")
    timeout: str | None = None


class Batch(msgspec.Struct, frozen=True, omit_defaults=True, rename="camel"):
    """Several events in one run."""

    max_size: int
    timeout: str
    key: str | None = None
    if_: str | None = msgspec.field(default=None, name="if")


class Debounce(msgspec.Struct, frozen=True, omit_defaults=True):
    """Start after a quiet period."""

    period: str
    key: str | None = None
    timeout: str | None = None


class RateLimit(msgspec.Struct, frozen=True, omit_defaults=True):
    """Drop events above a rate."""

    limit: int
    period: str
    key: str | None = None


class Throttle(msgspec.Struct, frozen=True, omit_defaults=True):
    """Delay starts above a rate."""

    limit: int
    period: str
    burst: int = 1
    key: str | None = None


class Priority(msgspec.Struct, frozen=True):
    """Which runs go first."""

    run: str


class Singleton(msgspec.Struct, frozen=True, omit_defaults=True):
    """One run at a time."""

    mode: str
    key: str | None = None


class Timeouts(msgspec.Struct, frozen=True, omit_defaults=True):
    """How long a run may wait to start, and to finish."""

    start: str | None = None
    finish: str | None = None


class FunctionConfig(msgspec.Struct, frozen=True, omit_defaults=True, rename="camel"):
    """A function as it is stored. `concurrency` limits calls, `run_concurrency` whole runs."""

    id: str
    name: str
    steps: dict[str, StepConfig]
    triggers: list[Trigger] = []
    concurrency: list[ConcurrencyLimit] = []
    run_concurrency: list[ConcurrencyLimit] = []
    cancel: list[Cancel] = []
    batch_events: Batch | None = None
    debounce: Debounce | None = None
    idempotency: str | None = None
    priority: Priority | None = None
    rate_limit: RateLimit | None = None
    singleton: Singleton | None = None
    throttle: Throttle | None = None
    timeouts: Timeouts | None = None
    retries: int | None = None
    checkpoint: dict[str, Any] | None = None

    @property
    def url(self) -> str:
        """Where the function is called, with `fnId` and `stepId` in the query."""
        return next(iter(self.steps.values())).runtime.url

    @property
    def max_attempts(self) -> int:
        """Attempts in total: the configured number is one of retries (executor.md 1.9)."""
        configured = next(iter(self.steps.values())).retries
        retries = self.retries if configured is None or configured.attempts is None else configured.attempts
        retries = limits.DEFAULT_RETRIES if retries is None else retries
        return min(max(retries, 0), limits.MOST_RETRIES) + 1


class Registration(msgspec.Struct, frozen=True):
    """An app and its functions. `checksum` changes when anything of it changes."""

    app_name: str
    url: str
    sdk: str
    framework: str
    functions: list[FunctionConfig]
    checksum: str
    app_version: str | None = None


# Options that are stored and checked but not acted upon yet; each is named in the log at registration.
_NOT_ENFORCED = {
    "batch_events": "batchEvents",
    "debounce": "debounce",
    "idempotency": "idempotency",
    "priority": "priority",
    "rate_limit": "rateLimit",
    "run_concurrency": "concurrency.fn",
    "singleton": "singleton",
    "throttle": "throttle",
    "timeouts": "timeouts",
}


def options_not_enforced(config: FunctionConfig) -> list[str]:
    """Name the options of a function that this executor does not act upon yet."""
    named = [label for field, label in _NOT_ENFORCED.items() if getattr(config, field)]
    if any(trigger.jitter for trigger in config.triggers):
        named.append("cron jitter")
    return named


def read_registration(body: bytes) -> Registration:
    """Read a registration. Keys of the top level match whatever their case, as upstream's do.

    Raises:
        RegistrationInvalidError: it cannot be used; `problems` names each function and field.
    """
    fields = _read_object(body)
    app_name = fields.get("appname")
    if not isinstance(app_name, str) or not app_name:
        raise RegistrationInvalidError("App ID required")
    raws = fields.get("functions")
    if raws is None:
        raws = []
    if not isinstance(raws, list):
        raise RegistrationInvalidError("functions must be a list")
    functions: list[FunctionConfig] = []
    problems: list[str] = []
    for index, raw in enumerate(raws):  # pyright: ignore[reportUnknownVariableType, reportUnknownArgumentType] - JSON
        config = _read_function(raw, index, problems)
        if config is not None:
            functions.append(config)
    problems += _find_duplicates(functions)
    if problems:
        raise RegistrationInvalidError("At least one function is invalid", problems)
    return Registration(
        app_name=app_name,
        url=_text(fields, "url"),
        sdk=_text(fields, "sdk"),
        framework=_text(fields, "framework"),
        functions=functions,
        checksum=_checksum(fields),
        app_version=_text(fields, "appversion") or None,
    )


def _read_object(body: bytes) -> dict[str, Any]:
    try:
        decoded = msgspec.json.decode(body, type=dict[str, Any])
    except (ValueError, RecursionError) as error:
        raise RegistrationInvalidError(f"the registration is not a JSON object: {error}") from None
    return {key.lower(): value for key, value in decoded.items()}


def _text(fields: dict[str, Any], key: str) -> str:
    value = fields.get(key)
    return value if isinstance(value, str) else ""


def _checksum(fields: dict[str, Any]) -> str:
    known = {key: value for key, value in fields.items() if key not in ("featureobservations", "idempotencykey")}
    return hashlib.sha256(msgspec.json.encode(known, order="sorted")).hexdigest()


def _find_duplicates(functions: list[FunctionConfig]) -> list[str]:
    seen: set[str] = set()
    duplicates: list[str] = []
    for function in functions:
        if function.id in seen:
            duplicates.append(f"function {function.id!r}: the id is used twice")
        seen.add(function.id)
    return duplicates


def _read_function(raw: object, index: int, problems: list[str]) -> FunctionConfig | None:
    """Convert field by field, so that one wrong field does not hide the others."""
    if not isinstance(raw, dict):
        problems.append(f"function {index}: must be an object")
        return None
    given: dict[str, Any] = {key: value for key, value in raw.items() if value is not None}  # pyright: ignore[reportUnknownVariableType] - JSON
    label = f"function {given.get('id', index)!r}"
    _split_concurrency(given)
    values: dict[str, Any] = {}
    broken = False
    for field in msgspec.structs.fields(FunctionConfig):
        if field.encode_name in given:
            try:
                values[field.name] = msgspec.convert(given[field.encode_name], field.type)
            except msgspec.ValidationError as error:
                problems.append(f"{label}: {field.encode_name}: {error}")
                broken = True
        elif field.required:
            problems.append(f"{label}: {field.encode_name} is missing")
            broken = True
    if broken:
        return None
    config = FunctionConfig(**values)
    problems += [f"{label}: {problem}" for problem in find_problems(config)]
    return config


def _split_concurrency(given: dict[str, Any]) -> None:
    """Bring the four forms of `concurrency` (1.9) into two lists: limits of calls, and of whole runs."""
    value = given.get("concurrency")
    if isinstance(value, int) and not isinstance(value, bool):
        given["concurrency"] = [{"limit": value}] if value else []
    elif isinstance(value, dict) and ("fn" in value or "step" in value):
        given["concurrency"] = value.get("step") or []  # pyright: ignore[reportUnknownMemberType] - JSON
        given["runConcurrency"] = value.get("fn") or []  # pyright: ignore[reportUnknownMemberType] - JSON
    elif isinstance(value, dict):
        given["concurrency"] = [value]

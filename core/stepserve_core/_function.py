"""Functions: what the decorator makes of a handler, and its registration (protocol.md 4.6)."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Awaitable, Callable, Iterable
from typing import TYPE_CHECKING, Any, Generic, TypeVar, cast

import msgspec

from stepserve_core._checkpointing import Checkpointing, find_problems, resolve
from stepserve_core._config import (
    Batch,
    Cancel,
    Concurrency,
    Debounce,
    Option,
    Priority,
    RateLimit,
    Singleton,
    Throttle,
    Timeouts,
    Trigger,
    TriggerCron,
    TriggerDeferred,
    TriggerEvent,
    strip_nulls,
)
from stepserve_core._event_type import EventTypes
from stepserve_core._middleware import UninitializedMiddleware
from stepserve_core._triggering import event_name
from stepserve_core.errors import Error, FunctionConfigInvalidError

if TYPE_CHECKING:
    from stepserve_core._context import Context, ContextSync

    Handler = Callable[[Context[Any]], Awaitable[Any]] | Callable[[ContextSync[Any]], Any]

T_co = TypeVar("T_co", covariant=True)

MAX_RETRIES = 20


class FunctionOptions(msgspec.Struct, frozen=True):
    """The arguments of `create_function`."""

    fn_id: str
    name: str | None
    triggers: list[Trigger]
    batch_events: Batch | None
    cancel: list[Cancel] | None
    checkpointing: bool | Checkpointing | None
    concurrency: list[Concurrency] | None
    debounce: Debounce | None
    idempotency: str | None
    on_cancel: Handler | None
    on_failure: Handler | None
    priority: Priority | None
    rate_limit: RateLimit | None
    retries: int | None
    singleton: Singleton | None
    throttle: Throttle | None
    timeouts: Timeouts | None

    def validate(self) -> None:
        """Check every option.

        Raises:
            FunctionConfigInvalidError: names the function and every option that the server would refuse.
        """
        if not isinstance(self.fn_id, str) or not self.fn_id.strip():
            raise FunctionConfigInvalidError("create_function: fn_id must be text, such as fn_id='charge-order'")
        problems = [*self._wrong_triggers(), *self._wrong_options(), *self._wrong_combinations()]
        problems += find_problems(self.checkpointing)
        if problems:
            raise FunctionConfigInvalidError(f"function {self.fn_id!r}: {'; '.join(problems)}")

    def _wrong_triggers(self) -> Iterable[str]:
        if not self.triggers:
            yield "trigger: there must be at least one"
        if len(self.triggers) > 10:
            yield f"trigger: at most 10, not {len(self.triggers)}"
        for trigger in self.triggers:
            if not isinstance(trigger, (TriggerCron, TriggerDeferred, TriggerEvent)):
                yield (
                    "trigger: must be TriggerEvent(event=…), TriggerCron(cron=…) or an EventType,"
                    f" not {type(trigger).__name__}"
                )
            else:
                yield from (f"trigger.{problem.field} {problem.text}" for problem in trigger.problems())
        if len({repr(trigger) for trigger in self.triggers}) < len(self.triggers):
            yield "trigger: two are the same"

    def _wrong_options(self) -> Iterable[str]:
        for name, expected in _OPTIONS.items():
            value = getattr(self, name)
            if value is None:
                continue
            most = _LISTS.get(name)
            if most is not None and not isinstance(value, list):
                yield f"{name}: must be a list of {expected.__name__}(…), not {type(value).__name__}"
                continue
            if most is not None and len(value) > most:
                yield f"{name}: at most {most}"
            for option in value if most is not None else [value]:
                if not isinstance(option, expected):
                    yield f"{name}: must be {expected.__name__}(…), not {type(option).__name__}"
                else:
                    yield from (f"{name}.{problem.field} {problem.text}" for problem in option.problems())
        if self.retries is not None and not (type(self.retries) is int and 0 <= self.retries <= MAX_RETRIES):
            yield f"retries: must be a whole number from 0 to {MAX_RETRIES}, not {self.retries!r}"
        if self.idempotency is not None and not (isinstance(self.idempotency, str) and self.idempotency.strip()):
            yield "idempotency: must be an expression, such as 'event.data.order_id'"

    def _wrong_combinations(self) -> Iterable[str]:
        if self.batch_events is not None:
            for name in ("cancel", "debounce", "singleton", "priority"):
                if getattr(self, name):
                    yield f"batch_events: cannot be combined with {name}"


_OPTIONS: dict[str, type[Option]] = {
    "batch_events": Batch,
    "cancel": Cancel,
    "concurrency": Concurrency,
    "debounce": Debounce,
    "priority": Priority,
    "rate_limit": RateLimit,
    "singleton": Singleton,
    "throttle": Throttle,
    "timeouts": Timeouts,
}
_LISTS = {"cancel": 5, "concurrency": 2}
"""The options that are lists, and how long these may be."""


class FunctionConfig(msgspec.Struct, frozen=True):
    """What is registered: the function, and its handlers of failures and cancellations if it has them."""

    main: dict[str, Any]
    on_failure: dict[str, Any] | None
    on_cancel: dict[str, Any] | None = None


class Function(Generic[T_co]):
    """A durable function, made by `create_function`: serve it, or invoke it from another one (protocol.md 10.3)."""

    def __init__(
        self,
        app_id: str,
        options: FunctionOptions,
        handler: Handler,
        output_type: object,
        middleware: list[UninitializedMiddleware],
        checkpointing: bool | Checkpointing | None = None,
    ) -> None:
        options.validate()
        self._app_id = app_id
        self._options = options
        self.handler = handler
        self.output_type = output_type
        self.middleware = middleware
        self.checkpointing = resolve(options.checkpointing, checkpointing)
        """How it goes on after steps; None if it does not."""
        self.event_types = EventTypes(options.triggers)
        self.is_handler_async = is_async(handler)
        self._refuse_mixed_colours("on_failure", options.on_failure)
        self._refuse_mixed_colours("on_cancel", options.on_cancel)

    def _refuse_mixed_colours(self, name: str, companion: Handler | None) -> None:
        if companion is not None and is_async(companion) != self.is_handler_async:
            kinds = ("an async", "non-async") if self.is_handler_async else ("a non-async", "async")
            raise Error(
                f"{kinds[0]} function cannot have a{'n' if kinds[1] == 'async' else ''} {kinds[1]} {name} handler"
                f" (function {self.local_id})"
            )

    @property
    def app_id(self) -> str:
        """Return the id of the app whose client made the function."""
        return self._app_id

    @property
    def id(self) -> str:
        """The id with the app's, as the server knows it."""
        return f"{self._app_id}-{self._options.fn_id}"

    @property
    def local_id(self) -> str:
        """The id without the app's."""
        return self._options.fn_id

    @property
    def name(self) -> str:
        """The name for people."""
        return self._options.name or self._options.fn_id

    @property
    def event_names(self) -> list[str]:
        """The names of the events that start it."""
        return [str(event_name(one.event)) for one in self._options.triggers if isinstance(one, TriggerEvent)]

    @property
    def retries(self) -> int | None:
        """How often a failed step is tried again; None for the server's default, 4."""
        return self._options.retries

    @property
    def on_failure_handler(self) -> Handler | None:
        """What is called when a run fails for good."""
        return self._options.on_failure

    @property
    def is_on_failure_handler_async(self) -> bool | None:
        """The colour of the failure handler; None without one."""
        return None if self._options.on_failure is None else is_async(self._options.on_failure)

    @property
    def on_failure_fn_id(self) -> str | None:
        """The id of the failure handler, as the server knows it; None without one."""
        return None if self._options.on_failure is None else f"{self.id}-failure"

    @property
    def on_cancel_handler(self) -> Handler | None:
        """What is called when a run was cancelled."""
        return self._options.on_cancel

    @property
    def on_cancel_fn_id(self) -> str | None:
        """The id of the handler of cancellations, as the server knows it; None without one."""
        return None if self._options.on_cancel is None else f"{self.id}-cancel"

    def companion(self, function_id: str) -> Handler | None:
        """Return the handler of failures or cancellations with this id; None where it is the id of the function."""
        if function_id == self.id:
            return None
        return self.on_failure_handler if function_id == self.on_failure_fn_id else self.on_cancel_handler

    def get_id(self) -> str:
        """Return `id`."""
        return self.id

    def get_config(self, app_url: str) -> FunctionConfig:
        """Return what is registered for an app that is served at `app_url`."""
        failure = self._companion_config(app_url, self.on_failure_fn_id, "failure", "inngest/function.failed")
        cancel = self._companion_config(app_url, self.on_cancel_fn_id, "cancel", "inngest/function.cancelled")
        return FunctionConfig(self._main_config(app_url), failure, cancel)

    def _main_config(self, app_url: str) -> dict[str, Any]:
        options = self._options
        config = {
            "id": self.id,
            "name": self.name,
            "triggers": [self._trigger_config(trigger) for trigger in options.triggers],
            "steps": _steps(app_url, self.id, options.retries),
            "batchEvents": _wire(options.batch_events),
            "cancel": None if options.cancel is None else [_wire(entry) for entry in options.cancel],
            "checkpoint": _wire(self.checkpointing),
            "concurrency": None if options.concurrency is None else [_wire(entry) for entry in options.concurrency],
            "debounce": _wire(options.debounce),
            "idempotency": options.idempotency,
            "priority": _wire(options.priority),
            "rateLimit": _wire(options.rate_limit),
            "singleton": _wire(options.singleton),
            "throttle": _wire(options.throttle),
            "timeouts": _wire(options.timeouts),
        }
        return cast("dict[str, Any]", strip_nulls(config))

    def _trigger_config(self, trigger: Trigger) -> dict[str, Any]:
        config = trigger.wire()
        if isinstance(trigger, TriggerDeferred):
            config["expression"] = f"event.data._inngest.fn_slug == '{self.id}'"
        return config

    def _companion_config(self, app_url: str, companion_id: str | None, what: str, event: str) -> dict[str, Any] | None:
        """Return the registration of a function that is started by what happens to runs of this one."""
        if companion_id is None:
            return None
        return {
            "id": companion_id,
            "name": f"{self.name} ({what})",
            "triggers": [{"event": event, "expression": f"event.data.function_id == '{self.id}'"}],
            "steps": _steps(app_url, companion_id, 0),
            "cancel": [],
            "concurrency": [],
        }


def is_async(handler: Callable[..., Any]) -> bool:
    """Say whether calling `handler` gives a coroutine; objects with an async `__call__` count too."""
    while isinstance(handler, functools.partial):
        handler = handler.func
    return inspect.iscoroutinefunction(handler) or inspect.iscoroutinefunction(type(handler).__call__)


def _wire(option: Option | None) -> dict[str, Any] | None:
    return None if option is None else option.wire()


def _steps(app_url: str, function_id: str, retries: int | None) -> dict[str, Any]:
    from urllib.parse import quote  # noqa: PLC0415 - needed to register, and to nothing else

    step = {
        "id": "step",
        "name": "step",
        "retries": None if retries is None else {"attempts": retries},
        "runtime": {
            "type": "ws" if app_url.startswith("ws") else "http",
            "url": f"{app_url}?fnId={quote(function_id, safe='')}&stepId=step",
        },
    }
    return {"step": strip_nulls(step)}

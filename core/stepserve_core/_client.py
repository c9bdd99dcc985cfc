"""The client: an app's id and settings, its functions, and how it sends events (protocol.md 10.2)."""

from __future__ import annotations

import functools
import os
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from stepserve_core import _durations, _protocol, _settings
from stepserve_core._checker import Checker, make_checker
from stepserve_core._checkpointing import Checkpointing, find_problems
from stepserve_core._config import (
    Batch,
    Cancel,
    Concurrency,
    Debounce,
    Priority,
    RateLimit,
    Singleton,
    Throttle,
    Timeouts,
    Trigger,
    TriggerEvent,
)
from stepserve_core._decorator import FunctionDecorator
from stepserve_core._durations import Duration
from stepserve_core._event import Event
from stepserve_core._event_type import EventType
from stepserve_core._function import Function, FunctionOptions
from stepserve_core._in_process import InProcessServer
from stepserve_core._middleware import MiddlewareManager, UninitializedMiddleware
from stepserve_core._runtime import AsyncRuntime, Runtime, SyncRuntime, run_sync
from stepserve_core._send import EventSender, check_events
from stepserve_core._serialize import UNSET, Serializer
from stepserve_core._server_calls import ServerCalls
from stepserve_core._triggering import DataT, Triggering
from stepserve_core.errors import ConfigurationError

if TYPE_CHECKING:
    from stepserve_core._checkpoint_api import CheckpointAPI
    from stepserve_core._function import Handler


class Inngest(ServerCalls):
    """An app: its id, its keys, where its server is (protocol.md 1.2 and 10.2).

    Args:
        app_id: names the app to the server, which knows the functions by it.
        api_base_url: origin of the REST API; else INNGEST_API_BASE_URL, INNGEST_BASE_URL, or a URL in INNGEST_DEV.
        app_version: shown by the server.
        checkpointing: True, or settings: functions go on after each step, and save its result on the way.
        env: the branch environment; else INNGEST_ENV and the variables of some hosting platforms.
        event_api_base_url: origin of the event API; else INNGEST_EVENT_API_BASE_URL, INNGEST_BASE_URL, INNGEST_DEV.
        event_key: needed in production to send events; else INNGEST_EVENT_KEY.
        is_production: True means signed requests only; else decided by INNGEST_DEV.
        logger: used in functions as `ctx.logger`, and for what goes wrong.
        middleware: for all functions of this app and for sending events.
        request_timeout: for sending events; milliseconds, a timedelta or text; 30 seconds if not given.
        serializer: turns outputs with an `output_type` into JSON and back.
        signing_key: needed in production; else INNGEST_SIGNING_KEY. A second key during a rotation is read from
            INNGEST_SIGNING_KEY_FALLBACK.
        step_inputs: whether the server is told the arguments of `step.run`, to show them and to run again with others;
            by default in development only.

    Raises:
        ConfigurationError: an argument cannot be used; the message names it.
        SigningKeyInvalidError: a signing key is not hexadecimal.
    """

    def __init__(
        self,
        *,
        app_id: str,
        api_base_url: str | None = None,
        app_version: str | None = None,
        checkpointing: bool | Checkpointing | None = None,
        env: str | None = None,
        event_api_base_url: str | None = None,
        event_key: str | None = None,
        is_production: bool | None = None,
        logger: Any = None,
        middleware: Sequence[UninitializedMiddleware] | None = None,
        request_timeout: Duration | None = None,
        serializer: Serializer | None = None,
        signing_key: str | None = None,
        step_inputs: bool | None = None,
    ) -> None:
        if not isinstance(app_id, str) or not app_id.strip():
            raise ConfigurationError("Inngest(app_id=…) must be text that names your app, such as 'shop'")
        self.app_id = app_id
        self.app_version = app_version
        self._logger = logger
        self.middleware: list[UninitializedMiddleware] = list(middleware or ())
        self.serializer = serializer
        self.request_timeout = _seconds(request_timeout)
        self.settings = _settings.resolve(
            api_base_url=api_base_url,
            env=env,
            event_api_base_url=event_api_base_url,
            event_key=event_key,
            is_production=is_production,
            signing_key=signing_key,
        )
        self.is_production = self.settings.mode == "cloud"
        self.step_inputs = not self.is_production if step_inputs is None else step_inputs
        for problem in find_problems(checkpointing):
            raise ConfigurationError(f"Inngest(…): {problem}")
        self.checkpointing = checkpointing
        self.checker = make_checker(self)
        self.servers: list[InProcessServer] = []
        """Servers in this process that run its functions; the last one takes its requests."""
        self._warn_about_branch_key()

    def _warn_about_branch_key(self) -> None:
        if "branch" in (self.settings.signing_key or "") and self.settings.env is None:
            self.logger.warning(
                "the signing key is of a branch environment, but no environment is named; set INNGEST_ENV"
            )

    @functools.cached_property
    def checkpoint_api(self) -> CheckpointAPI:
        """Where functions save steps while they go on."""
        from stepserve_core._checkpoint_api import CheckpointAPI  # noqa: PLC0415 - only for those that do

        return CheckpointAPI(self)

    @functools.cached_property
    def asked_checker(self) -> Checker | None:
        """What checks the calls of a server that asks for it, as one does that lets faults happen."""
        return make_checker(self, is_asked=True)

    @property
    def api_origin(self) -> str:
        """The origin of the REST API."""
        return self.settings.api_origin

    @property
    def event_api_origin(self) -> str:
        """The origin of the event API."""
        return self.settings.event_api_origin

    @property
    def env(self) -> str | None:
        """The branch environment, if one is known."""
        return self.settings.env

    @property
    def event_key(self) -> str | None:
        """The event key, if there is one."""
        return self.settings.event_key

    @property
    def signing_key(self) -> str | None:
        """The signing key, if there is one."""
        return self.settings.signing_key

    @property
    def signing_key_fallback(self) -> str | None:
        """The second signing key during a rotation, if there is one."""
        return self.settings.signing_key_fallback

    @property
    def headers(self) -> dict[str, str]:
        """The headers of every outgoing request (3.1)."""
        headers = {
            "content-type": "application/json",
            "user-agent": _protocol.SDK_HEADER_VALUE,
            _protocol.SDK: _protocol.SDK_HEADER_VALUE,
            _protocol.REQ_VERSION: _protocol.REQUEST_VERSION,
        }
        if self.settings.env:
            headers[_protocol.ENV] = self.settings.env
        return headers

    def add_middleware(self, middleware: UninitializedMiddleware) -> None:
        """Add middleware behind what is there."""
        self.middleware.append(middleware)

    @property
    def logger(self) -> Any:
        """What functions have as `ctx.logger`, and what is told what goes wrong."""
        if not self._logger:
            import logging  # noqa: PLC0415 - most frameworks load it, the rest does without until a function is called

            self._logger = logging.getLogger("stepserve")
        return self._logger

    @logger.setter
    def logger(self, logger: Any) -> None:
        self._logger = logger

    def set_logger(self, logger: Any) -> None:
        """Use another logger."""
        self.logger = logger

    def create_function(
        self,
        *,
        fn_id: str,
        trigger: Triggering[DataT] | Sequence[Triggering[DataT]],
        batch_events: Batch | None = None,
        cancel: list[Cancel] | None = None,
        checkpointing: bool | Checkpointing | None = None,
        concurrency: list[Concurrency] | None = None,
        debounce: Debounce | None = None,
        idempotency: str | None = None,
        middleware: Sequence[UninitializedMiddleware] | None = None,
        name: str | None = None,
        on_cancel: Handler | None = None,
        on_failure: Handler | None = None,
        output_type: object = UNSET,
        priority: Priority | None = None,
        rate_limit: RateLimit | None = None,
        retries: int | None = None,
        singleton: Singleton | None = None,
        throttle: Throttle | None = None,
        timeouts: Timeouts | None = None,
    ) -> FunctionDecorator[DataT]:
        """Make a durable function of a handler, which takes `Context` if it is `async def`, else `ContextSync`.

        Args:
            fn_id: names the function to the server; changing it makes another function.
            trigger: what starts it: events by name or by `EventType`, schedules, or several of these (`one | other`,
                or a list).
            checkpointing: instead of what the client says: True, False, or settings.
            retries: how often a failed step is tried again, 0 to 20; the server's default is 4.
            on_cancel, on_failure: called, in the same colour, when a run was cancelled, or has failed for good.
            output_type: the type of the result; else that of the return annotation.
            idempotency: an expression; events for which it gives the same value start one run within 24 hours.
            batch_events, cancel, concurrency, debounce, priority, rate_limit, singleton, throttle, timeouts:
                see their classes.

        Raises:
            FunctionConfigInvalidError: an option cannot be used; the message names the function and the option.
        """
        options = FunctionOptions(
            fn_id=fn_id,
            name=name,
            triggers=_triggers(trigger),
            batch_events=batch_events,
            cancel=cancel,
            checkpointing=checkpointing,
            concurrency=concurrency,
            debounce=debounce,
            idempotency=idempotency,
            on_cancel=on_cancel,
            on_failure=on_failure,
            priority=priority,
            rate_limit=rate_limit,
            retries=retries,
            singleton=singleton,
            throttle=throttle,
            timeouts=timeouts,
        )
        return self._decorator(options, output_type, list(middleware or ()))

    def _decorator(
        self, options: FunctionOptions, output_type: object, middleware: list[UninitializedMiddleware]
    ) -> FunctionDecorator[Any]:
        def decorate(handler: Handler) -> Function[Any]:
            return Function(self.app_id, options, handler, output_type, middleware, self.checkpointing)

        return FunctionDecorator(decorate)

    async def send(self, events: Event[Any] | Sequence[Event[Any]], *, skip_middleware: bool = False) -> list[str]:
        """Send events from async code, on any event loop; return their ids.

        Raises:
            EventInvalidError, EventKeyUnspecifiedError: nothing was sent.
            SendEventsError: the server took only some of them (`ids`), or none.
        """
        return await self._send(AsyncRuntime(), events, skip_middleware)

    def send_sync(self, events: Event[Any] | Sequence[Event[Any]], *, skip_middleware: bool = False) -> list[str]:
        """Send events from sync code, in any thread; see `send`."""
        return run_sync(self._send(SyncRuntime(), events, skip_middleware))

    def check_events(self, events: Event[Any] | Sequence[Event[Any]]) -> list[Event[Any]]:
        """Return events as a list after the checks of `send`, for whoever stores them and sends them later.

        Raises:
            EventInvalidError: one of them cannot be sent; the message says which, and where it is wrong.
        """
        return check_events(events)

    async def _send(
        self, runtime: Runtime, events: Event[Any] | Sequence[Event[Any]], skip_middleware: bool
    ) -> list[str]:
        manager = None
        if self.middleware and not skip_middleware:
            manager = MiddlewareManager(self, None, runtime)
            manager.add(self.middleware)
        return await self.make_sender(runtime, manager).send(events)

    def make_sender(
        self, runtime: Runtime, middleware: MiddlewareManager | None, run_id: str | None = None
    ) -> EventSender:
        """Return what sends events for one request; clients for tests have another."""
        return EventSender(self, runtime, middleware, run_id)


def _triggers(trigger: object) -> list[Trigger]:
    # Whoever passes text or None is told what a trigger is when the options are checked.
    triggers: list[Any] = list(trigger) if isinstance(trigger, (list, tuple)) else [trigger]
    return [TriggerEvent(event=each) if isinstance(each, EventType) else each for each in triggers]


def _seconds(timeout: Duration | None) -> float:
    if timeout is None:
        return 30.0
    try:
        return _durations.to_milliseconds(timeout) / 1000
    except (TypeError, ValueError) as error:
        raise ConfigurationError(f"Inngest(request_timeout=…): {error}") from None


def is_unauthed_sync_enabled(argument: bool | None) -> bool:
    """Say whether unsigned sync requests are served in production: argument, then environment (4.3)."""
    if argument is not None:
        return argument
    text = os.environ.get("INNGEST_ENABLE_UNAUTHED_SYNC")
    return text is None or text.strip().lower() not in ("false", "0")

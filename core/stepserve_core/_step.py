"""The steps, as users call them: the same in both colours, with the signatures of protocol.md 10.6.

What a step asks of the server is written once, in `_Ask`s; `Step` and `StepSync` differ in how they wait.
"""

from __future__ import annotations

import datetime
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol, TypeVar, cast, overload

from typing_extensions import TypeVarTuple, Unpack

from stepserve_core import _durations
from stepserve_core._durations import Duration
from stepserve_core._engine import MISSING, Found, Run
from stepserve_core._event import Event
from stepserve_core._opcodes import Opcode, ParallelMode
from stepserve_core._runtime import AsyncRuntime, run_sync
from stepserve_core._serialize import UNSET

if TYPE_CHECKING:
    from stepserve_core._client import Inngest
    from stepserve_core._function import Function
    from stepserve_core._send import EventSender

T = TypeVar("T")
Ts = TypeVarTuple("Ts")
Read = Callable[[Any], Any]


class AIAdapter(Protocol):
    """Where and how the server reaches a model for `step.ai.infer`."""

    def auth_key(self) -> str:
        """Return the provider's key."""
        ...

    def format(self) -> str:
        """Return the provider's format, such as "openai-chat"."""
        ...

    def headers(self) -> dict[str, str]:
        """Return headers to add."""
        ...

    def on_call(self, body: dict[str, Any]) -> None:
        """Complete the body, for example with the model's name."""
        ...

    def url_infer(self) -> str:
        """Return the URL to post to."""
        ...


class _Ask(NamedTuple):
    opcode: Opcode
    name: str | None = None
    opts: dict[str, object] | None = None
    handler: Callable[..., Any] | None = None
    args: tuple[Any, ...] = ()
    output_type: object = UNSET


class _Steps:
    """What both colours share: the run, and what each kind of step asks."""

    def __init__(self, run: Run, client: Inngest, sender: EventSender) -> None:
        self._run = run
        self._client = client
        self._sender = sender

    def _typed(self, output_type: object) -> Read | None:
        """Return how to rebuild an output of `output_type` from its memo."""
        serializer = self._client.serializer
        if serializer is None or output_type is UNSET:
            return None
        return lambda memo: serializer.deserialize(memo, output_type)

    def _ask_run(self, handler: Callable[..., Any], args: tuple[Any, ...], output_type: object) -> _Ask:
        return _Ask(Opcode.STEP_RUN, None, None, handler, args, output_type)

    def _ask_sleep(self, until: datetime.datetime) -> _Ask:
        return _Ask(Opcode.SLEEP, _durations.to_iso(until))

    def _ask_sleep_for(self, duration: Duration) -> _Ask:
        delta = datetime.timedelta(milliseconds=_durations.to_milliseconds(duration))
        return self._ask_sleep(datetime.datetime.now(datetime.timezone.utc) + delta)

    def _ask_wait(self, event: str, if_exp: str | None, timeout: Duration) -> _Ask:
        opts: dict[str, object] = {"if": if_exp, "timeout": _durations.to_text(timeout)}
        return _Ask(Opcode.WAIT_FOR_EVENT, event, opts)

    def _ask_invoke(
        self,
        function_id: str,
        data: Mapping[str, object] | None,
        timeout: Duration | None,
        v: str | None,
    ) -> _Ask:
        opts: dict[str, object] = {
            "function_id": function_id,
            "payload": {"data": data, "v": v},
            "timeout": None if timeout is None else _durations.to_text(timeout),
        }
        return _Ask(Opcode.INVOKE_FUNCTION, None, opts)

    def _ask_invoke_function(
        self, function: Function[Any], data: Mapping[str, object] | None, timeout: Duration | None, v: str | None
    ) -> _Ask:
        function_id = f"{self._client.app_id}-{function.local_id}"
        return self._ask_invoke(function_id, data, timeout, v)

    def _ask_invoke_id(
        self,
        app_id: str | None,
        function_id: str,
        data: Mapping[str, object] | None,
        timeout: Duration | None,
        v: str | None,
    ) -> _Ask:
        return self._ask_invoke(f"{app_id or self._client.app_id}-{function_id}", data, timeout, v)

    def _ask_send(self, events: Event | list[Event]) -> _Ask:
        return _Ask(Opcode.STEP_RUN, None, None, self._sender.send_in_step, (events,))

    def _ask_infer(self, adapter: AIAdapter, body: dict[str, Any]) -> _Ask:
        adapter.on_call(body)
        opts: dict[str, object] = {
            "auth_key": adapter.auth_key(),
            "body": body,
            "format": adapter.format(),
            "headers": adapter.headers(),
            "type": "step.ai.infer",
            "url": adapter.url_infer(),
        }
        return _Ask(Opcode.AI_GATEWAY, None, opts)


class StepSync(_Steps):
    """The steps of a `def` function. Every method may raise `StepError`."""

    @property
    def ai(self) -> AISync:
        """Steps in which the server calls a model."""
        return AISync(self._reach, self._ask_infer)

    def run(
        self,
        step_id: str,
        handler: Callable[[Unpack[Ts]], T],
        *handler_args: Unpack[Ts],
        output_type: object = UNSET,
    ) -> T:
        """Call `handler` once and remember what it returns; later calls of the function get the memo."""
        run = self._run
        hashed, index = run.identify(step_id)
        value: Any = run.recall(hashed)
        if value is MISSING or run.new_code_due or output_type is not UNSET:  # rare; memos take no further call
            ask = self._ask_run, handler, handler_args, output_type
            value = self._act(step_id, hashed, index, value, self._typed(output_type), *ask)
        return cast("T", value)

    def invoke(
        self,
        step_id: str,
        *,
        function: Function[T],
        data: Mapping[str, object] | None = None,
        timeout: Duration | None = None,
        v: str | None = None,
    ) -> T:
        """Run another function of this app and return its result. `timeout`: at most a year, which is the default."""
        read = self._typed(function.output_type)
        return self._reach(step_id, read, self._ask_invoke_function, function, data, timeout, v)  # type: ignore[no-any-return]

    def invoke_by_id(
        self,
        step_id: str,
        *,
        app_id: str | None = None,
        function_id: str,
        data: Mapping[str, object] | None = None,
        timeout: Duration | None = None,
        v: str | None = None,
    ) -> object:
        """Run a function by its id, perhaps of another app, and return its result."""
        return self._reach(step_id, None, self._ask_invoke_id, app_id, function_id, data, timeout, v)

    def send_event(self, step_id: str, events: Event | list[Event]) -> list[str]:
        """Send events once; return their ids."""
        return self._reach(step_id, None, self._ask_send, events)  # type: ignore[no-any-return]

    def sleep(self, step_id: str, duration: Duration) -> None:
        """Go on after `duration`: milliseconds, a timedelta, or text such as "3d"."""
        self._reach(step_id, _nothing, self._ask_sleep_for, duration)

    def sleep_until(self, step_id: str, until: datetime.datetime) -> None:
        """Go on at `until`."""
        self._reach(step_id, _nothing, self._ask_sleep, until)

    def wait_for_event(self, step_id: str, *, event: str, if_exp: str | None = None, timeout: Duration) -> Event | None:
        """Go on when `event` comes for which `if_exp` is true; return it, or None after `timeout`.

        In `if_exp`, `event` is the event that started the run and `async` the one that came.
        """
        return self._reach(step_id, _read_event, self._ask_wait, event, if_exp, timeout)  # type: ignore[no-any-return]

    def _reach(self, step_id: str, read: Read | None, ask: Callable[..., _Ask], *args: object) -> Any:
        hashed, index = self._run.identify(step_id)
        return self._act(step_id, hashed, index, self._run.recall(hashed), read, ask, *args)

    def _act(
        self,
        step_id: str,
        hashed: str,
        index: int | None,
        value: object,
        read: Read | None,
        ask: Callable[..., _Ask],
        *args: object,
    ) -> Any:
        run = self._run
        if run.new_code_due:
            run_sync(run.start_new_code())
        if value is MISSING:
            run_sync(run.reach(_found(step_id, hashed, index, ask(*args))))
        return value if read is None else read(value)


class Step(_Steps):
    """The steps of an `async def` function. Every method may raise `StepError`; every one must be awaited."""

    def __init__(self, run: Run, client: Inngest, sender: EventSender) -> None:
        super().__init__(run, client, sender)
        assert isinstance(run.runtime, AsyncRuntime)
        self._runtime = run.runtime

    @property
    def ai(self) -> AI:
        """Steps in which the server calls a model."""
        return AI(self._reach, self._ask_infer)

    @overload
    def run(
        self,
        step_id: str,
        handler: Callable[[Unpack[Ts]], Awaitable[T]],
        *handler_args: Unpack[Ts],
        output_type: object = UNSET,
    ) -> Coroutine[Any, Any, T]: ...

    @overload
    def run(
        self,
        step_id: str,
        handler: Callable[[Unpack[Ts]], T],
        *handler_args: Unpack[Ts],
        output_type: object = UNSET,
    ) -> Coroutine[Any, Any, T]: ...

    def run(
        self,
        step_id: str,
        handler: Callable[[Unpack[Ts]], Any],
        *handler_args: Unpack[Ts],
        output_type: object = UNSET,
    ) -> Coroutine[Any, Any, Any]:
        """Call `handler` once and remember what it returns; later calls of the function get the memo."""
        hashed, index = self._run.identify(step_id)
        read = None if output_type is UNSET else self._typed(output_type)
        return self._resolve(step_id, hashed, index, read, self._ask_run, (handler, handler_args, output_type))

    def invoke(
        self,
        step_id: str,
        *,
        function: Function[T],
        data: Mapping[str, object] | None = None,
        timeout: Duration | None = None,
        v: str | None = None,
    ) -> Coroutine[Any, Any, T]:
        """Run another function of this app and return its result. `timeout`: at most a year, which is the default."""
        return self._reach(
            step_id, self._typed(function.output_type), self._ask_invoke_function, function, data, timeout, v
        )

    def invoke_by_id(
        self,
        step_id: str,
        *,
        app_id: str | None = None,
        function_id: str,
        data: Mapping[str, object] | None = None,
        timeout: Duration | None = None,
        v: str | None = None,
    ) -> Coroutine[Any, Any, object]:
        """Run a function by its id, perhaps of another app, and return its result."""
        return self._reach(step_id, None, self._ask_invoke_id, app_id, function_id, data, timeout, v)

    def send_event(self, step_id: str, events: Event | list[Event]) -> Coroutine[Any, Any, list[str]]:
        """Send events once; return their ids."""
        return self._reach(step_id, None, self._ask_send, events)

    def sleep(self, step_id: str, duration: Duration) -> Coroutine[Any, Any, None]:
        """Go on after `duration`: milliseconds, a timedelta, or text such as "3d"."""
        return self._reach(step_id, _nothing, self._ask_sleep_for, duration)

    def sleep_until(self, step_id: str, until: datetime.datetime) -> Coroutine[Any, Any, None]:
        """Go on at `until`."""
        return self._reach(step_id, _nothing, self._ask_sleep, until)

    def wait_for_event(
        self, step_id: str, *, event: str, if_exp: str | None = None, timeout: Duration
    ) -> Coroutine[Any, Any, Event | None]:
        """Go on when `event` comes for which `if_exp` is true; return it, or None after `timeout`.

        In `if_exp`, `event` is the event that started the run and `async` the one that came.
        """
        return self._reach(step_id, _read_event, self._ask_wait, event, if_exp, timeout)

    def _reach(
        self, step_id: str, read: Read | None, ask: Callable[..., _Ask], *args: object
    ) -> Coroutine[Any, Any, Any]:
        hashed, index = self._run.identify(step_id)
        return self._resolve(step_id, hashed, index, read, ask, args)

    def _resolve(
        self,
        step_id: str,
        hashed: str,
        index: int | None,
        read: Read | None,
        ask: Callable[..., _Ask],
        args: tuple[object, ...],
    ) -> Coroutine[Any, Any, Any]:
        if hashed in self._run.memos:
            return self._recall(step_id, hashed, index, read, ask, args)
        coroutine = self._act(step_id, hashed, index, read, ask, args)
        # This is what Python names in its warning when `await` is forgotten.
        coroutine.__qualname__ = f"step {step_id!r}"  # type: ignore[attr-defined]
        return coroutine

    async def _recall(
        self,
        step_id: str,
        hashed: str,
        index: int | None,
        read: Read | None,
        ask: Callable[..., _Ask],
        args: tuple[object, ...],
    ) -> Any:
        run = self._run
        discovery = self._runtime.discovery
        if discovery.order is not None or discovery.current_task() is not discovery.main:
            await discovery.wait_for_turn(hashed)
        value = run.recall(hashed)
        if run.new_code_due:
            await run.start_new_code()
        if value is MISSING:  # what is memoised are new arguments
            return await self._act(step_id, hashed, index, read, ask, args)
        return value if read is None else read(value)

    async def _act(
        self,
        step_id: str,
        hashed: str,
        index: int | None,
        read: Read | None,
        ask: Callable[..., _Ask],
        args: tuple[object, ...],
    ) -> Any:
        await self._run.reach(_found(step_id, hashed, index, ask(*args)))


class AISync:
    """`step.ai` of a `def` function."""

    def __init__(self, reach: Callable[..., Any], ask: Callable[[AIAdapter, dict[str, Any]], _Ask]) -> None:
        self._reach = reach
        self._ask = ask

    def infer(self, step_id: str, *, adapter: AIAdapter, body: dict[str, Any]) -> dict[str, object]:
        """Let the server call a model; the app is not busy meanwhile. Return the provider's answer."""
        return self._reach(step_id, None, self._ask, adapter, body)  # type: ignore[no-any-return]


class AI:
    """`step.ai` of an `async def` function."""

    def __init__(self, reach: Callable[..., Any], ask: Callable[[AIAdapter, dict[str, Any]], _Ask]) -> None:
        self._reach = reach
        self._ask = ask

    def infer(
        self, step_id: str, *, adapter: AIAdapter, body: dict[str, Any]
    ) -> Coroutine[Any, Any, dict[str, object]]:
        """Let the server call a model; the app is not busy meanwhile. Return the provider's answer."""
        return self._reach(step_id, None, self._ask, adapter, body)  # type: ignore[no-any-return]


class Group:
    """Parallel groups of an `async def` function; `asyncio.gather` over steps does as well."""

    def __init__(self, run: Run) -> None:
        self._run = run

    async def parallel(
        self, callables: tuple[Callable[[], Awaitable[T]], ...], parallel_mode: ParallelMode = ParallelMode.WAIT
    ) -> tuple[T, ...]:
        """Run branches at the same time, each a function without arguments; return their results in order."""
        return await self._run.parallel(callables, parallel_mode)


class GroupSync:
    """Parallel groups of a `def` function."""

    def __init__(self, run: Run) -> None:
        self._run = run

    def parallel(
        self, callables: tuple[Callable[[], T], ...], parallel_mode: ParallelMode = ParallelMode.WAIT
    ) -> tuple[T, ...]:
        """Run branches at the same time, each a function without arguments; return their results in order."""
        return run_sync(self._run.parallel(callables, parallel_mode))


def _found(step_id: str, hashed: str, index: int | None, ask: _Ask) -> Found:
    return Found(
        step_id,
        hashed,
        index,
        ask.opcode,
        name=ask.name,
        opts=ask.opts,
        handler=ask.handler,
        args=ask.args,
        output_type=ask.output_type,
    )


def _nothing(memo: object) -> None:
    del memo


def _read_event(memo: object) -> Event | None:
    return None if memo is None else Event.from_raw(memo)

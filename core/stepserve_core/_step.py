"""The steps, as users call them: the same in both colours, with the signatures of protocol.md 10.6.

What a step asks of the server is written once, in `Ask`s; `Step` and `StepSync` differ in how they wait.
"""

from __future__ import annotations

import datetime
from collections.abc import Awaitable, Callable, Coroutine, Mapping, Sequence
from types import FunctionType
from typing import TYPE_CHECKING, Any, TypeVar, overload

from typing_extensions import TypeVarTuple, Unpack

from stepserve_core._asks import Asks, MakeAsk, Read, event_reader, read_nothing
from stepserve_core._durations import Duration
from stepserve_core._engine import Run
from stepserve_core._event import Event
from stepserve_core._extra_steps import ExtraSteps, ExtraStepsSync
from stepserve_core._found import Found
from stepserve_core._memos import MISSING
from stepserve_core._outputs import LAMBDA, PLAIN, reader
from stepserve_core._runtime import AsyncRuntime, run_sync
from stepserve_core._serialize import UNSET
from stepserve_core.errors import EventInvalidError, MemoMismatchError

if TYPE_CHECKING:
    from stepserve_core._ai import AI, AISync
    from stepserve_core._client import Inngest
    from stepserve_core._event_type import EventType
    from stepserve_core._function import Function
    from stepserve_core._send import EventSender
    from stepserve_core._triggering import DataT

T = TypeVar("T")
Ts = TypeVarTuple("Ts")


class _Steps:
    def __init__(self, run: Run, client: Inngest, sender: EventSender) -> None:
        self._run = run
        self._asks = Asks(client, sender)


class StepSync(_Steps, ExtraStepsSync):
    """The steps of a `def` function (protocol.md 10.6).

    A step does its work once; afterwards its memo is returned, whose shape is that of the protocol's JSON (5.3). Its id
    is unique in the function; one that is used again is another step (6.1). Durations are milliseconds, timedeltas or
    text such as "1h30m" (7.1).

    Every step may raise:
        StepError: it used up its retries.
        MemoMismatchError, OutputUnserializableError: of what was returned; the function cannot catch them (5.9).
        TypeError, ValueError: an argument cannot be used.
    """

    @property
    def ai(self) -> AISync:
        """Steps in which the server calls a model."""
        from stepserve_core._ai import AISync  # noqa: PLC0415 - few programs have models called by the server

        return AISync(self._reach, self._asks)

    def run(
        self,
        step_id: str,
        handler: Callable[[Unpack[Ts]], T],
        *handler_args: Unpack[Ts],
        output_type: object = UNSET,
    ) -> T:
        """Call `handler` once and remember what it returns; later calls get it back, of the same type."""
        run = self._run
        hashed = run.identify(step_id)
        value: Any = run.recall(hashed)
        converter = None
        if (
            output_type is not UNSET
            or type(handler) is not FunctionType
            or (handler not in PLAIN and handler.__name__ != LAMBDA)
        ):
            converter = self._asks.converter(handler, output_type)
        if value is MISSING or run.new_code_due or converter is not None:  # rare; memos take no further call
            ask = self._asks.run, handler, handler_args, converter
            value = self._act(step_id, hashed, value, reader(converter, step_id), *ask)
        output: T = value
        return output

    def invoke(
        self,
        step_id: str,
        *,
        function: Function[T],
        data: object = None,
        timeout: Duration | None = None,
        v: str | None = None,
    ) -> T:
        """Run another function of this app and return its result. `timeout`: at most a year, which is the default."""
        read = self._asks.invoked(function, step_id)
        return self._reach(step_id, read, self._asks.invoke, function, data, timeout, v)  # type: ignore[no-any-return]

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
        """Run a function by its id, of this app or of `app_id`, and return its result as JSON has it."""
        return self._reach(step_id, None, self._asks.invoke_by_id, app_id, function_id, data, timeout, v)

    def send_event(self, step_id: str, events: Event[Any] | Sequence[Event[Any]]) -> list[str]:
        """Send events; return their ids. A failure is a `SendEventsError` or `EventInvalidError` of the step.

        If the step is executed again, because its result was lost, they start nothing a second time: events without
        an id get one from the run and the step.
        """
        return self._reach(step_id, None, self._asks.send_event, events)  # type: ignore[no-any-return]

    def sleep(self, step_id: str, duration: Duration) -> None:
        """Go on after `duration`: milliseconds, a timedelta, or text such as "3d"."""
        self._reach(step_id, read_nothing, self._asks.sleep, duration)

    def sleep_until(self, step_id: str, until: datetime.datetime) -> None:
        """Go on at `until`, at once if that is past; without a time zone it is local time (7.3)."""
        self._reach(step_id, read_nothing, self._asks.sleep_until, until)

    def wait_for_event(
        self, step_id: str, *, event: str | EventType[DataT], if_exp: str | None = None, timeout: Duration
    ) -> Event[DataT] | None:
        """Go on when `event` comes for which `if_exp` is true; return it, or None after `timeout`.

        In `if_exp`, `event` is the event that started the run and `async` the one that came.
        """
        return self._reach(step_id, event_reader(event), self._asks.wait_for_event, event, if_exp, timeout)  # type: ignore[no-any-return]

    def _reach(self, step_id: str, read: Read | None, ask: MakeAsk, *args: object) -> Any:
        return self._resolve(step_id, self._run.identify(step_id), read, ask, *args)

    def _resolve(self, step_id: str, hashed: str, read: Read | None, ask: MakeAsk, *args: object) -> Any:
        return self._act(step_id, hashed, self._run.recall(hashed), read, ask, *args)

    def _act(self, step_id: str, hashed: str, value: object, read: Read | None, ask: MakeAsk, *args: object) -> Any:
        run = self._run
        if run.new_code_due:
            run_sync(run.start_new_code())
        if value is MISSING:
            value = run_sync(run.reach(Found(step_id, hashed, run.repeats.get(hashed), ask(*args))))
        if read is None:
            return value
        try:
            return read(value)
        except (MemoMismatchError, EventInvalidError) as error:
            run_sync(run.runtime.fail(run, error))


# mypy infers Any for asyncio.gather over several `Coroutine[Any, Any, T]`, but not over these.
class Step(_Steps, ExtraSteps):
    """The steps of an `async def` function; every one must be awaited. See `StepSync` (protocol.md 10.6)."""

    def __init__(self, run: Run, client: Inngest, sender: EventSender) -> None:
        super().__init__(run, client, sender)
        assert isinstance(run.runtime, AsyncRuntime)
        self._runtime = run.runtime

    @property
    def ai(self) -> AI:
        """Steps in which the server calls a model."""
        from stepserve_core._ai import AI  # noqa: PLC0415

        return AI(self._reach, self._asks)

    @overload
    def run(
        self,
        step_id: str,
        handler: Callable[[Unpack[Ts]], Awaitable[T]],
        *handler_args: Unpack[Ts],
        output_type: object = UNSET,
    ) -> Coroutine[None, object, T]: ...

    @overload
    def run(
        self,
        step_id: str,
        handler: Callable[[Unpack[Ts]], T],
        *handler_args: Unpack[Ts],
        output_type: object = UNSET,
    ) -> Coroutine[None, object, T]: ...

    def run(
        self,
        step_id: str,
        handler: Callable[[Unpack[Ts]], Any],
        *handler_args: Unpack[Ts],
        output_type: object = UNSET,
    ) -> Coroutine[Any, Any, Any]:
        """Call `handler` once and remember what it returns; later calls get it back, of the same type."""
        run = self._run
        hashed = run.identify(step_id)
        converter = None
        if (
            output_type is not UNSET
            or type(handler) is not FunctionType
            or (handler not in PLAIN and handler.__name__ != LAMBDA)
        ):
            converter = self._asks.converter(handler, output_type)
        if converter is None and hashed in run.memos:
            return self._replay(step_id, hashed, handler, handler_args)
        read = None if converter is None else reader(converter, step_id)
        args = (handler, handler_args, converter)
        if hashed in run.memos:
            return self._recall(step_id, hashed, read, self._asks.run, args)
        return self._name(step_id, self._act(step_id, hashed, read, self._asks.run, args))

    def invoke(
        self,
        step_id: str,
        *,
        function: Function[T],
        data: object = None,
        timeout: Duration | None = None,
        v: str | None = None,
    ) -> Coroutine[None, object, T]:
        """Run another function of this app and return its result. `timeout`: at most a year, which is the default."""
        read = self._asks.invoked(function, step_id)
        return self._reach(step_id, read, self._asks.invoke, function, data, timeout, v)

    def invoke_by_id(
        self,
        step_id: str,
        *,
        app_id: str | None = None,
        function_id: str,
        data: Mapping[str, object] | None = None,
        timeout: Duration | None = None,
        v: str | None = None,
    ) -> Coroutine[None, object, object]:
        """Run a function by its id, of this app or of `app_id`, and return its result as JSON has it."""
        return self._reach(step_id, None, self._asks.invoke_by_id, app_id, function_id, data, timeout, v)

    def send_event(self, step_id: str, events: Event[Any] | Sequence[Event[Any]]) -> Coroutine[None, object, list[str]]:
        """Send events; return their ids. A failure is a `SendEventsError` or `EventInvalidError` of the step.

        If the step is executed again, because its result was lost, they start nothing a second time: events without
        an id get one from the run and the step.
        """
        return self._reach(step_id, None, self._asks.send_event, events)

    def sleep(self, step_id: str, duration: Duration) -> Coroutine[None, object, None]:
        """Go on after `duration`: milliseconds, a timedelta, or text such as "3d"."""
        return self._reach(step_id, read_nothing, self._asks.sleep, duration)

    def sleep_until(self, step_id: str, until: datetime.datetime) -> Coroutine[None, object, None]:
        """Go on at `until`, at once if that is past; without a time zone it is local time (7.3)."""
        return self._reach(step_id, read_nothing, self._asks.sleep_until, until)

    def wait_for_event(
        self, step_id: str, *, event: str | EventType[DataT], if_exp: str | None = None, timeout: Duration
    ) -> Coroutine[None, object, Event[DataT] | None]:
        """Go on when `event` comes for which `if_exp` is true; return it, or None after `timeout`.

        In `if_exp`, `event` is the event that started the run and `async` the one that came.
        """
        return self._reach(step_id, event_reader(event), self._asks.wait_for_event, event, if_exp, timeout)

    def _reach(self, step_id: str, read: Read | None, ask: MakeAsk, *args: object) -> Coroutine[Any, Any, Any]:
        return self._resolve(step_id, self._run.identify(step_id), read, ask, *args)

    def _resolve(
        self, step_id: str, hashed: str, read: Read | None, ask: MakeAsk, *args: object
    ) -> Coroutine[Any, Any, Any]:
        if hashed in self._run.memos:
            return self._recall(step_id, hashed, read, ask, args)
        return self._name(step_id, self._act(step_id, hashed, read, ask, args))

    def _name(self, step_id: str, coroutine: Coroutine[Any, Any, Any]) -> Coroutine[Any, Any, Any]:
        """Name a coroutine as Python shall name it in its warning when `await` is forgotten."""
        coroutine.__qualname__ = f"step {step_id!r}"  # type: ignore[attr-defined]
        return coroutine

    async def _replay(
        self, step_id: str, hashed: str, handler: Callable[..., Any], handler_args: tuple[object, ...]
    ) -> Any:
        """Return a memo as JSON has it: of nearly all steps in nearly all calls, so nothing else is called for it."""
        discovery = self._runtime.discovery
        if not discovery.is_alone:
            turn = discovery.turn_of(hashed)
            if turn is not None:
                await turn
        memos = self._run.memos
        if len(memos) > 1:
            memo = memos[hashed]
            if type(memo) is dict and len(memo) == 1 and "data" in memo:
                del memos[hashed]
                return memo["data"]
        return await self._take(step_id, hashed, None, self._asks.run, (handler, handler_args, None))

    async def _recall(
        self, step_id: str, hashed: str, read: Read | None, ask: MakeAsk, args: tuple[object, ...]
    ) -> Any:
        discovery = self._runtime.discovery
        if not discovery.is_alone:
            turn = discovery.turn_of(hashed)
            if turn is not None:
                await turn
        return await self._take(step_id, hashed, read, ask, args)

    async def _take(self, step_id: str, hashed: str, read: Read | None, ask: MakeAsk, args: tuple[object, ...]) -> Any:
        run = self._run
        value = run.recall(hashed)
        if run.new_code_due:
            await run.start_new_code()
        if value is MISSING:  # what is memoised are new arguments
            return await self._act(step_id, hashed, read, ask, args)
        return value if read is None else await self._read(read, value)

    async def _read(self, read: Read, value: object) -> Any:
        try:
            return read(value)
        except (MemoMismatchError, EventInvalidError) as error:
            await self._run.runtime.fail(self._run, error)

    async def _act(self, step_id: str, hashed: str, read: Read | None, ask: MakeAsk, args: tuple[object, ...]) -> Any:
        run = self._run
        if run.target is not None and run.passes_over(hashed):
            await self._runtime.discovery.step_aside(step_id)
        value = await run.reach(Found(step_id, hashed, run.repeats.get(hashed), ask(*args)))
        return value if read is None else await self._read(read, value)

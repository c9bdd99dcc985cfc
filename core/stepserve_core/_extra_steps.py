"""Steps that the official Python SDK does not have (protocol.md section 13), in both colours.

`Step` and `StepSync` inherit them.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Mapping
from typing import TYPE_CHECKING, Any

from stepserve_core._asks import Asks, Read
from stepserve_core._durations import Duration
from stepserve_core._found import Ask

if TYPE_CHECKING:
    from stepserve_core._defer import Deferred
    from stepserve_core._engine import Run
    from stepserve_core._fetch import FetchResponse
    from stepserve_core._function import Function
    from stepserve_core._realtime import Realtime, RealtimeSync
    from stepserve_core._signals import OnConflict, Signal


class _Calls:
    """What is no step: it happens in place, is not awaited, and is the same in both colours."""

    _run: Run
    _asks: Asks

    def defer(
        self, defer_id: str, *, function: Function[Any] | str, data: Mapping[str, object] | None = None
    ) -> Deferred:
        """Start another function when this run has ended, however it ended; it is no step and is not awaited.

        Args:
            defer_id: names the defer within the run.
            function: a function of this app, or the full id of one ("app-function"). It needs `TriggerDeferred()`.
            data: the data of its event. At most 20 defers and 4 MiB in a run; what is more, the server drops.

        The server learns of it with the next step, or with the result of the function.

        Raises:
            UnsupportedByServerError: the server knows no defers.
        """
        assert self._run.open_defers is not None
        return self._run.open_defers().add(defer_id, function, data)

    def add_metadata(self, kind: str, values: Mapping[str, object]) -> None:
        """Let the step that is being executed say something about itself: call it inside the step's function.

        Values of the same kind are merged. At most 64 KiB for a step.

        Raises:
            RuntimeError: no step is being executed.
        """
        from stepserve_core._metadata import attach, user_metadata  # noqa: PLC0415 - few programs have any

        attach(user_metadata(kind, values, "step"))

    def add_score(self, name: str, value: float) -> None:
        """Let the step that is being executed have a score, a number or a bool; see `add_metadata`."""
        from stepserve_core._metadata import attach, score  # noqa: PLC0415 - few programs give any

        attach(score(name, value, "step"))


class ExtraStepsSync(_Calls):
    """More steps of a `def` function."""

    @property
    def realtime(self) -> RealtimeSync:
        """Steps that publish messages."""
        from stepserve_core._realtime import RealtimeSync  # noqa: PLC0415 - few programs publish

        return RealtimeSync(self._reach, self._asks)

    def fetch(
        self,
        step_id: str,
        url: str,
        *,
        method: str = "GET",
        headers: Mapping[str, str] | None = None,
        params: Mapping[str, object] | None = None,
        body: str | bytes | None = None,
        json: object = None,
    ) -> FetchResponse:
        """Let the server make an HTTP request; the app is not busy meanwhile. Return the response, whatever its status.

        The server tries again if nobody answers, as often as a failed step is tried again. Bodies must be text.
        """
        from stepserve_core._fetch import ask_fetch, read_response  # noqa: PLC0415 - few programs fetch by the server

        given = url, method, headers, body, json, params
        return self._reach(step_id, read_response, ask_fetch, *given)  # type: ignore[no-any-return]

    def wait_for_signal(
        self, step_id: str, *, signal: str, timeout: Duration, on_conflict: OnConflict = "fail"
    ) -> Signal | None:
        """Go on when `signal` is sent; return it, or None after `timeout`.

        One run at a time may wait for a name. Where another one does, this run fails, or with "replace" takes its
        place; the other one then goes on after its timeout.
        """
        from stepserve_core._signals import ask_wait, read_signal  # noqa: PLC0415 - few programs wait for signals

        given = signal, timeout, on_conflict
        return self._reach(step_id, read_signal, ask_wait, *given)  # type: ignore[no-any-return]

    def send_signal(self, step_id: str, signal: str, data: object = None) -> str | None:
        """Send a signal once; return the id of the run that waited for it, or None where none did."""
        return self._reach(step_id, None, self._asks.send_signal, signal, data)  # type: ignore[no-any-return]

    def _reach(self, step_id: str, read: Read | None, ask: Callable[..., Ask], *args: object) -> Any:
        raise NotImplementedError  # `StepSync` has it


class ExtraSteps(_Calls):
    """More steps of an `async def` function; each returns what must be awaited."""

    @property
    def realtime(self) -> Realtime:
        """Steps that publish messages."""
        from stepserve_core._realtime import Realtime  # noqa: PLC0415

        return Realtime(self._reach, self._asks)

    def fetch(
        self,
        step_id: str,
        url: str,
        *,
        method: str = "GET",
        headers: Mapping[str, str] | None = None,
        params: Mapping[str, object] | None = None,
        body: str | bytes | None = None,
        json: object = None,
    ) -> Coroutine[None, object, FetchResponse]:
        """Let the server make an HTTP request; the app is not busy meanwhile. Return the response, whatever its status.

        The server tries again if nobody answers, as often as a failed step is tried again. Bodies must be text.
        """
        from stepserve_core._fetch import ask_fetch, read_response  # noqa: PLC0415

        return self._reach(step_id, read_response, ask_fetch, url, method, headers, body, json, params)

    def wait_for_signal(
        self, step_id: str, *, signal: str, timeout: Duration, on_conflict: OnConflict = "fail"
    ) -> Coroutine[None, object, Signal | None]:
        """Go on when `signal` is sent; return it, or None after `timeout`.

        One run at a time may wait for a name. Where another one does, this run fails, or with "replace" takes its
        place; the other one then goes on after its timeout.
        """
        from stepserve_core._signals import ask_wait, read_signal  # noqa: PLC0415

        return self._reach(step_id, read_signal, ask_wait, signal, timeout, on_conflict)

    def send_signal(self, step_id: str, signal: str, data: object = None) -> Coroutine[None, object, str | None]:
        """Send a signal once; return the id of the run that waited for it, or None where none did."""
        return self._reach(step_id, None, self._asks.send_signal, signal, data)

    def _reach(
        self, step_id: str, read: Read | None, ask: Callable[..., Ask], *args: object
    ) -> Coroutine[Any, Any, Any]:
        raise NotImplementedError  # `Step` has it

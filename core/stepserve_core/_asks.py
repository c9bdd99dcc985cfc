"""What each kind of step asks of the server (protocol.md 5.6), and how its memo is read; for both colours."""

from __future__ import annotations

import datetime
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import msgspec

from stepserve_core import _durations
from stepserve_core._converter import Converter
from stepserve_core._durations import Duration
from stepserve_core._event import Event, event_from
from stepserve_core._found import Ask
from stepserve_core._in_process import now
from stepserve_core._opcodes import Opcode
from stepserve_core._outputs import converter_of, converter_of_function, reader
from stepserve_core._serialize import encode_input
from stepserve_core._triggering import event_name

if TYPE_CHECKING:
    from stepserve_core._client import Inngest
    from stepserve_core._event_type import EventType
    from stepserve_core._function import Function
    from stepserve_core._realtime import Topic
    from stepserve_core._send import EventSender
    from stepserve_core.ai import AIAdapter

Read = Callable[[Any], Any]
MakeAsk = Callable[..., Ask]


def read_nothing(memo: object) -> None:
    """Read the memo of a sleep."""
    del memo


def read_event(memo: object) -> Event | None:
    """Read the memo of a wait: the event that came, or None."""
    return None if memo is None else event_from(memo)


def event_reader(event: str | EventType[Any]) -> Read:
    """Return what reads the memo of a wait for `event`."""
    if isinstance(event, str):
        return read_event
    return lambda memo: None if memo is None else event.read(memo)


class Asks:
    """Makes the asks of each kind of step, for functions of either colour."""

    def __init__(self, client: Inngest, sender: EventSender) -> None:
        self._client = client
        self._sender = sender

    def converter(self, handler: Callable[..., Any], output_type: object) -> Converter | None:
        """Return what takes the output of `handler` through JSON, if JSON alone does not give it back."""
        return converter_of(handler, output_type, self._client.serializer)

    def invoked(self, function: Function[Any], step_id: str) -> Read | None:
        """Return how to read what an invoked function returned.

        Raises:
            TypeError: it is no function that `create_function` made.
        """
        if not hasattr(function, "local_id"):
            raise TypeError(
                f"invoke(function=…) takes what create_function made, not {type(function).__name__}; for a function of"
                " another program there is invoke_by_id"
            )
        return reader(converter_of_function(function, self._client.serializer), step_id)

    def run(self, handler: Callable[..., Any], args: tuple[Any, ...], converter: Converter | None) -> Ask:
        """Ask to call `handler` in the app.

        Raises:
            TypeError: it is no function; often it was called instead of passed.
        """
        _check_callable(handler)
        return Ask(Opcode.STEP_RUN, None, None, handler, args, converter, self._client.step_inputs)

    def sleep_until(self, until: datetime.datetime) -> Ask:
        """Ask to be called again at `until`."""
        return Ask(Opcode.SLEEP, _durations.to_iso(until))

    def sleep(self, duration: Duration) -> Ask:
        """Ask to be called again after `duration`."""
        delta = datetime.timedelta(milliseconds=_durations.to_milliseconds(duration))
        return self.sleep_until(datetime.datetime.fromtimestamp(now(), datetime.timezone.utc) + delta)

    def wait_for_event(self, event: str | EventType[Any], if_exp: str | None, timeout: Duration) -> Ask:
        """Ask to be called again when an event comes, or after `timeout`.

        Raises:
            TypeError: `event` is neither a name nor an `EventType`.
        """
        opts: dict[str, object] = {"if": if_exp, "timeout": _durations.to_text(timeout)}
        name = event_name(event)
        if not isinstance(name, str):
            raise TypeError(f"wait_for_event(event=…) takes a name or an EventType, not {type(event).__name__}")
        return Ask(Opcode.WAIT_FOR_EVENT, name, opts)

    def _invoke(
        self,
        function_id: str,
        data: object,
        timeout: Duration | None,
        v: str | None,
    ) -> Ask:
        opts: dict[str, object] = {
            "function_id": function_id,
            "payload": {"data": data, "v": v},
            "timeout": None if timeout is None else _durations.to_text(timeout),
        }
        return Ask(Opcode.INVOKE, None, opts)

    def invoke(self, function: Function[Any], data: object, timeout: Duration | None, v: str | None) -> Ask:
        """Ask to run another function of this app.

        Raises:
            EventInvalidError: the data does not have the type that the function's trigger declares.
        """
        if function.event_types:
            data = function.event_types.dump(data)
        function_id = f"{self._client.app_id}-{function.local_id}"
        return self._invoke(function_id, data, timeout, v)

    def invoke_by_id(
        self,
        app_id: str | None,
        function_id: str,
        data: object,
        timeout: Duration | None,
        v: str | None,
    ) -> Ask:
        """Ask to run a function by its id."""
        return self._invoke(f"{app_id or self._client.app_id}-{function_id}", data, timeout, v)

    def send_event(self, events: Event[Any] | Sequence[Event[Any]]) -> Ask:
        """Ask to send events from the app."""
        return Ask(Opcode.STEP_RUN, None, None, self._sender.send_in_step, (events,))

    def wrap(
        self, step_id: str, handler: Callable[..., Any], args: tuple[Any, ...], converter: Converter | None
    ) -> Ask:
        """Ask to call `handler` in the app, and show the server its arguments (13.5).

        Raises:
            TypeError: it is no function.
            OutputUnserializableError: JSON cannot carry them.
        """
        _check_callable(handler)
        given = msgspec.Raw(encode_input(list(args), f"step {step_id!r}"))
        opts: dict[str, object] = {"input": given, "type": "step.ai.wrap"}
        return Ask(Opcode.STEP_RUN, None, opts, handler, args, converter)

    def publish(self, topic: Topic[Any], data: object) -> Ask:
        """Ask to publish a realtime message from the app."""
        from stepserve_core._realtime import ask_publish  # noqa: PLC0415 - few programs publish

        return ask_publish(self._client, self._sender.runtime, topic, data)

    def send_signal(self, signal: str, data: object) -> Ask:
        """Ask to send a signal from the app."""
        from stepserve_core._signals import ask_send  # noqa: PLC0415 - few programs send any

        return ask_send(self._client, self._sender.runtime, signal, data)

    def infer(self, adapter: AIAdapter, body: dict[str, Any]) -> Ask:
        """Ask the server to call a model."""
        adapter.on_call(body)
        opts: dict[str, object] = {
            "auth_key": adapter.auth_key(),
            "body": body,
            "format": adapter.format(),
            "headers": adapter.headers(),
            "type": "step.ai.infer",
            "url": adapter.url_infer(),
        }
        return Ask(Opcode.AI_GATEWAY, None, opts)


def _check_callable(handler: object) -> None:
    if not callable(handler):
        raise TypeError(
            f"a step takes the function itself, and its arguments after it: step.run('charge', charge, order), not"
            f" {type(handler).__name__}"
        )

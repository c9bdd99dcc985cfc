"""Signals: a name that one run waits for, and what is sent to it (protocol.md 13.5)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

import msgspec

from stepserve_core import _durations
from stepserve_core._durations import Duration
from stepserve_core._found import Ask
from stepserve_core._opcodes import Opcode
from stepserve_core._runtime import Runtime, run_in_colour
from stepserve_core._serialize import encode_given
from stepserve_core.errors import ServerAPIError

if TYPE_CHECKING:
    from stepserve_core._client import Inngest

OnConflict = Literal["fail", "replace"]
"""What happens when another run waits for the same signal: this run fails, or takes its place."""

PATH = "/v1/signals"


class Signal(msgspec.Struct, frozen=True):
    """A signal that arrived: its name, and the data that was sent with it (protocol.md 13.5)."""

    signal: str
    data: Any = None


class _Sent(msgspec.Struct):
    run_id: str | None = None


class _Reply(msgspec.Struct):
    data: _Sent


def read_signal(memo: object) -> Signal | None:
    """Read the memo of a wait: the signal, or None after the timeout (5.3)."""
    return None if memo is None else msgspec.convert(memo, Signal)


def ask_wait(signal: str, timeout: Duration, on_conflict: OnConflict) -> Ask:
    """Ask to be called again when a signal comes, or after `timeout`.

    Raises:
        ValueError: the name is empty, or `on_conflict` is something else.
    """
    _check_name(signal)
    if on_conflict not in ("fail", "replace"):
        raise ValueError(f"on_conflict must be 'fail' or 'replace', not {on_conflict!r}")
    opts: dict[str, object] = {"conflict": on_conflict, "signal": signal, "timeout": _durations.to_text(timeout)}
    return Ask(Opcode.WAIT_FOR_SIGNAL, None, opts)


def ask_send(client: Inngest, runtime: Runtime, signal: str, data: object) -> Ask:
    """Ask to send a signal from the app."""

    def send() -> Any:
        return run_in_colour(runtime, send_signal(client, runtime, signal, data))

    return Ask(Opcode.STEP_RUN, None, {"signal": signal, "type": "step.sendSignal"}, send)


async def send_signal(client: Inngest, runtime: Runtime, signal: str, data: object) -> str | None:
    """Send a signal; return the id of the run that waited for it, or None where none did.

    Raises:
        ServerAPIError: the server could not be reached, or knows no signals.
        OutputUnserializableError: JSON cannot carry the data.
    """
    from stepserve_core._rest import ask_server, error_text  # noqa: PLC0415 - most programs send no signals

    _check_name(signal)
    purpose = f"the signal {signal!r} could not be sent"
    encoded = encode_given(data, f"the data of signal {signal!r}")
    body = msgspec.json.encode({"signal": signal, "data": msgspec.Raw(encoded)})
    response = await ask_server(client, runtime, "POST", PATH, purpose=purpose, body=body, accept=(404,))
    if response.status == 404:
        if error_text(response) is None:  # not the API's answer: nobody there knows the path
            raise ServerAPIError(f"{purpose}: the server at {client.api_origin} knows no signals", 404)
        return None
    try:
        return msgspec.json.decode(response.body, type=_Reply).data.run_id or None
    except (msgspec.DecodeError, UnicodeDecodeError):
        raise ServerAPIError(f"{purpose}: the server answered something else", response.status) from None


def _check_name(signal: object) -> None:
    if not isinstance(signal, str) or not signal:
        raise ValueError("a signal has a name, such as 'order-7-paid'")

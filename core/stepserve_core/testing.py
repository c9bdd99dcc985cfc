"""What `stepserve.testing` needs of the engine, because it stands in for the server.

For tools of that kind; programs need nothing of it, and adapters find theirs in `stepserve_core.handler`.
"""

from __future__ import annotations

import contextlib
from collections.abc import Generator

from stepserve_core import _parallel, _protocol, _streaming
from stepserve_core._call import ServedCall
from stepserve_core._durations import Duration, to_milliseconds
from stepserve_core._event import decode_event
from stepserve_core._failure import to_wire
from stepserve_core._found import Found
from stepserve_core._http import HTTPResponse
from stepserve_core._in_process import StepSubstitutes, server_of, serving
from stepserve_core._middleware import MiddlewareManager
from stepserve_core._protocol import Call, CallContext, Request, Stack
from stepserve_core._runtime import AsyncRuntime, Runtime, SyncRuntime, run_sync
from stepserve_core._send import EventSender, encode_events
from stepserve_core._serialize import encode_output, encode_wire
from stepserve_core._threads import Threads, background_loop, is_on_loop

__all__ = [
    "SDK_HEADER",
    "AsyncRuntime",
    "Call",
    "CallContext",
    "Duration",
    "EventSender",
    "Found",
    "HTTPResponse",
    "MiddlewareManager",
    "Request",
    "Runtime",
    "ServedCall",
    "Stack",
    "StepSubstitutes",
    "SyncRuntime",
    "Threads",
    "background_loop",
    "decode_event",
    "encode_events",
    "encode_output",
    "encode_wire",
    "is_on_loop",
    "patience",
    "run_sync",
    "server_of",
    "serving",
    "to_milliseconds",
    "to_wire",
]

SDK_HEADER = _protocol.SDK
"""What only an SDK answers with (protocol.md 2.2)."""


@contextlib.contextmanager
def patience(*, keep_alive: float | None = None, target: float | None = None) -> Generator[None, None, None]:
    """Let the engine of this process wait for other times than it does.

    Args:
        keep_alive: seconds between the bytes that keep a streamed answer alive.
        target: seconds until a step that the server asks for counts as not reached.
    """
    before = _streaming.KEEP_ALIVE, _parallel.TARGET_PATIENCE
    _streaming.KEEP_ALIVE, _parallel.TARGET_PATIENCE = (
        usual if given is None else given for given, usual in zip((keep_alive, target), before, strict=True)
    )
    try:
        yield
    finally:
        _streaming.KEEP_ALIVE, _parallel.TARGET_PATIENCE = before

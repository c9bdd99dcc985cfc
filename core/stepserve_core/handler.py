"""One request in, one response out: what every adapter calls.

`Handler` checks who asks before anything else, finds out what is asked, and has it served in the runtime that
fits the function's colour: `handle` is called from a thread, `ahandle` from an event loop.

This module is all that an adapter needs of the core, beside the names of `stepserve_core`.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterable, Mapping
from contextlib import AbstractAsyncContextManager, AbstractContextManager
from typing import Any, NamedTuple, TypedDict

from typing_extensions import get_type_hints

from stepserve_core import _failure, _protocol, _streaming
from stepserve_core._admission import BODY_LIMIT, Admission, Work
from stepserve_core._answer import Answer
from stepserve_core._client import Inngest
from stepserve_core._function import Function
from stepserve_core._in_process import serving
from stepserve_core._protocol import Request, Response
from stepserve_core._refusals import Refusals
from stepserve_core._runtime import AsyncRuntime, Runtime, SyncRuntime, run_sync
from stepserve_core._serialize import encode_wire
from stepserve_core._signature import sign
from stepserve_core._streaming import AsyncStream, Stream, Streaming
from stepserve_core._threads import background_loop, is_on_loop, start_task, threads
from stepserve_core.errors import Error, UnauthorizedError

__all__ = [
    "BODY_LIMIT",
    "DEFAULT_PATH",
    "METHODS",
    "Around",
    "AsyncStream",
    "Handler",
    "MountOptions",
    "Request",
    "Response",
    "ServeOptions",
    "Stream",
    "is_on_loop",
    "resolve_path",
]

DEFAULT_PATH = "/api/inngest"
METHODS = ("GET", "POST", "PUT")


class MountOptions(TypedDict, total=False):
    """Options of `Handler` that every adapter hands on."""

    enable_unauthed_sync: bool | None
    public_path: str | None
    serve_origin: str | None
    streaming: Streaming | None


class ServeOptions(MountOptions, total=False):
    """Options of an adapter's `serve()`, which mounts at `serve_path`."""

    serve_path: str | None


def refuse_unknown(unknown: Mapping[str, object], known: type) -> None:
    """Refuse options that are none, in words of those who called an adapter, and not its insides.

    Raises:
        TypeError: there is one.
    """
    for name in unknown:
        raise TypeError(f"there is no option {name!r}; the options are {', '.join(sorted(get_type_hints(known)))}")


class Around(NamedTuple):
    """What a framework does around a call of a function and of its middleware: prepare connections, and put them back.

    Each is called for every call of a function of its colour, and what it returns is entered and left right there;
    nothing happens around requests that call no function. An error that one raises becomes the answer.

    Args:
        thread: for `def` functions, in the thread where the function runs.
        loop: for `async def` functions, on the event loop and in the task that serves the call. Context variables
            that it sets are seen by the function.
    """

    thread: Callable[[], AbstractContextManager[object]]
    loop: Callable[[], AbstractAsyncContextManager[object]]


class Handler:
    """Serves the functions of one app.

    Args:
        client: the app.
        functions: what it serves.
        framework: the framework's name on the wire.
        around: contexts around every call of a function, for adapters.
        in_process: requests come from this process, or over a connection that it opened itself, and from nowhere
            else, so that no key is needed to trust them.
        enable_unauthed_sync: whether unsigned sync requests are served in production; else
            INNGEST_ENABLE_UNAUTHED_SYNC, else True. They make the app register itself and tell the sender nothing.
        public_path: the path to report, where a proxy changes it.
        serve_origin: the origin to report; else INNGEST_SERVE_ORIGIN, else that of the request.
        serve_path: the path where the app is mounted; else INNGEST_SERVE_PATH, else /api/inngest.
        streaming: whether answers to calls are streamed, by adapters that call `stream` or `astream`; else
            INNGEST_STREAMING, else not.

    Raises:
        SigningKeyMissingError: production mode without a signing key.
        FunctionConfigInvalidError: two functions have the same id.
        TypeError: an option is unknown.
    """

    def __init__(
        self,
        client: Inngest,
        functions: Iterable[Function[Any]],
        *,
        framework: str,
        around: Around | None = None,
        in_process: bool = False,
        enable_unauthed_sync: bool | None = None,
        public_path: str | None = None,
        serve_origin: str | None = None,
        serve_path: str | None = None,
        streaming: Streaming | None = None,
        **unknown: object,
    ) -> None:
        refuse_unknown(unknown, ServeOptions)
        if not in_process:
            client.settings.require_signing_key()
        self._client = client
        self._admission = Admission(
            client,
            functions,
            framework,
            in_process=in_process,
            enable_unauthed_sync=enable_unauthed_sync,
            public_path=public_path,
            serve_origin=serve_origin,
            serve_path=serve_path,
        )
        self._refusals = Refusals(client)
        self._around = around
        self._streams = (streaming or _streaming_variable()) is Streaming.FORCE
        self._headers = {
            **client.headers,
            _protocol.EXPECTED_SERVER_KIND: client.settings.mode,
            _protocol.FRAMEWORK: framework,
            _protocol.SDK_HANDLED: "true",
        }

    @property
    def client(self) -> Inngest:
        """Return the client of the app."""
        return self._client

    @property
    def serve_origin(self) -> str | None:
        """Return the origin that is reported whatever the request's is; None if the request decides."""
        return self._admission.origin

    def reported_url(self, url: str) -> str:
        """Return the URL under which the app is registered if a request comes to `url` (protocol.md 1.5)."""
        return self._admission.reported_url(url)

    def register(self, url: str) -> dict[str, Any]:
        """Register the functions, as if a request to sync had come to `url`; from a thread that may block.

        For commands that run where the app is deployed. Return the server's answer (protocol.md 4.5).

        Raises:
            RegistrationFailedError: the server could not be reached, or refused them; the message says why.
            FunctionConfigInvalidError: there are no functions.
        """
        return run_sync(self._admission.register(SyncRuntime(), url))

    def handle(self, request: Request) -> Response:
        """Serve a request, from a thread that may block."""
        started = time.perf_counter()
        return self._finish(self._admission.admit(request), started)

    async def ahandle(self, request: Request) -> Response:
        """Serve a request, from an event loop; sync functions run in a thread."""
        started = time.perf_counter()
        return await self._afinish(self._admission.admit(request), started)

    def stream(self, request: Request) -> Response | Stream:
        """Serve a request as `handle` does, but stream the answer to a call if streaming is on."""
        started = time.perf_counter()
        work = self._admission.admit(request)
        if not self._streams or work.is_async is None:
            return self._finish(work, started)
        chunks = _streaming.chunks(threads.submit(lambda: self._finish(work, started)))
        return Stream(_streaming.STATUS, self._headers, chunks)

    async def astream(self, request: Request) -> Response | AsyncStream:
        """Serve a request as `ahandle` does, but stream the answer to a call if streaming is on."""
        started = time.perf_counter()
        work = self._admission.admit(request)
        if not self._streams or work.is_async is None:
            return await self._afinish(work, started)
        chunks = _streaming.achunks(start_task(self._afinish(work, started)))
        return AsyncStream(_streaming.STATUS, self._headers, chunks)

    def _finish(self, work: Work, started: float) -> Response:
        if work.is_async:
            answer = background_loop.run(lambda: self._serve(work, AsyncRuntime()))
        else:
            answer = run_sync(self._serve(work, SyncRuntime()))
        return self._respond(answer, work.key, started)

    async def _afinish(self, work: Work, started: float) -> Response:
        if work.is_async is False and not _runs_in_place():
            answer = await threads.run(lambda: run_sync(self._serve(work, SyncRuntime())))
        else:
            answer = await self._serve(work, SyncRuntime() if work.is_async is False else AsyncRuntime())
        return self._respond(answer, work.key, started)

    async def _serve(self, work: Work, runtime: Runtime) -> Answer:
        try:
            if self._around is None or work.is_async is None:
                return await work.serve(runtime)
            if runtime.is_async:
                async with self._around.loop():
                    return await work.serve(runtime)
            with self._around.thread():
                return await work.serve(runtime)
        except UnauthorizedError as error:
            self._refusals.tell(error)
            return Answer(401, b'{"message":"Unauthorized"}', {})
        except Exception as error:
            return self._error_answer(error)

    def _error_answer(self, error: Exception) -> Answer:
        trace = None if isinstance(error, Error) else error  # what we raise ourselves says all there is to know
        self._client.logger.error("a request failed: %s: %s", type(error).__name__, error, exc_info=trace)
        wire = _failure.to_wire(error)
        body = {"code": wire.code, "message": wire.message, "name": wire.name}
        return Answer(error.status if isinstance(error, Error) else 500, encode_wire(body), {})

    def _respond(self, answer: Answer, key: str | None, started: float) -> Response:
        whole = f"comm_handler;dur={int((time.perf_counter() - started) * 1000)}"
        timing = {_protocol.SERVER_TIMING: ", ".join((whole, *answer.timing))}
        # Somebody who has not proved who they are learns nothing about the app (3.1).
        if answer.status in (401, 405, 413):
            bare = {"content-type": "application/json", _protocol.SDK_HANDLED: "true", **timing}
            return Response(answer.status, {**answer.headers, **bare}, answer.body)
        headers = {**answer.headers, **self._headers, **timing}
        if key is not None:
            headers[_protocol.SIGNATURE] = sign(answer.body, key, round(time.time()))
        return Response(answer.status, headers, answer.body)


def resolve_path(serve_path: str | None) -> str:
    """Return the path at which an adapter mounts the app (1.5)."""
    path = serve_path or os.environ.get("INNGEST_SERVE_PATH") or DEFAULT_PATH
    return path if path.startswith("/") else f"/{path}"


def _runs_in_place() -> bool:
    server = serving.get()
    return server is not None and server.runs_in_place


def _streaming_variable() -> Streaming | None:
    text = os.environ.get("INNGEST_STREAMING", "").strip().lower()
    if text in ("force", "allow"):  # the two that other SDKs know
        return Streaming.FORCE
    return Streaming.DISABLE if text == "disable" else None

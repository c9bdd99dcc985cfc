"""One request in, one response out: what every adapter calls.

`Handler` checks who asks before anything else, finds out what is asked, and has it served in the runtime that
fits the function's colour: `handle` is called from a thread, `ahandle` from an event loop.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Coroutine, Iterable
from typing import Any, NamedTuple, TypedDict

from stepserve_core import _failure, _protocol, _registration, _streaming
from stepserve_core._answer import Answer
from stepserve_core._call import ServedCall
from stepserve_core._client import Inngest, is_unauthed_sync_enabled
from stepserve_core._function import Function
from stepserve_core._protocol import Request, Response
from stepserve_core._runtime import (
    AsyncRuntime,
    Runtime,
    SyncRuntime,
    background_loop,
    run_sync,
    start_task,
    threads,
)
from stepserve_core._serialize import encode_wire
from stepserve_core._signature import sign, verify
from stepserve_core._streaming import AsyncStream, Stream, Streaming
from stepserve_core.errors import (
    BodyInvalidError,
    ConfigurationError,
    Error,
    FunctionConfigInvalidError,
    FunctionNotFoundError,
    QueryParamMissingError,
    UnauthorizedError,
)

DEFAULT_PATH = "/api/inngest"
METHODS = ("GET", "POST", "PUT")
NO_TARGET = "step"

_SERVER_KINDS = ("cloud", "dev")


class MountOptions(TypedDict, total=False):
    """Options of `Handler` that every adapter hands on."""

    enable_unauthed_sync: bool | None
    public_path: str | None
    serve_origin: str | None
    streaming: Streaming | None


class ServeOptions(MountOptions, total=False):
    """Options of an adapter's `serve()`, which mounts at `serve_path`."""

    serve_path: str | None


class _Work(NamedTuple):
    """An admitted request: how to serve it, and the colour this needs (None: either)."""

    serve: Callable[[Runtime], Coroutine[Any, Any, Answer]]
    is_async: bool | None = None
    key: str | None = None


class _Served(NamedTuple):
    function: Function[Any]
    is_failure_handler: bool
    is_async: bool


class Handler:
    """Serves the functions of one app.

    Args:
        client: the app.
        functions: what it serves.
        framework: the framework's name on the wire.
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
    """

    def __init__(
        self,
        client: Inngest,
        functions: Iterable[Function[Any]],
        *,
        framework: str,
        enable_unauthed_sync: bool | None = None,
        public_path: str | None = None,
        serve_origin: str | None = None,
        serve_path: str | None = None,
        streaming: Streaming | None = None,
    ) -> None:
        client.settings.require_signing_key()
        functions = list(functions)
        self._client = client
        self._served = _by_id(functions)
        self._function_count = len(functions)
        self._framework = framework
        self._unauthed_sync = is_unauthed_sync_enabled(enable_unauthed_sync)
        self._serve_origin = serve_origin
        self._serve_path = serve_path
        self._origin = serve_origin or os.environ.get("INNGEST_SERVE_ORIGIN") or None
        self._path = public_path or serve_path or os.environ.get("INNGEST_SERVE_PATH") or None
        self._sync = _registration.SyncResponder(client, functions, framework)
        self._streams = (streaming or _streaming_variable()) is Streaming.FORCE
        self._headers = {
            **client.headers,
            _protocol.EXPECTED_SERVER_KIND: client.settings.mode,
            _protocol.FRAMEWORK: framework,
            _protocol.SDK_HANDLED: "true",
        }

    def handle(self, request: Request) -> Response:
        """Serve a request, from a thread that may block."""
        started = time.perf_counter()
        return self._finish(self._admit(request), started)

    async def ahandle(self, request: Request) -> Response:
        """Serve a request, from an event loop; sync functions run in a thread."""
        started = time.perf_counter()
        return await self._afinish(self._admit(request), started)

    def stream(self, request: Request) -> Response | Stream:
        """Serve a request as `handle` does, but stream the answer to a call if streaming is on."""
        started = time.perf_counter()
        work = self._admit(request)
        if not self._streams or work.is_async is None:
            return self._finish(work, started)
        chunks = _streaming.chunks(threads.submit(lambda: self._finish(work, started)))
        return Stream(_streaming.STATUS, self._headers, chunks)

    async def astream(self, request: Request) -> Response | AsyncStream:
        """Serve a request as `ahandle` does, but stream the answer to a call if streaming is on."""
        started = time.perf_counter()
        work = self._admit(request)
        if not self._streams or work.is_async is None:
            return await self._afinish(work, started)
        chunks = _streaming.achunks(start_task(self._afinish(work, started)))
        return AsyncStream(_streaming.STATUS, self._headers, chunks)

    def _finish(self, work: _Work, started: float) -> Response:
        if work.is_async:
            answer = background_loop.run(lambda: self._serve(work, AsyncRuntime()))
        else:
            answer = run_sync(self._serve(work, SyncRuntime()))
        return self._respond(answer, work.key, started)

    async def _afinish(self, work: _Work, started: float) -> Response:
        if work.is_async is False:
            answer = await threads.run(lambda: run_sync(self._serve(work, SyncRuntime())))
        else:
            answer = await self._serve(work, AsyncRuntime())
        return self._respond(answer, work.key, started)

    def _admit(self, request: Request) -> _Work:
        """Check who asks, then what is asked. Nothing is parsed before the signature is checked."""
        try:
            if request.method == "POST":
                return self._admit_call(request)
            if request.method == "PUT":
                return self._admit_sync(request)
            if request.method in ("GET", "HEAD"):
                return self._admit_inspection(request)
            return _Work(_answering(Answer(405, b'{"message":"Method not allowed"}', {"allow": "GET, POST, PUT"})))
        except Error as error:
            return _Work(_raising(error))

    def _admit_call(self, request: Request) -> _Work:
        key = self._authenticate(request)
        try:
            query = request.query()
            if "probe" in query:
                return _Work(_probe(query["probe"][0]), key=key)
            call = _protocol.parse_call(request.body)
            served = self._find(query)
            target = query.get("stepId", [NO_TARGET])[0]
        except Error as error:
            return _Work(_raising(error), key=key)

        def serve(runtime: Runtime) -> Coroutine[Any, Any, Answer]:
            return ServedCall(
                client=self._client,
                function=served.function,
                is_failure_handler=served.is_failure_handler,
                request=request,
                call=call,
                target=None if target == NO_TARGET else target,
                runtime=runtime,
            ).answer()

        return _Work(serve, served.is_async, key)

    def _admit_inspection(self, request: Request) -> _Work:
        key = self._authenticate(request)
        kind = _server_kind(request)
        if kind is not None and kind != self._client.settings.mode:
            return _Work(_answering(Answer(403, b"{}", {})), key=key)
        inspected = _registration.inspection(self._client, self._function_count) if key is None else self._inspect()
        return _Work(_answering(Answer(200, encode_wire(inspected), {})), key=key)

    def _admit_sync(self, request: Request) -> _Work:
        in_band = self._client.is_production and request.headers.get(_protocol.SYNC_KIND) == "in_band"
        key = None
        if in_band or (self._client.is_production and not self._unauthed_sync):
            key = self._authenticate(request)
        elif self._client.is_production and request.headers.get(_protocol.SIGNATURE):
            key = self._authenticate_or_none(request)
        try:
            return _Work(self._sync_work(request, in_band=in_band), key=key)
        except Error as error:
            return _Work(_raising(error), key=key)

    def _sync_work(self, request: Request, *, in_band: bool) -> Callable[[Runtime], Coroutine[Any, Any, Answer]]:
        url = request.url
        if in_band:
            base = _protocol.parse_sync(request.body).get("url")
            if not isinstance(base, str):
                raise BodyInvalidError('an in-band sync needs the app\'s URL in its body: {"url": "https://…"}')
            body = self._sync.in_band(self._serve_url(base), self._inspect())
            return _answering(Answer(200, body, {_protocol.SYNC_KIND: "in_band"}))
        kind = _server_kind(request)
        mode = self._client.settings.mode
        if kind is not None and kind != mode:
            names = {"dev": "a Dev Server", "cloud": "Cloud"}
            expected = {"dev": "Dev Server", "cloud": "Cloud"}
            message = f"Sync rejected since it's from {names[kind]} but expected {expected[mode]}"
            refusal = {"code": "server_kind_mismatch", "message": message}
            return _answering(Answer(400, encode_wire(refusal), {}))
        deploy_id = request.query().get("deployId", [None])[0]

        async def register(runtime: Runtime) -> Answer:
            body = await self._sync.out_of_band(runtime, self._serve_url(url), kind, deploy_id)
            return Answer(200, body, {_protocol.SYNC_KIND: "out_of_band"})

        return register

    def _authenticate(self, request: Request) -> str | None:
        """Return the key that signed the request; None in dev mode, which checks nothing (1.3)."""
        if not self._client.is_production:
            return None
        return verify(request.body, request.headers.get(_protocol.SIGNATURE), self._client.settings.keys, time.time())

    def _authenticate_or_none(self, request: Request) -> str | None:
        try:
            return self._authenticate(request)
        except UnauthorizedError:
            return None

    def _find(self, query: dict[str, list[str]]) -> _Served:
        function_id = query.get("fnId", [""])[0]
        if not function_id:
            raise QueryParamMissingError("fnId")
        served = self._served.get(function_id)
        if served is None:
            raise FunctionNotFoundError(f"function {function_id} not found; is it in the list given to serve()?")
        return served

    def _inspect(self) -> dict[str, Any]:
        return _registration.authenticated_inspection(
            self._client,
            self._function_count,
            self._framework,
            serve_origin=self._serve_origin,
            serve_path=self._serve_path,
        )

    def _serve_url(self, url: str) -> str:
        return _registration.serve_url(url, serve_origin=self._origin, path=self._path)

    async def _serve(self, work: _Work, runtime: Runtime) -> Answer:
        try:
            return await work.serve(runtime)
        except UnauthorizedError as error:
            self._client.logger.warning("refused a request: %s", error)
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
        if answer.status in (401, 405):  # says nothing about the app to somebody who has not proved who they are (3.1)
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


def _streaming_variable() -> Streaming | None:
    text = os.environ.get("INNGEST_STREAMING", "").strip().lower()
    if text in ("force", "allow"):  # the two that other SDKs know
        return Streaming.FORCE
    return Streaming.DISABLE if text == "disable" else None


def _by_id(functions: list[Function[Any]]) -> dict[str, _Served]:
    served: dict[str, _Served] = {}
    for function in functions:
        if not isinstance(function, Function):
            raise ConfigurationError(
                f"serve() takes functions made by @client.create_function(…), not {type(function).__name__}"
            )
        for function_id in filter(None, (function.id, function.on_failure_fn_id)):
            if function_id in served:
                raise FunctionConfigInvalidError(f"two functions have the id {function_id!r}; ids must differ")
            is_failure_handler = function_id != function.id
            served[function_id] = _Served(function, is_failure_handler, function.is_handler_async)
    return served


def _server_kind(request: Request) -> str | None:
    kind = request.headers.get(_protocol.SERVER_KIND)
    return kind if kind in _SERVER_KINDS else None


def _probe(name: str) -> Callable[[Runtime], Coroutine[Any, Any, Answer]]:
    if name == "trust":
        return _answering(Answer(200, b"null", {}))
    return _raising(BodyInvalidError(f"unsupported probe: {name}"))


def _answering(answer: Answer) -> Callable[[Runtime], Coroutine[Any, Any, Answer]]:
    async def serve(runtime: Runtime) -> Answer:
        del runtime
        return answer

    return serve


def _raising(error: Error) -> Callable[[Runtime], Coroutine[Any, Any, Answer]]:
    async def serve(runtime: Runtime) -> Answer:
        del runtime
        raise error

    return serve

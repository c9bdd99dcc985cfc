"""Who asks, and for what: from a request to the work that serves it (protocol.md sections 2 and 4, 5.1)."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Coroutine, Iterable
from typing import Any

import msgspec

from stepserve_core import _protocol, _registration
from stepserve_core._answer import Answer
from stepserve_core._call import ServedCall
from stepserve_core._client import Inngest, is_unauthed_sync_enabled
from stepserve_core._function import Function
from stepserve_core._protocol import Request
from stepserve_core._runtime import Runtime
from stepserve_core._serialize import encode_wire
from stepserve_core._signature import verify
from stepserve_core.errors import (
    BodyInvalidError,
    ConfigurationError,
    Error,
    FunctionConfigInvalidError,
    FunctionNotFoundError,
    QueryParamMissingError,
    UnauthorizedError,
)

BODY_LIMIT = 64 * 1024 * 1024
"""Bytes of a body beyond which a request is refused, whoever sent it. Servers send a few megabytes at most; adapters
read one byte more than this and leave the rest, so that a sender without a key cannot fill the memory."""

NO_TARGET = "step"

_SERVER_KINDS = ("cloud", "dev")


class Work(msgspec.Struct, frozen=True):
    """An admitted request: how to serve it, and the colour this needs (None: either)."""

    serve: Callable[[Runtime], Coroutine[Any, Any, Answer]]
    is_async: bool | None = None
    key: str | None = None


class ServedFunction(msgspec.Struct, frozen=True):
    function: Function[Any]
    id: str
    is_async: bool


class Admission:
    """Decides about the requests of one served app. For the arguments see `Handler`."""

    def __init__(
        self,
        client: Inngest,
        functions: Iterable[Function[Any]],
        framework: str,
        *,
        in_process: bool,
        enable_unauthed_sync: bool | None,
        public_path: str | None,
        serve_origin: str | None,
        serve_path: str | None,
    ) -> None:
        functions = list(functions)
        self._client = client
        self._is_open = in_process or not client.is_production
        self._keys = client.settings.keys
        self._served = _by_id(functions)
        self._function_count = len(functions)
        self._framework = framework
        self._unauthed_sync = is_unauthed_sync_enabled(enable_unauthed_sync)
        self._serve_origin = serve_origin
        self._serve_path = serve_path
        self.origin = serve_origin or os.environ.get("INNGEST_SERVE_ORIGIN") or None
        self._path = public_path or serve_path or os.environ.get("INNGEST_SERVE_PATH") or None
        self._sync = _registration.SyncResponder(client, functions, framework)

    def admit(self, request: Request) -> Work:
        """Return what to do about a request. Whoever asks is checked first, and nothing is parsed before."""
        try:
            if len(request.body) > BODY_LIMIT:
                return Work(_answering(Answer(413, b'{"message":"Body too large"}', {})))
            if request.method == "POST":
                return self._admit_call(request)
            if request.method == "PUT":
                return self._admit_sync(request)
            if request.method in ("GET", "HEAD"):
                return self._admit_inspection(request)
            return Work(_answering(Answer(405, b'{"message":"Method not allowed"}', {"allow": "GET, POST, PUT"})))
        except Error as error:
            return Work(_raising(error))

    def _admit_call(self, request: Request) -> Work:
        key = self._authenticate(request)
        try:
            query = request.query()
            if "probe" in query:
                return Work(_probe(query["probe"][0]), key=key)
            call = _protocol.parse_call(request.body)
            served = self._find(query)
            target = query.get("stepId", [NO_TARGET])[0]
        except Error as error:
            return Work(_raising(error), key=key)

        def serve(runtime: Runtime) -> Coroutine[Any, Any, Answer]:
            return ServedCall(
                self._client,
                served.function,
                request,
                call,
                function_id=served.id,
                target=None if target in ("", NO_TARGET) else target,
                runtime=runtime,
            ).answer()

        return Work(serve, served.is_async, key)

    def _admit_inspection(self, request: Request) -> Work:
        key = self._authenticate(request)
        kind = _server_kind(request)
        if kind is not None and kind != self._client.settings.mode:
            return Work(_answering(Answer(403, b"{}", {})), key=key)
        inspected = _registration.inspection(self._client, self._function_count) if key is None else self._inspect()
        return Work(_answering(Answer(200, encode_wire(inspected), {})), key=key)

    def _admit_sync(self, request: Request) -> Work:
        in_band = self._client.is_production and request.headers.get(_protocol.SYNC_KIND) == "in_band"
        key = None
        if in_band or (self._client.is_production and not self._unauthed_sync):
            key = self._authenticate(request)
        elif self._client.is_production and request.headers.get(_protocol.SIGNATURE):
            key = self._authenticate_or_none(request)
        try:
            return Work(self._sync_work(request, in_band=in_band), key=key)
        except Error as error:
            return Work(_raising(error), key=key)

    def _sync_work(self, request: Request, *, in_band: bool) -> Callable[[Runtime], Coroutine[Any, Any, Answer]]:
        url = request.url
        if in_band:
            base = _protocol.parse_sync(request.body).get("url")
            if not isinstance(base, str):
                raise BodyInvalidError('an in-band sync needs the app\'s URL in its body: {"url": "https://…"}')
            body = self._sync.in_band(self.reported_url(base), self._inspect())
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
            reply = await self.register(runtime, url, kind, deploy_id)
            return Answer(200, encode_wire(reply), {_protocol.SYNC_KIND: "out_of_band"})

        return register

    async def register(
        self, runtime: Runtime, url: str, server_kind: str | None = None, deploy_id: str | None = None
    ) -> dict[str, Any]:
        """Register the functions as reached at `url`, and return the server's answer; for the errors see `Handler`."""
        return await self._sync.out_of_band(runtime, self.reported_url(url), server_kind, deploy_id)

    def _authenticate(self, request: Request) -> str | None:
        """Return the key that signed the request; None in dev mode, which checks nothing (1.3), and in process."""
        if self._is_open:
            return None
        return verify(request.body, request.headers.get(_protocol.SIGNATURE), self._keys, time.time())

    def _authenticate_or_none(self, request: Request) -> str | None:
        try:
            return self._authenticate(request)
        except UnauthorizedError:
            return None

    def _find(self, query: dict[str, list[str]]) -> ServedFunction:
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

    def reported_url(self, url: str) -> str:
        """Return the URL under which the app is registered if a request comes to `url`."""
        return _registration.serve_url(url, serve_origin=self.origin, path=self._path)


def _by_id(functions: list[Function[Any]]) -> dict[str, ServedFunction]:
    served: dict[str, ServedFunction] = {}
    for function in functions:
        if not isinstance(function, Function):
            raise ConfigurationError(
                f"serve() takes functions made by @client.create_function(…), not {type(function).__name__}"
            )
        for function_id in filter(None, (function.id, function.on_failure_fn_id, function.on_cancel_fn_id)):
            if function_id in served:
                raise FunctionConfigInvalidError(f"two functions have the id {function_id!r}; ids must differ")
            served[function_id] = ServedFunction(function, function_id, function.is_handler_async)
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

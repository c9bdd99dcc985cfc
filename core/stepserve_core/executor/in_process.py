"""The executor as the server of clients in its own process: their requests reach it without a socket.

Events go straight in; all other requests are answered by the API, as an ASGI application.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping, MutableMapping
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote, urlsplit

import msgspec

from stepserve_core import _protocol
from stepserve_core._checkpointing import Checkpointing
from stepserve_core._http import HTTPResponse
from stepserve_core._in_process import StepSubstitutes
from stepserve_core._registration import function_configs
from stepserve_core._runtime import Runtime, run_sync
from stepserve_core._serialize import encode_wire
from stepserve_core.executor.transport import EmbeddedTransport
from stepserve_core.handler import Handler

if TYPE_CHECKING:
    from stepserve_core._client import Inngest
    from stepserve_core._function import Function
    from stepserve_core.executor.executor import Executor

_CHECKPOINT = "/v1/checkpoint/"
_DIRECT = ("/e/", _CHECKPOINT)

URL = "http://embedded/api/inngest"
"""What is registered as the app's URL; nobody connects to it."""

clock_offset: ContextVar[float] = ContextVar("stepserve_clock_offset", default=0.0)
"""Seconds by which the clock of the app is ahead of the executor's while it is called; faults change it."""


class Embedded:
    """An app in this process: its functions, how they are called, and the server that its client asks."""

    server: LocalServer

    def __init__(self, client: Inngest, functions: Iterable[Function[Any]]) -> None:
        self._client = client
        self._functions = list(functions)
        self.handler = Handler(client, self._functions, framework="executor", in_process=True)

    @property
    def transport(self) -> EmbeddedTransport:
        """What calls the functions; code that they run finds `server`."""
        return EmbeddedTransport(self.handler, lambda: self.server)

    def registration(self) -> bytes:
        """Return what the app registers."""
        functions = function_configs(self._functions, URL)
        return encode_wire({"appName": self._client.app_id, "url": URL, "functions": functions})

    def attach(self) -> None:
        """Let requests of the client come here."""
        self._client.servers.append(self.server)

    def detach(self) -> None:
        """Let them go elsewhere again."""
        if self.server in self._client.servers:
            self._client.servers.remove(self.server)


class LocalServer:
    """Answers clients in this process, from any thread and any event loop.

    A store in memory never suspends whoever uses it, so that a request can be answered where it is made while the
    executor's event loop stands still. Otherwise it is answered on that loop.
    """

    runs_in_place = False
    substitutes: StepSubstitutes | None = None
    checkpointing: Checkpointing | None = None

    def __init__(self, executor: Executor) -> None:
        self._executor = executor
        self._api: Any = None

    def now(self) -> float:
        """Return the moment by the executor's clock, as the app sees it."""
        return self._executor.clock.now() + clock_offset.get()

    async def answer(
        self, runtime: Runtime, method: str, target: str, headers: Mapping[str, str], body: bytes
    ) -> HTTPResponse:
        """Answer a request of a client; `target` is path and query.

        Raises:
            RuntimeError: a sync function was called in the executor's own thread, and the store is a file.
        """
        answering = self._answer(method, target, headers, body)
        loop = self._executor.loop.event_loop
        # What only writes to a store in memory is answered in any thread. The function that asks may be keeping the
        # event loop's own thread busy.
        is_direct = method == "POST" and self._executor.store.is_in_memory and target.startswith(_DIRECT)
        if loop is None or is_direct or self._executor.loop.is_in_this_thread():
            return await answering if runtime.is_async else run_sync(answering)
        future = asyncio.run_coroutine_threadsafe(answering, loop)
        return await asyncio.wrap_future(future) if runtime.is_async else future.result()

    async def _answer(self, method: str, target: str, headers: Mapping[str, str], body: bytes) -> HTTPResponse:
        if method == "POST" and target.startswith("/e/"):
            seed = headers.get(_protocol.EVENT_ID_SEED)
            ids, error = await self._executor.accept(body, "application/json", seed)
            status = 200 if error is None else 400
            return HTTPResponse(status, msgspec.json.encode({"ids": ids, "status": status, "error": error}))
        if method == "POST" and target.startswith(_CHECKPOINT) and target.endswith("/async"):
            return await self._save(unquote(target[len(_CHECKPOINT) : -len("/async")]), body)
        return await self._ask_api(method, target, headers, body)

    async def _save(self, run_id: str, body: bytes) -> HTTPResponse:
        """Save steps; they come in numbers, and the way through Starlette would cost more than they do."""
        from stepserve_core.executor.checkpoints import (  # noqa: PLC0415 - it imports the executor
            CheckpointRefusedError,
            save_checkpoint,
        )

        try:
            await save_checkpoint(self._executor, run_id, body)
        except CheckpointRefusedError as refusal:
            error = {"error": str(refusal), "data": refusal.data, "status": refusal.status}
            return HTTPResponse(refusal.status, msgspec.json.encode(error))
        return HTTPResponse(200, b"")

    async def _ask_api(self, method: str, target: str, headers: Mapping[str, str], body: bytes) -> HTTPResponse:
        if self._api is None:
            # Starlette is loaded by those who need it. Whoever is in the process needs no key.
            from stepserve_core.executor.api.http import Access  # noqa: PLC0415
            from stepserve_core.executor.api.routes import build_api  # noqa: PLC0415

            self._api = build_api(self._executor, Access())
        parts = urlsplit(target)
        scope = {
            "type": "http",
            "asgi": {"version": "3.0"},
            "http_version": "1.1",
            "scheme": "http",
            "method": method,
            "path": parts.path,
            "raw_path": parts.path.encode(),
            "query_string": parts.query.encode(),
            "headers": [(name.lower().encode(), value.encode()) for name, value in headers.items()],
        }
        status, chunks = 500, [b""]

        async def receive() -> dict[str, Any]:
            return {"type": "http.request", "body": body, "more_body": False}

        async def send(message: MutableMapping[str, Any]) -> None:
            nonlocal status
            status = message.get("status", status)
            chunks.append(message.get("body", b""))

        await self._api(scope, receive, send)
        return HTTPResponse(status, b"".join(chunks))

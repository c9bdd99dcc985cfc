"""Durable endpoints: an ordinary route whose steps are remembered (protocol.md 13.3).

The route runs while its client waits; each step is saved before the next begins. If it ends, its client gets the
answer, and the run is over. If it has to wait, or a step has to be tried again, the client is sent to where the answer
will be, and the server makes the same request again: that call replays the steps, and answers the server.

This module is all that an adapter needs of the core for it.
"""

from __future__ import annotations

import base64
import time
from collections.abc import Awaitable, Callable
from contextvars import ContextVar
from inspect import isawaitable
from typing import Any, Literal, Protocol, TypedDict, TypeVar
from urllib.parse import urlsplit

import msgspec

from stepserve_core import _protocol
from stepserve_core._answer import Answer
from stepserve_core._call import ServedCall
from stepserve_core._checkpoint_api import CheckpointFailedError
from stepserve_core._checkpointing import Checkpointing
from stepserve_core._checkpoints import Checkpoints
from stepserve_core._client import Inngest
from stepserve_core._config import TriggerEvent
from stepserve_core._endpoint_answer import (
    LARGEST_BODY,
    Answered,
    Plain,
    acollect,
    check_size,
    collect,
    fold_headers,
)
from stepserve_core._endpoint_api import EndpointAPI, new_run_id
from stepserve_core._function import is_async
from stepserve_core._opcodes import Op, Userland, hash_step_id
from stepserve_core._protocol import Call, CallContext, Request, Stack
from stepserve_core._runtime import AsyncRuntime, Runtime, SyncRuntime, background_loop, run_sync
from stepserve_core._serialize import encode_wire
from stepserve_core._signature import verify
from stepserve_core.errors import EndpointUnsupportedError, UnauthorizedError
from stepserve_core.handler import refuse_unknown

__all__ = [
    "LARGEST_BODY",
    "Answered",
    "Durable",
    "Endpoint",
    "EndpointOptions",
    "EndpointUnsupportedError",
    "Exchange",
    "Plain",
    "Request",
    "Respond",
    "acollect",
    "check_size",
    "collect",
    "fold_headers",
    "is_async",
]

_JSON = {"content-type": "application/json"}
Respond = Literal["redirect", "token"]

Returned = TypeVar("Returned")


class Durable(Protocol):
    """Makes a route durable. What it returns is called without the steps, by the framework."""

    def __call__(self, route: Callable[..., Returned], /) -> Callable[..., Returned]:
        """Return the durable form of a route."""
        ...


class Exchange:
    """One request to a route, as a framework's layer hands it over.

    Args:
        call: calls the user's route with the steps.
        read: reads what the route returned; of an `async def` route, it may be awaitable.
        read_error: reads errors that are answers, as of a page that is not found; None for all others. As `read`.
    """

    def __init__(
        self,
        request: Request,
        call: Callable[[Any], Any],
        read: Callable[[Any], Answered | Awaitable[Answered]],
        read_error: Callable[[Exception], Plain | Awaitable[Plain | None] | None],
    ) -> None:
        self.request = request
        self.call = call
        self.read = read
        self.read_error = read_error
        self.returned: Any = None
        self.plain: Plain | None = None
        self.error: Exception | None = None

    def take(self, answered: Answered) -> None:
        """Keep what the route answered.

        Raises:
            EndpointUnsupportedError: it is too large to be kept.
        """
        check_size(len(answered.plain.body))
        self.plain, self.returned = answered


_current: ContextVar[Exchange] = ContextVar("stepserve_exchange")


class EndpointOptions(TypedDict, total=False):
    """Options of `Endpoint` that every adapter hands on."""

    retries: int
    respond: Respond
    name: str | None
    checkpointing: Checkpointing | None


class Endpoint:
    """A route that is durable.

    Args:
        client: the app.
        route: the user's route, for its colour and name.
        retries: how often a failed step is tried again.
        respond: what a client gets that does not get the answer: a redirect to it, or JSON with `run_id` and `token`.
        name: what the server knows it by; else the name of the route.
        checkpointing: how long it goes on, and how many steps are saved together.
    """

    def __init__(
        self,
        client: Inngest,
        route: Callable[..., Any],
        *,
        retries: int = 3,
        respond: Respond = "redirect",
        name: str | None = None,
        checkpointing: Checkpointing | None = None,
        **unknown: object,
    ) -> None:
        refuse_unknown(unknown, EndpointOptions)
        client.settings.require_signing_key()
        self._client = client
        self._retries = retries
        self._respond = respond
        self._settings = checkpointing or Checkpointing()
        self.is_async = is_async(route)
        self.name = name or getattr(route, "__qualname__", "") or type(route).__name__
        create = client.create_function(
            fn_id=self.name, trigger=TriggerEvent(event="inngest/http.request"), retries=retries, checkpointing=False
        )
        self._function = create(_run_async if self.is_async else _run)

    def handle(self, exchange: Exchange) -> Plain | None:
        """Serve a request, from a thread that may block; see `serve`."""
        if self.is_async:
            return background_loop.run(lambda: self.serve(AsyncRuntime(), exchange))
        return run_sync(self.serve(SyncRuntime(), exchange))

    async def ahandle(self, exchange: Exchange) -> Plain | None:
        """Serve a request, from an event loop; see `serve`."""
        return await self.serve(AsyncRuntime(), exchange)

    async def serve(self, runtime: Runtime, exchange: Exchange) -> Plain | None:
        """Serve a request. Return what to answer; None where `exchange.returned` is the answer.

        Raises:
            Exception: what the route raised, for the framework to answer.
        """
        request = exchange.request
        if len(request.body) > LARGEST_BODY:
            return _refusal(413, f"a durable endpoint takes bodies of up to {LARGEST_BODY} bytes")
        token = _current.set(exchange)
        try:
            if self._is_reentry(request):
                return await self._go_on(runtime, exchange)
            return await self._begin(runtime, exchange)
        finally:
            _current.reset(token)

    def _is_reentry(self, request: Request) -> bool:
        """Say whether the server makes a client's request again. Clients cannot sign, and are not believed."""
        if not request.headers.get(_protocol.RUN_ID):
            return False
        if not self._client.is_production:
            return True
        try:
            keys = self._client.settings.keys
            verify(request.body, request.headers.get(_protocol.SIGNATURE), keys, time.time())
        except UnauthorizedError:
            return False
        return True

    async def _go_on(self, runtime: Runtime, exchange: Exchange) -> Plain:
        header = exchange.request.headers.get
        plans = header("x-inngest-force-step-plan") == "true"
        call = self._call(header(_protocol.RUN_ID) or "", plans=plans, use_api=True)
        step = header("x-inngest-step-id")
        answer = await self._answer(runtime, exchange, call, None if step in (None, "", "step") else step)
        if exchange.error is not None:
            exchange.plain = await _awaited(exchange.read_error(exchange.error))
        if exchange.plain is not None:
            return self._to_server(Answer(206, encode_wire([_complete(exchange.plain)]), {}))
        return self._to_server(answer)

    def _to_server(self, answer: Answer) -> Plain:
        return Plain(answer.status, {**self._client.headers, **answer.headers}, answer.body)

    async def _begin(self, runtime: Runtime, exchange: Exchange) -> Plain | None:
        api = EndpointAPI(self._client, new_run_id(), _describe(exchange.request, self.name), self._retries)
        checkpoints = Checkpoints(api, None, self._settings, runtime, attempt=0)
        answer = await self._answer(runtime, exchange, self._call(api.run_id), None, checkpoints)
        failure = checkpoints.failure
        if failure is not None and failure.is_stale:
            return self._defer(exchange, api)  # the server has taken the run over, and ends it
        if exchange.plain is None and exchange.error is None and answer.status != 206:
            # An error of the engine's own.
            exchange.returned = exchange.plain = Plain(answer.status, _JSON, answer.body)
        ends = exchange.plain is not None or exchange.error is not None
        try:
            if failure is not None:
                raise failure
            if not ends:
                await api.save(runtime, None, msgspec.json.decode(answer.body, type=list[Any]))
            elif api.is_open:
                await api.save(runtime, None, [_complete(await _end_of(exchange))])
        except CheckpointFailedError as error:
            if not ends:
                self._client.logger.error("durable endpoint %s: its steps cannot be saved: %s", self.name, error)
                return _refusal(503, "the steps of this request cannot be saved; try again later")
            # The client has its answer; the server takes the run over, replays it, and ends it.
            self._client.logger.warning("durable endpoint %s: the end of a run was not saved: %s", self.name, error)
        if exchange.error is not None:
            raise exchange.error
        if exchange.plain is None:
            return self._defer(exchange, api)
        return exchange.plain if exchange.returned is exchange.plain else None

    def _defer(self, exchange: Exchange, api: EndpointAPI) -> Plain:
        if self._respond == "redirect":
            # Clients follow 302 with a GET after a POST, but not after a PUT.
            status = 302 if exchange.request.method in ("GET", "HEAD", "POST") else 303
            return Plain(status, {"location": api.result_url, "cache-control": "no-store"}, b"")
        body = encode_wire({"run_id": api.run_id, "token": api.token})
        return Plain(200, _JSON, body)

    async def _answer(
        self,
        runtime: Runtime,
        exchange: Exchange,
        call: Call,
        target: str | None,
        checkpoints: Checkpoints | None = None,
    ) -> Answer:
        served = ServedCall(
            self._client,
            self._function,
            exchange.request,
            call,
            function_id=self._function.id,
            target=target,
            runtime=runtime,
            checkpoints=checkpoints,
        )
        return await served.answer()

    def _call(self, run_id: str, *, plans: bool = False, use_api: bool = False) -> Call:
        # Before the server is asked, it is the first attempt; afterwards only the server counts them.
        most = None if use_api else self._retries + 1
        ctx = CallContext(0, plans, run_id, Stack(), max_attempts=most)
        return Call(ctx, msgspec.Raw(b'{"name":"inngest/http.request","data":{}}'), {}, use_api)


def _run(ctx: Any) -> None:
    exchange = _current.get()
    try:
        answered: Any = exchange.read(exchange.call(ctx.step))
        exchange.take(answered)
    except Exception as error:
        exchange.error = error
        raise


async def _run_async(ctx: Any) -> None:
    exchange = _current.get()
    try:
        exchange.take(await _awaited(exchange.read(await exchange.call(ctx.step))))
    except Exception as error:
        exchange.error = error
        raise


async def _awaited(value: Any) -> Any:
    return await value if isawaitable(value) else value


async def _end_of(exchange: Exchange) -> Plain:
    """Return what the run ends with; what the framework makes of an error that is no answer, it keeps to itself."""
    if exchange.error is None:
        assert exchange.plain is not None
        return exchange.plain
    return await _awaited(exchange.read_error(exchange.error)) or Plain(500, {}, b"")


def _complete(plain: Plain) -> Op:
    """Return the op that ends the run with an answer (protocol.md 5.6)."""
    opcode, name = "SyncRunComplete", "complete"
    body = base64.b64encode(plain.body).decode()
    op = Op(name, hash_step_id(name), name, opcode, None, Userland(name, None))
    op.data = {"data": {"status": plain.status, "headers": plain.headers, "body": body}}
    return op


def _describe(request: Request, name: str) -> dict[str, str]:
    parts = urlsplit(request.url)
    return {
        "domain": f"{parts.scheme}://{parts.netloc}",
        "method": request.method,
        "path": parts.path or "/",
        "query_params": parts.query,
        "content_type": request.headers.get("content-type") or "",
        "body": base64.b64encode(request.body).decode(),
        "ip": "",
        "fn": name,
    }


def _refusal(status: int, message: str) -> Plain:
    return Plain(status, _JSON, encode_wire({"error": message}))

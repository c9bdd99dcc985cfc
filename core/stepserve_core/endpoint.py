"""Durable endpoints: an ordinary route whose steps are remembered (protocol.md 13.3).

The route runs while its client waits; each step is saved before the next begins. If it ends, its client gets the
answer, and the run is over. If it has to wait, or a step has to be tried again, the client is sent to where the answer
will be, and the server makes the same request again: that call replays the steps, and answers the server.

A client that listens gets events instead, from the first moment on: its answer is begun, and the route runs beside it.

This module is all that an adapter needs of the core for it.
"""

from __future__ import annotations

from collections.abc import Callable
from contextvars import ContextVar
from typing import Any, Literal, Protocol, TypedDict, TypeVar

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
    JSON_HEADERS,
    LARGEST_BODY,
    Answered,
    Plain,
    acollect,
    check_size,
    collect,
    complete,
    fold_headers,
    refusal,
)
from stepserve_core._endpoint_api import EndpointAPI
from stepserve_core._endpoint_events import EndpointEvents, listening
from stepserve_core._endpoint_request import (
    describe,
    is_listened_to,
    is_reentry,
    may_listen,
    refuse_misfit,
    require_origin,
)
from stepserve_core._endpoint_stream import EventStream, in_thread, on_background_loop, on_this_loop
from stepserve_core._endpoint_tee import Tee
from stepserve_core._exchange import FAILED, Begin, Exchange, Work, awaited
from stepserve_core._function import is_async
from stepserve_core._pipe import Pipe
from stepserve_core._protocol import Call, CallContext, Request, Stack
from stepserve_core._runtime import AsyncRuntime, Runtime, SyncRuntime, run_sync
from stepserve_core._serialize import encode_wire
from stepserve_core._threads import background_loop
from stepserve_core.errors import EndpointUnsupportedError
from stepserve_core.handler import refuse_unknown

__all__ = [
    "LARGEST_BODY",
    "Answered",
    "Durable",
    "Endpoint",
    "EndpointOptions",
    "EndpointUnsupportedError",
    "EventStream",
    "Exchange",
    "Given",
    "Plain",
    "Request",
    "Respond",
    "Work",
    "acollect",
    "check_size",
    "collect",
    "fold_headers",
    "in_thread",
    "is_async",
    "on_background_loop",
    "on_this_loop",
    "run_sync",
]

Respond = Literal["redirect", "token"]

Returned = TypeVar("Returned")


class Durable(Protocol):
    """Makes a route durable. What it returns is called without the steps, by the framework."""

    def __call__(self, route: Callable[..., Returned], /) -> Callable[..., Returned]:
        """Return the durable form of a route."""
        ...


Given = Plain | EventStream | None
"""What a framework answers with; None where it is what the route returned."""

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
        require_origin(client)
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

    def handle(self, exchange: Exchange) -> Given:
        """Serve a request, from a thread that may block; see `serve`."""
        if is_listened_to(exchange.request):
            return self._stream(exchange, on_background_loop if self.is_async else in_thread)
        if self.is_async:
            return background_loop.run(lambda: self.serve(AsyncRuntime(), exchange))
        return run_sync(self.serve(SyncRuntime(), exchange))

    async def ahandle(self, exchange: Exchange) -> Given:
        """Serve a request, from an event loop; see `serve`."""
        if is_listened_to(exchange.request):
            return self._stream(exchange, on_this_loop)
        return await self.serve(AsyncRuntime(), exchange)

    async def serve(self, runtime: Runtime, exchange: Exchange) -> Plain | None:
        """Serve a request. Return what to answer; None where `exchange.returned` is the answer.

        Raises:
            Exception: what the route raised, for the framework to answer.
        """
        request = exchange.request
        misfit = refuse_misfit(self._client, request)
        if misfit is not None:
            return misfit
        goes_on = is_reentry(request)
        if goes_on and may_listen(request):
            tee = Tee(self._client, request.headers.get(_protocol.RUN_ID) or "")
            exchange.events = EndpointEvents(tee, goes_on=True)
        tokens = _current.set(exchange), listening.set(exchange.events)
        try:
            if goes_on:
                return await self._go_on(runtime, exchange)
            return await self._begin(runtime, exchange)
        finally:
            _current.reset(tokens[0])
            listening.reset(tokens[1])

    def _stream(self, exchange: Exchange, begin: Begin) -> EventStream:
        """Begin to run the route beside its answer."""
        events = exchange.events = EndpointEvents(Pipe())
        runtime = AsyncRuntime() if self.is_async else SyncRuntime()
        work = (exchange.begin or begin)(lambda: self._run_beside(runtime, exchange, events))
        return EventStream(events.pipe, work)

    async def _run_beside(self, runtime: Runtime, exchange: Exchange, events: EndpointEvents) -> None:
        try:
            plain = await exchange.run_in_around(runtime, lambda: self.serve(runtime, exchange))
            if not events.has_ended:  # it was not sent elsewhere
                events.respond(plain or await exchange.end())
        except Exception as error:
            # Its framework does not hear of it any more: the answer has been begun.
            if exchange.error is not error:  # that one was logged where it was raised
                self._client.logger.error("durable endpoint %s failed", self.name, exc_info=error)
            events.respond(await exchange.end() if exchange.error is error else FAILED)
        finally:
            events.pipe.close()

    async def _go_on(self, runtime: Runtime, exchange: Exchange) -> Plain:
        header = exchange.request.headers.get
        plans = header("x-inngest-force-step-plan") == "true"
        call = self._call(header(_protocol.RUN_ID) or "", plans=plans, use_api=True)
        step = header("x-inngest-step-id")
        answer = await self._answer(runtime, exchange, call, None if step in (None, "", "step") else step)
        if exchange.error is not None:
            exchange.plain = await awaited(exchange.read_error(exchange.error))
        if exchange.plain is not None:
            answer = Answer(206, encode_wire([complete(exchange.plain)]), {})
        await self._tell_end(runtime, exchange, answer)
        return self._to_server(answer)

    async def _tell_end(self, runtime: Runtime, exchange: Exchange, answer: Answer) -> None:
        """Tell a client how a call of the server ends, before the server hears of it and goes on."""
        events = exchange.events
        if events is None:
            return
        if exchange.plain is not None:
            events.respond(exchange.plain)
        elif answer.status == 206:
            events.settle(msgspec.json.decode(answer.body, type=list[Any]))
        else:  # all of it will be executed again, or the server says that the run has failed
            events.roll_back()
        await events.pipe.drain(runtime)

    def _to_server(self, answer: Answer) -> Plain:
        return Plain(answer.status, {**self._client.headers, **answer.headers}, answer.body)

    async def _begin(self, runtime: Runtime, exchange: Exchange) -> Plain | None:
        events, settings = exchange.events, self._settings
        described = describe(exchange.request, self.name, is_listened_to=events is not None)
        api = EndpointAPI(self._client, described, self._retries, events)
        if events is not None:
            events.begin(api.run_id)
            settings = Checkpointing(max_runtime=settings.max_runtime)  # a step is final when it is saved: at once
        checkpoints = Checkpoints(api, None, settings, runtime, attempt=0)
        answer = await self._answer(runtime, exchange, self._call(api.run_id), None, checkpoints)
        failure = checkpoints.failure
        if failure is not None and failure.is_stale:
            return self._defer(exchange, api)  # the server has taken the run over, and ends it
        if exchange.plain is None and exchange.error is None and answer.status != 206:
            # An error of the engine's own.
            exchange.returned = exchange.plain = Plain(answer.status, JSON_HEADERS, answer.body)
        refused = await self._save_end(runtime, exchange, api, failure, answer)
        if refused is not None:
            return refused
        if exchange.error is not None:
            raise exchange.error
        if exchange.plain is None:
            return self._defer(exchange, api)
        return exchange.plain if exchange.returned is exchange.plain else None

    async def _save_end(
        self,
        runtime: Runtime,
        exchange: Exchange,
        api: EndpointAPI,
        failure: CheckpointFailedError | None,
        answer: Answer,
    ) -> Plain | None:
        """Tell the server how the call ended. Return what to answer where it cannot end like that."""
        ends = exchange.plain is not None or exchange.error is not None
        try:
            if failure is not None:
                raise failure
            if not ends:
                await api.end_call(runtime, msgspec.json.decode(answer.body, type=list[Any]))
            elif api.is_open:
                await api.save(runtime, None, [complete(await exchange.end())])
        except CheckpointFailedError as error:
            if not ends:
                self._client.logger.error("durable endpoint %s: its steps cannot be saved: %s", self.name, error)
                return refusal(503, "the steps of this request cannot be saved; try again later")
            # The client has its answer; the server takes the run over, replays it, and ends it.
            self._client.logger.warning("durable endpoint %s: the end of a run was not saved: %s", self.name, error)
        return None

    def _defer(self, exchange: Exchange, api: EndpointAPI) -> Plain | None:
        if exchange.events is not None:
            exchange.events.roll_back()
            exchange.events.end()
            return None
        if self._respond == "redirect":
            # Clients follow 302 with a GET after a POST, but not after a PUT.
            status = 302 if exchange.request.method in ("GET", "HEAD", "POST") else 303
            return Plain(status, {"location": api.result_url, "cache-control": "no-store"}, b"")
        body = encode_wire({"run_id": api.run_id, "token": api.token})
        return Plain(200, JSON_HEADERS, body)

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
    exchange = _enter(ctx)
    try:
        answered: Any = exchange.read(exchange.call(ctx.step))
        exchange.take(answered)
    except Exception as error:
        exchange.error = error
        raise


async def _run_async(ctx: Any) -> None:
    exchange = _enter(ctx)
    try:
        exchange.take(await awaited(exchange.read(await exchange.call(ctx.step))))
    except Exception as error:
        exchange.error = error
        raise


def _enter(ctx: Any) -> Exchange:
    exchange = _current.get()
    if exchange.events is not None:
        exchange.events.run = ctx.step._run
    return exchange

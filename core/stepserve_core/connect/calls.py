"""The calls that a worker has: executing them in the user's event loop, leases, answers (protocol.md 12.4)."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Mapping
from urllib.parse import quote

import msgspec

from stepserve_core import _protocol
from stepserve_core.connect.messages import (
    ExecutorRequest,
    ExtendLease,
    ExtendLeaseAck,
    RequestAck,
    Status,
    WorkerReply,
)
from stepserve_core.connect.outbox import Outbox
from stepserve_core.handler import Handler, Request, Response

_log = logging.getLogger(__name__)

APP_URL = "wss://connect"
"""The URL that functions of workers are registered with."""

LARGEST_BODY = 8 * 1024 * 1024 - 64 * 1024
"""Bytes of an answer that fit into a frame beside its other fields (executor.md 14)."""

_STATUSES = {200: Status.DONE, 206: Status.NOT_COMPLETED}
_INTERNAL = Response(500, {}, b'{"code":"unknown","message":"internal error","name":"Error"}')
_TOO_LARGE = Response(
    500, {}, b'{"code":"output_too_large","message":"the answer is too large for a frame","name":"OutputTooLargeError"}'
)


class Calls:
    """Calls under way. Lives in the worker's own event loop; functions run in the user's.

    Args:
        handlers: who serves which app.
        loop: the user's event loop.
        max_concurrency: how many are executed at once; the others wait their turn.
    """

    def __init__(
        self, handlers: Mapping[str, Handler], loop: asyncio.AbstractEventLoop, max_concurrency: int | None
    ) -> None:
        self._handlers = handlers
        self._loop = loop
        self._turns = None if max_concurrency is None else asyncio.Semaphore(max_concurrency)
        self._under_way: dict[str, tuple[ExecutorRequest, asyncio.Task[None]]] = {}
        self._idle = asyncio.Event()
        self._idle.set()
        self.outbox = Outbox()
        self.answered = asyncio.Event()
        """Set with each new answer in the outbox."""

    @property
    def ids(self) -> list[str]:
        """The ids of the calls under way."""
        return list(self._under_way)

    def take(self, request: ExecutorRequest) -> RequestAck | None:
        """Begin with a call and return its acknowledgement; None for one of an app that is not ours."""
        handler = self._handlers.get(request.app_name)
        if handler is None:
            _log.warning("a call of the app %r came, which this worker does not run", request.app_name)
            return None
        if request.request_id not in self._under_way:
            task = asyncio.get_running_loop().create_task(self._answer(handler, request))
            self._under_way[request.request_id] = (request, task)
            self._idle.clear()
        return _ack(request)

    def extensions(self) -> list[ExtendLease]:
        """Return what asks for longer leases, one for each call under way."""
        return [
            ExtendLease(**msgspec.structs.asdict(_ack(request)), lease_id=request.lease_id)
            for request, _ in self._under_way.values()
        ]

    def extended(self, ack: ExtendLeaseAck) -> None:
        """Note a new lease; without one the call is not ours any more, and is given up."""
        if ack.request_id not in self._under_way:
            return
        request, task = self._under_way[ack.request_id]
        if ack.new_lease_id is None:
            _log.warning("the lease of a call of %s was lost; it is given up", request.function_slug)
            task.cancel()
        else:
            leased = msgspec.structs.replace(request, lease_id=ack.new_lease_id)
            self._under_way[ack.request_id] = (leased, task)

    async def idle(self) -> None:
        """Return when no call is under way."""
        await self._idle.wait()

    async def cancel(self) -> None:
        """Give up what is under way."""
        tasks = [task for _, task in self._under_way.values()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _answer(self, handler: Handler, request: ExecutorRequest) -> None:
        try:
            if self._turns is None:
                response = await self._execute(handler, request)
            else:
                async with self._turns:
                    response = await self._execute(handler, request)
            for dropped in self.outbox.put(make_reply(request, response), time.monotonic()):
                _log.warning("the answer to the call %s was dropped: too many wait for the server", dropped)
            self.answered.set()
        finally:
            del self._under_way[request.request_id]
            if not self._under_way:
                self._idle.set()

    async def _execute(self, handler: Handler, request: ExecutorRequest) -> Response:
        """Have a call served as one over HTTP is, in the user's event loop."""
        slug, step = quote(request.function_slug, safe=""), quote(request.step_id or "step", safe="")
        headers = {_protocol.REQUEST_ID: request.request_id, _protocol.JOB_ID: request.job_id}
        url = f"{APP_URL}?fnId={slug}&stepId={step}"
        call = Request("POST", url, headers, request.request_payload, raw=request)
        try:
            return await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(handler.ahandle(call), self._loop))
        except Exception:
            _log.exception("a call of %s failed inside the worker", request.function_slug)
            return _INTERNAL


def make_reply(request: ExecutorRequest, response: Response) -> WorkerReply:
    """Return the answer to a call as the gateway takes it."""
    if len(response.body) > LARGEST_BODY:
        response = Response(_TOO_LARGE.status, response.headers, _TOO_LARGE.body)
    version = response.headers.get(_protocol.REQ_VERSION, _protocol.REQUEST_VERSION)
    return WorkerReply(
        request_id=request.request_id,
        account_id=request.account_id,
        env_id=request.env_id,
        app_id=request.app_id,
        status=_STATUSES.get(response.status, Status.ERROR),
        body=response.body,
        no_retry=response.headers.get(_protocol.NO_RETRY) == "true",
        retry_after=response.headers.get(_protocol.RETRY_AFTER),
        sdk_version=_protocol.SDK_HEADER_VALUE,
        request_version=int(version),
        system_trace_ctx=request.system_trace_ctx,
        user_trace_ctx=request.user_trace_ctx,
        run_id=request.run_id,
    )


def _ack(request: ExecutorRequest) -> RequestAck:
    """Return what says that a call is here; its fields name the call to the gateway."""
    return RequestAck(
        request_id=request.request_id,
        account_id=request.account_id,
        env_id=request.env_id,
        app_id=request.app_id,
        function_slug=request.function_slug,
        step_id=request.step_id,
        system_trace_ctx=request.system_trace_ctx,
        user_trace_ctx=request.user_trace_ctx,
        run_id=request.run_id,
    )

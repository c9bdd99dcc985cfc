"""Calls to workers: choosing one, waiting for its answer, and turning that into what a call over HTTP gives."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from urllib.parse import parse_qs, urlsplit

import msgspec

from stepserve_core import _protocol
from stepserve_core.connect.messages import ExecutorRequest, Kind, Status, WorkerReply, frame
from stepserve_core.executor import ids
from stepserve_core.executor.answers import Reply
from stepserve_core.executor.calls import ACCOUNT_ID, ENVIRONMENT_ID
from stepserve_core.executor.connect.room import room_key
from stepserve_core.executor.connect.workers import Connection, Forward, GivenBackError, Workers, tick
from stepserve_core.executor.registry import Registry
from stepserve_core.executor.transport import NoRoomError, Transport, TransportError, within

_FORWARDS = 3
"""Workers that are offered a call, one after the other, before it counts as failed (executor.md 9.4)."""

_STATUSES: dict[int, int] = {Status.NOT_COMPLETED: 206, Status.DONE: 200, Status.ERROR: 500}
_STOPPED = "connect_worker_stopped_responding"
_NO_TRACE = b"{}"


class WorkerTransport:
    """Sends calls of functions whose URL is `ws:` or `wss:` to workers, everything else over another transport.

    `registry` is asked anew each time, because syncs replace it.
    """

    def __init__(self, other: Transport, workers: Workers, registry: Callable[[], Registry]) -> None:
        self._other = other
        self._workers = workers
        self._registry = registry

    async def send(self, method: str, url: str, headers: Mapping[str, str], body: bytes, timeout: float) -> Reply:
        """Return the answer.

        Raises:
            NoRoomError: no worker takes the call now.
            TransportError: there is none.
        """
        if not url.startswith(("ws:", "wss:")):
            return await self._other.send(method, url, headers, body, timeout)
        query = parse_qs(urlsplit(url).query)
        slug, step = query.get("fnId", [""])[0], query.get("stepId", ["step"])[0]
        try:
            return await within(timeout, self._offer(slug, _build(slug, step, headers, body)))
        except asyncio.TimeoutError:
            raise TransportError("request_duration_too_long", f"{slug} did not answer within {timeout:g} s") from None

    async def close(self) -> None:
        """Let go of connections."""
        await self._other.close()

    async def _offer(self, slug: str, request: ExecutorRequest) -> Reply:
        """Offer a call to one worker after the other until one takes it."""
        app_id = self._registry().app_of(slug)
        tried: list[str] = []
        while len(tried) < _FORWARDS:
            connection = self._workers.choose(slug, tried)
            if connection is None:
                break
            tried.append(connection.id)
            try:
                return await self._ask(connection, _address(request, app_id, connection.apps[slug]))
            except GivenBackError:
                continue
        if self._workers.choose(slug) is None:
            raise NoRoomError(slug, room_key(app_id), lambda: self._workers.has_room(slug))
        raise TransportError(_STOPPED, f"{len(tried)} workers did not take the call of {slug}")

    async def _ask(self, connection: Connection, request: ExecutorRequest) -> Reply:
        forward = self._workers.open(request.request_id, connection)
        call = msgspec.structs.replace(request, lease_id=forward.lease_id)
        try:
            await within(self._workers.intervals.ack, connection.send(frame(Kind.GATEWAY_EXECUTOR_REQUEST, call)))
            return read_reply(await self._wait(forward))
        except (ConnectionError, asyncio.TimeoutError):
            raise GivenBackError("the call could not be sent") from None
        finally:
            self._workers.close(forward)

    async def _wait(self, forward: Forward) -> WorkerReply:
        """Wait for the answer as long as the worker shows that it has the call.

        Raises:
            GivenBackError: it did not take it.
            TransportError: its lease has ended.
        """
        ack_by = tick() + self._workers.intervals.ack
        while not forward.reply.done():
            left = (forward.lease_ends if forward.is_acked else ack_by) - tick()
            if left <= 0 and not forward.is_acked:
                raise GivenBackError("no acknowledgement came")
            if left <= 0:
                raise TransportError(_STOPPED, "the worker that had the call stopped responding")
            await asyncio.wait([forward.reply], timeout=left)
        return forward.reply.result()


def _build(slug: str, step: str, headers: Mapping[str, str], body: bytes) -> ExecutorRequest:
    return ExecutorRequest(
        request_id=headers[_protocol.REQUEST_ID],
        account_id=ACCOUNT_ID,
        env_id=ENVIRONMENT_ID,
        function_slug=slug,
        step_id=step,
        request_payload=body,
        system_trace_ctx=_NO_TRACE,
        user_trace_ctx=_NO_TRACE,
        run_id=headers["x-run-id"],
        job_id=headers[_protocol.JOB_ID],
    )


def _address(request: ExecutorRequest, app_id: str, app_name: str) -> ExecutorRequest:
    function_id = ids.function_id(app_id, request.function_slug)
    return msgspec.structs.replace(request, app_id=app_id, app_name=app_name, function_id=function_id)


def read_reply(reply: WorkerReply) -> Reply:
    """Return what a call over HTTP would have given (executor.md 9.5)."""
    headers = {_protocol.SDK: reply.sdk_version or "connect"}
    if reply.request_version:
        headers[_protocol.REQ_VERSION] = str(reply.request_version)
    if reply.no_retry:
        headers[_protocol.NO_RETRY] = "true"
    if reply.retry_after:
        headers[_protocol.RETRY_AFTER] = reply.retry_after
    # A result has no attempts to forbid: the TypeScript SDK (4.24) says DONE of errors that it answers with HTTP 400.
    is_error = reply.status == Status.DONE and reply.no_retry
    return Reply(500 if is_error else _STATUSES.get(reply.status, 500), headers, reply.body)

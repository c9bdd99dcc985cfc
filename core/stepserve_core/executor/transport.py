"""Reaching an app: how that may end, and the way within this process (executor.md 4.3, "Transport").

The way over HTTP is in `http_transport.py`, which needs aiohttp.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Awaitable, Callable, Mapping
from typing import Protocol, TypeVar

from stepserve_core._in_process import InProcessServer, serving
from stepserve_core._protocol import NO_CHECKPOINTS, Request, Response
from stepserve_core.executor.answers import Reply

T = TypeVar("T")

DEFAULT_TIMEOUT = 7200.0


class TransportError(Exception):
    """An app could not be asked. `code` is the server's word for the reason (executor.md 4.5)."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


class NoRoomError(TransportError):
    """No connected worker takes the call now. It waits for `key`, without using up an attempt (executor.md 9.5).

    `is_over` says whether a worker takes it by now.
    """

    def __init__(self, slug: str, key: str, is_over: Callable[[], bool]) -> None:
        super().__init__("connect_no_healthy_connection", f"no connected worker takes calls of {slug} now")
        self.key = key
        self.is_over = is_over


class Transport(Protocol):
    """Sends a request to an app and returns its answer."""

    async def send(self, method: str, url: str, headers: Mapping[str, str], body: bytes, timeout: float) -> Reply:
        """Return the answer.

        Raises:
            TransportError: there is none.
        """
        ...

    async def close(self) -> None:
        """Let go of connections."""
        ...


class AppHandler(Protocol):
    """What answers in process: `stepserve_core.handler.Handler` does."""

    async def ahandle(self, request: Request) -> Response:
        """Answer a request."""
        ...


class EmbeddedTransport:
    """Hands calls to a handler in this process, without a socket.

    Args:
        handler: what answers.
        server: returns the server that whatever the app does meanwhile shall ask.
    """

    def __init__(self, handler: AppHandler, server: Callable[[], InProcessServer] | None = None) -> None:
        self._handler = handler
        self._server = server

    async def send(self, method: str, url: str, headers: Mapping[str, str], body: bytes, timeout: float) -> Reply:
        """Return the handler's answer."""
        request = Request(
            method, url, dict(headers) if self._saves_steps() else {**headers, NO_CHECKPOINTS: "true"}, body
        )
        token = serving.set(None if self._server is None else self._server())
        try:
            response = await within(timeout, self._handler.ahandle(request))
        except asyncio.TimeoutError:
            message = f"the function did not answer within {timeout:g} s"
            raise TransportError("request_duration_too_long", message) from None
        except Exception as error:
            # A handler answers errors of functions itself; what it lets through is a failed attempt all the same.
            raise TransportError("http_unreachable", f"the app failed: {type(error).__name__}: {error}") from error
        finally:
            serving.reset(token)
        return Reply(response.status, response.headers, response.body)

    def _saves_steps(self) -> bool:
        return self._server is not None and self._server().checkpointing is not None

    async def close(self) -> None:
        """Do nothing: there is no connection."""


if sys.version_info >= (3, 11):

    async def within(seconds: float, answer: Awaitable[T]) -> T:
        """Wait at most `seconds`, or raise asyncio.TimeoutError."""
        async with asyncio.timeout(seconds):
            return await answer

else:

    async def within(seconds: float, answer: Awaitable[T]) -> T:
        """Wait at most `seconds`, or raise asyncio.TimeoutError."""
        # Before 3.11 there is no asyncio.timeout; wait_for makes a task for every call.
        return await asyncio.wait_for(answer, seconds)

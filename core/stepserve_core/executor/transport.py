"""Reaching an app: over HTTP with keep-alive, or in process (executor.md 4.3, "Transport")."""

from __future__ import annotations

import asyncio
import io
import sys
from collections.abc import Awaitable, Callable, Mapping
from typing import Protocol, TypeVar

import aiohttp
import yarl

from stepserve_core._in_process import InProcessServer, serving
from stepserve_core._protocol import NO_CHECKPOINTS, Request, Response
from stepserve_core.executor import limits
from stepserve_core.executor.answers import Reply

T = TypeVar("T")

DEFAULT_TIMEOUT = 7200.0
_CONNECT = aiohttp.ClientTimeout(total=None, sock_connect=10.0)
REDIRECTS = frozenset({301, 302, 303, 307, 308})


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


class HttpTransport:
    """Sends over HTTP and keeps connections. With 50 calls under way aiohttp takes a tenth of httpx's time."""

    def __init__(self) -> None:
        self._session: aiohttp.ClientSession | None = None

    async def send(self, method: str, url: str, headers: Mapping[str, str], body: bytes, timeout: float) -> Reply:
        """Return the answer; bodies are cut off above the size limit, redirects are followed up to a limit."""
        try:
            return await within(timeout, self._send(method, url, headers, body))
        except asyncio.TimeoutError:
            raise TransportError("request_duration_too_long", f"{url} did not answer within {timeout:g} s") from None
        except (aiohttp.InvalidURL, aiohttp.NonHttpUrlClientError):
            raise TransportError("unsupported_protocol", f"{url} is not an http or https URL") from None
        except (aiohttp.ClientError, OSError, ValueError) as error:
            raise TransportError("http_unreachable", f"{url} cannot be reached: {error}") from None

    async def _send(self, method: str, url: str, headers: Mapping[str, str], body: bytes) -> Reply:
        """Follow redirects by hand: method, headers and body are sent again, whatever the redirect's status."""
        target = yarl.URL(url)
        for _ in range(limits.REDIRECTS + 1):
            # aiohttp asks for large bodies as files, so that it can send them in pieces.
            data = io.BytesIO(body) if len(body) > limits.MEBIBYTE // 2 else body
            async with self._open().request(
                method, target, data=data, headers=headers, timeout=_CONNECT, allow_redirects=False
            ) as response:
                location = response.headers.get("location")
                if response.status not in REDIRECTS or not location:
                    answer_headers = {name.lower(): value for name, value in response.headers.items()}
                    return Reply(response.status, answer_headers, await read_body(response, limits.ANSWER_BODY))
                target = target.join(yarl.URL(location))
        raise TransportError("too_many_redirects", f"{url} redirects more than {limits.REDIRECTS} times")

    async def close(self) -> None:
        """Close the kept connections."""
        if self._session is not None:
            await self._session.close()
            self._session = None

    def _open(self) -> aiohttp.ClientSession:
        if self._session is None:
            # The number of calls under way is bounded by the loop, not here.
            connector = aiohttp.TCPConnector(limit=0, keepalive_timeout=limits.UNUSED_CONNECTION)
            self._session = aiohttp.ClientSession(connector=connector, cookie_jar=aiohttp.DummyCookieJar())
        return self._session


async def read_body(response: aiohttp.ClientResponse, limit: int) -> bytes:
    """Read a body. What comes after the chunk that goes over `limit` is not read, and the result is longer than it."""
    chunks: list[bytes] = []
    received = 0
    async for chunk in response.content.iter_any():
        chunks.append(chunk)
        received += len(chunk)
        if received > limit:
            response.close()
            break
    return b"".join(chunks)


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

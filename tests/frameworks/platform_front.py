"""What stands before a function on a serverless platform: takes HTTP, makes events of it, and HTTP of what comes back.

Each platform's harness says what an event looks like there; sockets, chunks and threads are the same for all.
"""

from __future__ import annotations

import asyncio
import contextvars
import inspect
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

from stepserve.asgi import Receive, Scope, Send, _read_body

_PLATFORM_HEADERS = ("x-forwarded-proto", "x-forwarded-port", "x-forwarded-for")


class Asked(NamedTuple):
    """An HTTP request as the platform sees it; header names are lower-case, path and query are encoded."""

    method: str
    path: str
    query: str
    headers: list[tuple[str, str]]
    body: bytes

    @property
    def host(self) -> str:
        """Return the host that was asked for."""
        return dict(self.headers)["host"]

    def joined_headers(self, separator: str) -> dict[str, str]:
        """Return the headers with all values of a name in one text."""
        joined: dict[str, str] = {}
        for name, value in self.headers:
            joined[name] = f"{joined[name]}{separator}{value}" if name in joined else value
        return joined

    def header_lists(self) -> dict[str, list[str]]:
        """Return the headers with all values of a name in a list."""
        lists: dict[str, list[str]] = {}
        for name, value in self.headers:
            lists.setdefault(name, []).append(value)
        return lists

    def text(self) -> str | None:
        """Return the body as text if its content type says that it is, else None.

        Platforms document the rule for content types; what they do with text that is not UTF-8, they do not say.
        """
        content_type = dict(self.headers).get("content-type", "")
        if not content_type.startswith(("text/", "application/json", "application/javascript", "application/xml")):
            return None
        try:
            return self.body.decode()
        except UnicodeDecodeError:
            return None


class Answered(NamedTuple):
    """The HTTP response that the platform makes of what a function returned."""

    status: int
    headers: list[tuple[str, str]]
    body: bytes


Invoke = Callable[[Asked], Answered | Awaitable[Answered]]


class PlatformFront:
    """An ASGI application that invokes a function for each request: a `def` in a thread, an `async def` on the loop."""

    def __init__(self, invoke: Invoke, before_request: Callable[[], None] | None) -> None:
        self._invoke = invoke
        self._before_request = before_request or (lambda: None)
        self._threads = ThreadPoolExecutor(64)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        assert scope["type"] == "http", "not told apart: uvicorn then goes on without lifespan events"
        body = await _read_body(receive)
        if body is None:
            return
        answered = await self._answer(_asked(scope, body))
        headers = [(name.encode("latin-1"), value.encode("latin-1")) for name, value in answered.headers]
        headers.append((b"content-length", b"%d" % len(answered.body)))
        await send({"type": "http.response.start", "status": answered.status, "headers": headers})
        await send({"type": "http.response.body", "body": answered.body})

    async def _answer(self, asked: Asked) -> Answered:
        if inspect.iscoroutinefunction(self._invoke):
            self._before_request()
            answered: Answered = await self._invoke(asked)
            return answered

        def in_thread() -> Answered:
            self._before_request()
            result = self._invoke(asked)
            assert isinstance(result, Answered)
            return result

        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._threads, contextvars.copy_context().run, in_thread)


def _asked(scope: Scope, body: bytes) -> Asked:
    sent = [(name.decode("latin-1"), value.decode("latin-1")) for name, value in scope["headers"]]
    headers = [(name, value) for name, value in sent if name not in _PLATFORM_HEADERS]
    # The platform knows how it was reached, and overwrites what clients say about it.
    headers += zip(_PLATFORM_HEADERS, ("http", "80", "127.0.0.1"), strict=True)
    query = scope["query_string"].decode("latin-1")
    return Asked(scope["method"], scope["raw_path"].decode("latin-1"), query, headers, body)

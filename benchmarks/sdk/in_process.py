"""Call WSGI and ASGI applications in process, without a test client in the measured path."""

import asyncio
import io
import sys
import time
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable, Generator, Iterable, MutableMapping
from typing import Any, Generic, Protocol, TypeVar

from benchmarks.sdk.calls import SERVE_PATH, Answer, Request, chunks

Message = MutableMapping[str, Any]
WsgiApp = Callable[[dict[str, Any], Callable[..., object]], Iterable[bytes]]
AsgiApp = Callable[[Message, Callable[[], Awaitable[Message]], Callable[[Message], Awaitable[None]]], Awaitable[None]]
Driver = Generator[Request, Answer, None]
Prepared = TypeVar("Prepared")


class Endpoint(Protocol):
    """A mounted application that can be called and timed."""

    def call(self, request: Request) -> Answer:
        """Make one call."""
        ...

    def repeat(self, request: Request, times: int) -> float:
        """Make the same call `times` times; return the CPU seconds of this process."""
        ...

    def drive(self, driver: Driver) -> float:
        """Make the calls the driver yields and send it each answer; return the CPU seconds spent inside the calls."""
        ...


class SyncEndpoint(ABC, Generic[Prepared]):
    """An application that is called in place."""

    @abstractmethod
    def prepare(self, request: Request) -> Prepared:
        """Return the request as its server would hand it over, made once for many calls."""

    @abstractmethod
    def perform(self, prepared: Prepared) -> Answer:
        """Make one call."""

    def call(self, request: Request) -> Answer:
        return self.perform(self.prepare(request))

    def repeat(self, request: Request, times: int) -> float:
        prepared = self.prepare(request)
        start = time.process_time()
        for _ in range(times):
            self.perform(prepared)
        return time.process_time() - start

    def drive(self, driver: Driver) -> float:
        spent = 0.0
        request = next(driver)
        while True:
            prepared = self.prepare(request)
            start = time.process_time()
            answer = self.perform(prepared)
            spent += time.process_time() - start
            try:
                request = driver.send(answer)
            except StopIteration:
                return spent


class AsyncEndpoint(ABC, Generic[Prepared]):
    """An application that is called on one event loop, which lives as long as the endpoint."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()

    @abstractmethod
    def prepare(self, request: Request) -> Prepared:
        """Return the request as its server would hand it over, made once for many calls."""

    @abstractmethod
    async def perform(self, prepared: Prepared) -> Answer:
        """Make one call."""

    def call(self, request: Request) -> Answer:
        return self._loop.run_until_complete(self.perform(self.prepare(request)))

    def repeat(self, request: Request, times: int) -> float:
        async def calls() -> float:
            prepared = self.prepare(request)
            start = time.process_time()
            for _ in range(times):
                await self.perform(prepared)
                await _turn()
            return time.process_time() - start

        return self._loop.run_until_complete(calls())

    def drive(self, driver: Driver) -> float:
        async def calls() -> float:
            spent = 0.0
            request = next(driver)
            while True:
                prepared = self.prepare(request)
                start = time.process_time()
                answer = await self.perform(prepared)
                await _turn()
                spent += time.process_time() - start
                try:
                    request = driver.send(answer)
                except StopIteration:
                    return spent

        return self._loop.run_until_complete(calls())


class WsgiEndpoint(SyncEndpoint[tuple[dict[str, Any], bytes]]):
    """A WSGI application."""

    def __init__(self, app: WsgiApp) -> None:
        self._app = app

    def prepare(self, request: Request) -> tuple[dict[str, Any], bytes]:
        return environ_of(request), request.body

    def perform(self, prepared: tuple[dict[str, Any], bytes]) -> Answer:
        template, body = prepared
        environ = dict(template)
        environ["wsgi.input"] = io.BytesIO(body)
        started: list[tuple[str, list[tuple[str, str]]]] = []

        def start_response(status: str, headers: list[tuple[str, str]], exc_info: object = None) -> None:
            started.append((status, headers))

        parts = self._app(environ, start_response)
        try:
            content = b"".join(parts)
        finally:
            close = getattr(parts, "close", None)
            if close is not None:
                close()
        status, headers = started[-1]
        return Answer(int(status[:3]), {name.lower(): value for name, value in headers}, content)


class AsgiEndpoint(AsyncEndpoint[tuple[Message, list[bytes]]]):
    """An ASGI application."""

    def __init__(self, app: AsgiApp) -> None:
        super().__init__()
        self._app = app

    def prepare(self, request: Request) -> tuple[Message, list[bytes]]:
        return _scope(request), list(chunks(request.body))

    async def perform(self, prepared: tuple[Message, list[bytes]]) -> Answer:
        template, pieces = prepared
        waiting = iter(pieces)
        left = len(pieces)
        head: Message = {}
        parts: list[bytes] = []

        async def receive() -> Message:
            nonlocal left
            if left == 0:
                # Like a server whose client stays connected: nothing more arrives.
                await asyncio.Event().wait()
            left -= 1
            return {"type": "http.request", "body": next(waiting), "more_body": left > 0}

        async def send(message: Message) -> None:
            if message["type"] == "http.response.start":
                head.update(message)
            else:
                parts.append(message.get("body", b""))

        await self._app({**template, "state": {}}, receive, send)
        headers = {name.decode().lower(): value.decode() for name, value in head["headers"]}
        return Answer(head["status"], headers, b"".join(parts))


async def _turn() -> None:
    """Go back to the event loop, as a server does after each request: what a call left for the loop counts too."""
    await asyncio.sleep(0)


def environ_of(request: Request) -> dict[str, Any]:
    """Return the WSGI environ of a request, without its body."""
    environ: dict[str, Any] = {
        "REQUEST_METHOD": "POST",
        "SCRIPT_NAME": "",
        "PATH_INFO": SERVE_PATH,
        "QUERY_STRING": request.query,
        "SERVER_NAME": "127.0.0.1",
        "SERVER_PORT": "8000",
        "SERVER_PROTOCOL": "HTTP/1.1",
        "REMOTE_ADDR": "127.0.0.1",
        "wsgi.version": (1, 0),
        "wsgi.url_scheme": "http",
        "wsgi.errors": sys.stderr,
        "wsgi.multithread": True,
        "wsgi.multiprocess": False,
        "wsgi.run_once": False,
    }
    for name, value in request.headers:
        key = name.upper().replace("-", "_")
        environ[key if key in {"CONTENT_TYPE", "CONTENT_LENGTH"} else f"HTTP_{key}"] = value
    return environ


def _scope(request: Request) -> Message:
    return {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.3"},
        "http_version": "1.1",
        "method": "POST",
        "scheme": "http",
        "path": SERVE_PATH,
        "raw_path": SERVE_PATH.encode(),
        "root_path": "",
        "query_string": request.query.encode(),
        "headers": [(name.encode(), value.encode()) for name, value in request.headers],
        "client": ("127.0.0.1", 40000),
        "server": ("127.0.0.1", 8000),
    }

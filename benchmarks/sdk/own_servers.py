"""Frameworks that come with their own server: it is called in process, from the bytes or the request of one call on."""

import asyncio
import atexit
import contextlib
import importlib
import io
import urllib.parse
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler
from typing import Any

from benchmarks.sdk.adapter import CONTENT_TYPE, Adapter
from benchmarks.sdk.calls import SERVE_PATH, Answer, Request, chunks
from benchmarks.sdk.in_process import AsyncEndpoint, SyncEndpoint
from benchmarks.sdk.subjects import bare_answer


def _raw_request(request: Request) -> bytes:
    """Return a request as it comes from a socket."""
    lines = [
        f"POST {SERVE_PATH}?{request.query} HTTP/1.1",
        *(f"{name}: {value}" for name, value in request.headers),
    ]
    return "\r\n".join([*lines, "", ""]).encode() + request.body


def _read_answer(raw: bytes) -> Answer:
    """Read an answer as it goes to a socket."""
    head, _, body = raw.partition(b"\r\n\r\n")
    start, *lines = head.decode("latin-1").split("\r\n")
    headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines)}
    return Answer(int(start.split()[1]), headers, body)


class _Socket:
    """What `http.server` asks of a socket, in memory."""

    def __init__(self, sent: bytes) -> None:
        self._sent = sent
        self.received: list[bytes] = []

    def makefile(self, mode: str, buffering: int) -> io.BytesIO:
        return io.BytesIO(self._sent)

    def sendall(self, data: bytes) -> None:
        self.received.append(bytes(data))

    def setsockopt(self, *option: object) -> None:
        pass

    def getsockname(self) -> tuple[str, int]:
        return "127.0.0.1", 8000


class HTTPServerEndpoint(SyncEndpoint[bytes]):
    """A request handler class of `http.server`."""

    def __init__(self, handler: Callable[..., object]) -> None:
        self._handler = handler

    def prepare(self, request: Request) -> bytes:
        return _raw_request(request)

    def perform(self, prepared: bytes) -> Answer:
        connection = _Socket(prepared)
        self._handler(connection, ("127.0.0.1", 40000), None)
        return _read_answer(b"".join(connection.received))


class _Silent(BaseHTTPRequestHandler):
    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the name is given
        """Log nothing: what it costs is not what is measured."""


class _BareHandler(_Silent):
    disable_nagle_algorithm = True

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["content-length"]))
        _, answer, headers = bare_answer(body, self.headers.get("x-inngest-signature"), signed=True)
        self.send_response(200)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("content-type", CONTENT_TYPE)
        self.send_header("content-length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)


def _mount_http_server(module: Any, client: Any, functions: Any) -> Any:
    return module.serve(client, functions, base=_Silent)


class _Connection:
    """What Tornado asks of a connection, in memory."""

    def __init__(self) -> None:
        self.status = 0
        self.headers: Any = None
        self.parts: list[bytes] = []
        self.finished: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._written: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._written.set_result(None)

    def write_headers(self, start_line: Any, headers: Any, chunk: bytes = b"") -> asyncio.Future[None]:
        self.status, self.headers = start_line.code, headers
        return self.write(chunk)

    def write(self, chunk: bytes) -> asyncio.Future[None]:
        self.parts.append(chunk)
        return self._written

    def finish(self) -> None:
        self.finished.set_result(None)

    def set_close_callback(self, callback: object) -> None:
        pass


class TornadoEndpoint(AsyncEndpoint[tuple[Any, list[tuple[str, str]], list[bytes]]]):
    """A Tornado application, from the request on that its server has parsed."""

    def __init__(self, app: Any) -> None:
        super().__init__()
        self._app = app
        self._httputil = importlib.import_module("tornado.httputil")

    def prepare(self, request: Request) -> tuple[Any, list[tuple[str, str]], list[bytes]]:
        line = self._httputil.RequestStartLine("POST", f"{SERVE_PATH}?{request.query}", "HTTP/1.1")
        return line, list(request.headers), list(chunks(request.body))

    async def perform(self, prepared: tuple[Any, list[tuple[str, str]], list[bytes]]) -> Answer:
        line, headers, pieces = prepared
        connection = _Connection()
        delegate = self._app.start_request(None, connection)
        for waiting in (
            delegate.headers_received(line, self._httputil.HTTPHeaders(headers)),
            *map(delegate.data_received, pieces),
        ):
            if waiting is not None:
                await waiting
        delegate.finish()
        await connection.finished
        answered = {name.lower(): value for name, value in connection.headers.get_all()}
        return Answer(connection.status, answered, b"".join(connection.parts))


def _mount_tornado(module: Any, client: Any, functions: Any) -> Any:
    app = _new_tornado([])
    module.serve(app, client, functions)
    return app


def _bare_tornado() -> Any:
    from tornado.web import RequestHandler

    class Call(RequestHandler):
        def post(self) -> None:
            request = self.request
            header = request.headers.get("x-inngest-signature")
            _, body, headers = bare_answer(request.body, header, signed=True)
            for name, value in headers.items():
                self.set_header(name, value)
            self.set_header("content-type", CONTENT_TYPE)
            self.write(body)

    return _new_tornado([(SERVE_PATH, Call)])


def _new_tornado(handlers: Any) -> Any:
    from tornado.web import Application

    return Application(handlers, log_function=lambda handler: None)


class _Transport(asyncio.Transport):
    """A transport in memory; aiohttp writes to it."""

    def __init__(self) -> None:
        super().__init__({"sockname": ("127.0.0.1", 8000), "peername": ("127.0.0.1", 40000)})
        self.parts: list[bytes] = []
        self.wrote = asyncio.Event()

    def write(self, data: Any) -> None:
        self.parts.append(bytes(data))
        self.wrote.set()

    def writelines(self, list_of_data: Any) -> None:
        self.write(b"".join(list_of_data))

    def is_closing(self) -> bool:
        return False

    def close(self) -> None:
        pass

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        return super().get_extra_info(name, default)


class AiohttpEndpoint(AsyncEndpoint[list[bytes]]):
    """An aiohttp application with its own server, on one connection that stays open."""

    def __init__(self, app: Any) -> None:
        super().__init__()
        self._app = app
        self._protocol: Any = None
        self._transport: Any = None

    def prepare(self, request: Request) -> list[bytes]:
        return list(chunks(_raw_request(request)))

    async def perform(self, prepared: list[bytes]) -> Answer:
        if self._protocol is None:
            await self._connect()
        transport = self._transport
        transport.parts.clear()
        transport.wrote.clear()
        for piece in prepared:
            self._protocol.data_received(piece)
        while True:
            await transport.wrote.wait()
            transport.wrote.clear()
            answer = _read_answer(b"".join(transport.parts))
            if len(answer.body) >= int(answer.headers.get("content-length", 0)):
                return answer

    async def _connect(self) -> None:
        from aiohttp import web

        runner = web.AppRunner(self._app, access_log=None)
        await runner.setup()
        assert runner.server is not None
        self._transport = _Transport()
        self._protocol = runner.server()
        self._protocol.connection_made(self._transport)
        atexit.register(lambda: self._loop.run_until_complete(runner.cleanup()))


def _mount_aiohttp(module: Any, client: Any, functions: Any) -> Any:
    app = _new_aiohttp()
    module.serve(app, client, functions)
    return app


def _bare_aiohttp() -> Any:
    from aiohttp import web

    async def call(request: web.Request) -> web.Response:
        header = request.headers.get("x-inngest-signature")
        _, body, headers = bare_answer(await request.read(), header, signed=True)
        return web.Response(body=body, status=200, headers=headers, content_type=CONTENT_TYPE)

    app = _new_aiohttp()
    app.router.add_post(SERVE_PATH, call)
    return app


def _new_aiohttp() -> Any:
    from aiohttp import web

    return web.Application(client_max_size=64_000_000)


class RobynEndpoint(AsyncEndpoint[tuple[dict[str, list[str]], dict[str, str], str]]):
    """A Robyn app, from the request on that its server, which is not Python, has parsed."""

    def __init__(self, app: Any) -> None:
        super().__init__()
        self._robyn = importlib.import_module("robyn.robyn")
        routes = app.router.get_routes()
        (self._handle,) = [route.function.handler for route in routes if str(route.route_type) == "HttpMethod.POST"]

    def prepare(self, request: Request) -> tuple[dict[str, list[str]], dict[str, str], str]:
        return urllib.parse.parse_qs(request.query), dict(request.headers), request.body.decode()

    async def perform(self, prepared: tuple[dict[str, list[str]], dict[str, str], str]) -> Answer:
        query, headers, body = prepared
        parameters = self._robyn.QueryParams()
        for name, (value,) in query.items():
            parameters.set(name, value)
        url = self._robyn.Url("http", "127.0.0.1:8000", SERVE_PATH)
        given = self._robyn.Headers(headers)
        response = await self._handle(
            self._robyn.Request(parameters, given, {}, body, "POST", url, {}, {}, None, "127.0.0.1")
        )
        answered = {name: values[0] for name, values in response.headers.get_headers().items()}
        return Answer(response.status_code, answered, response.description)


def _mount_robyn(module: Any, client: Any, functions: Any) -> Any:
    app = _new_robyn()
    module.serve(app, client, functions)
    return app


def _bare_robyn() -> Any:
    import robyn

    async def call(request: robyn.Request) -> robyn.Response:
        sent: Any = request.body
        header = request.headers.get("x-inngest-signature")
        _, body, headers = bare_answer(sent.encode(), header, signed=True)
        return robyn.Response(200, robyn.Headers({**headers, "content-type": CONTENT_TYPE}), body)

    app = _new_robyn()
    app.add_route("POST", SERVE_PATH, call)
    return app


def _new_robyn() -> Any:
    import robyn

    return robyn.Robyn(__file__)


def _mount_sanic(module: Any, client: Any, functions: Any) -> Any:
    app = _new_sanic("bench")
    module.serve(app, client, functions)
    return _started(app)


def _bare_sanic() -> Any:
    import sanic

    app = _new_sanic("floor")

    async def call(request: sanic.Request) -> sanic.HTTPResponse:
        header = request.headers.get("x-inngest-signature")
        _, body, headers = bare_answer(request.body, header, signed=True)
        return sanic.HTTPResponse(body, 200, headers, CONTENT_TYPE)

    app.add_route(call, SERVE_PATH, methods=["POST"])
    return _started(app)


def _new_sanic(name: str) -> Any:
    import sanic

    sanic.Sanic.test_mode = True  # else it rewrites its own code when an app starts, and only one can
    app = sanic.Sanic(name, configure_logging=False)
    app.config.MOTD = False
    return app


def _started(app: Any) -> Any:
    """Return a Sanic app as an ASGI application that starts with its first call."""

    class StartedError(Exception):
        """Ends the lifespan of the app as far as we need it."""

    async def start() -> None:
        messages = iter([{"type": "lifespan.startup"}])

        async def receive() -> Any:
            for message in messages:
                return message
            raise StartedError

        async def send(message: Any) -> None:
            assert message["type"] == "lifespan.startup.complete"

        with contextlib.suppress(StartedError):
            await app({"type": "lifespan"}, receive, send)

    async def call(scope: Any, receive: Any, send: Any) -> None:
        if not app.state.is_started:
            await start()
        await app(scope, receive, send)

    return call


OWN_SERVERS = (
    Adapter("aiohttp", ("aiohttp",), True, "aiohttp", None, _mount_aiohttp, _bare_aiohttp, AiohttpEndpoint),
    Adapter("Robyn", ("robyn",), True, "robyn", None, _mount_robyn, _bare_robyn, RobynEndpoint),
    Adapter("Sanic", ("sanic",), True, "sanic", None, _mount_sanic, _bare_sanic),
    Adapter("Tornado", ("tornado",), True, "tornado", "tornado", _mount_tornado, _bare_tornado, TornadoEndpoint),
    Adapter(
        "http.server", (), False, "http_server", None, _mount_http_server, lambda: _BareHandler, HTTPServerEndpoint
    ),
)

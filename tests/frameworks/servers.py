"""The web servers that people run, each in a thread of the test process, on a free loopback port."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Callable, Generator
from typing import Any


@contextlib.contextmanager
def waitress(app: Any) -> Generator[int, None, None]:
    """Serve a WSGI app with waitress."""
    from waitress import wasyncore
    from waitress.server import create_server

    server: Any = create_server(app, host="127.0.0.1", port=0, threads=8)
    stopping = threading.Event()

    def run() -> None:
        # What server.run() does, but in turns: it knows no way to be stopped from another thread.
        while not stopping.is_set():
            wasyncore.loop(timeout=0.02, map=server._map, count=1)

    with _thread(run, stopping.set):
        yield server.effective_port
    server.task_dispatcher.shutdown()
    wasyncore.close_all(server._map)


@contextlib.contextmanager
def werkzeug(app: Any) -> Generator[int, None, None]:
    """Serve a WSGI app with the threaded server of `flask run`."""
    from werkzeug.serving import make_server

    server = make_server("127.0.0.1", 0, app, threaded=True)
    with contextlib.closing(server.socket), _thread(lambda: server.serve_forever(poll_interval=0.02), server.shutdown):
        yield server.server_port


@contextlib.contextmanager
def uvicorn(app: Any) -> Generator[int, None, None]:
    """Serve an ASGI app with uvicorn."""
    from uvicorn import Config, Server

    server = Server(Config(app, ws="none", log_config=None, timeout_graceful_shutdown=5))
    # Connections wait in the backlog until the app has started.
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def stop() -> None:
            server.should_exit = True

        with _thread(lambda: server.run(sockets=[listener]), stop):
            yield listener.getsockname()[1]


@contextlib.contextmanager
def _thread(run: Callable[[], object], stop: Callable[[], object]) -> Generator[None, None, None]:
    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    try:
        yield
    finally:
        stop()
        thread.join(10)
        assert not thread.is_alive(), "the server does not stop"

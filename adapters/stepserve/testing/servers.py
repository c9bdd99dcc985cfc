"""Web servers in a thread of the test process, on a free loopback port, for harnesses of the contract suite."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Callable, Generator
from typing import Any


@contextlib.contextmanager
def waitress(app: Any, **settings: Any) -> Generator[int, None, None]:
    """Serve a WSGI app with waitress; `settings` are those of its `serve()`."""
    from waitress import wasyncore
    from waitress.server import create_server

    server: Any = create_server(app, host="127.0.0.1", port=0, threads=8, **settings)
    stopping = threading.Event()

    def run() -> None:
        # What server.run() does, but in turns: it knows no way to be stopped from another thread.
        while not stopping.is_set():
            wasyncore.loop(timeout=0.02, map=server._map, count=1)

    with in_thread(run, stopping.set):
        yield server.effective_port
    server.task_dispatcher.shutdown()
    wasyncore.close_all(server._map)


@contextlib.contextmanager
def uvicorn(app: Any) -> Generator[int, None, None]:
    """Serve an ASGI app with uvicorn."""
    from uvicorn import Config, Server

    server = Server(Config(app, ws="none", log_config=None, timeout_graceful_shutdown=5))
    # Connections wait in the backlog until the app has started.
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def stop() -> None:
            server.should_exit = True

        with in_thread(lambda: server.run(sockets=[listener]), stop):
            yield listener.getsockname()[1]


@contextlib.contextmanager
def in_thread(run: Callable[[], object], stop: Callable[[], object]) -> Generator[None, None, None]:
    """Run a server in a thread, until the end of the block stops it."""
    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    try:
        yield
    finally:
        stop()
        thread.join(10)
        assert not thread.is_alive(), "the server does not stop"

"""The web servers that people run, each in a thread of the test process, on a free loopback port."""

from __future__ import annotations

import asyncio
import concurrent.futures
import contextlib
import os
import signal
import socket
from collections.abc import Callable, Coroutine, Generator
from typing import Any

from stepserve.testing.servers import in_thread, uvicorn, waitress

__all__ = ["asyncio_thread", "gunicorn", "hypercorn", "in_thread", "uvicorn", "waitress", "werkzeug"]


@contextlib.contextmanager
def werkzeug(app: Any) -> Generator[int, None, None]:
    """Serve a WSGI app with the threaded server of `flask run`."""
    from werkzeug.serving import make_server

    server = make_server("127.0.0.1", 0, app, threaded=True)
    with (
        contextlib.closing(server.socket),
        in_thread(lambda: server.serve_forever(poll_interval=0.02), server.shutdown),
    ):
        yield server.server_port


@contextlib.contextmanager
def hypercorn(app: Any) -> Generator[int, None, None]:
    """Serve an ASGI app with hypercorn."""
    from hypercorn.asyncio import serve
    from hypercorn.config import Config

    with socket.create_server(("127.0.0.1", 0)) as listener:
        config = Config()
        config.bind = [f"fd://{os.dup(listener.fileno())}"]
        config.graceful_timeout = 5
        config.errorlog = None
        with asyncio_thread(lambda stopping: serve(app, config, shutdown_trigger=stopping.wait)):
            yield listener.getsockname()[1]


@contextlib.contextmanager
def gunicorn(app: Any) -> Generator[int, None, None]:
    """Serve a WSGI app with a threaded worker of gunicorn."""
    from gunicorn.app.base import BaseApplication
    from gunicorn.config import Config
    from gunicorn.glogging import Logger
    from gunicorn.workers.gthread import ThreadWorker

    class Application(BaseApplication):
        def load_config(self) -> None:
            self.cfg.set("threads", 8)
            self.cfg.set("keepalive", 0)
            self.cfg.set("graceful_timeout", 5)

        def load(self) -> Any:
            return app

    class Worker(ThreadWorker):
        def init_signals(self) -> None:
            """Leave the signals to the test process: a thread may not set handlers."""

    application = Application()
    config: Config = application.cfg
    with socket.create_server(("127.0.0.1", 0)) as listener:
        worker = Worker(0, os.getppid(), [listener], application, 30, config, Logger(config))
        with in_thread(worker.init_process, lambda: worker.handle_exit(signal.SIGTERM, None)):
            yield listener.getsockname()[1]
        worker.tmp.close()
        for end in worker.PIPE:
            os.close(end)


@contextlib.contextmanager
def asyncio_thread(run: Callable[[asyncio.Event], Coroutine[Any, Any, object]]) -> Generator[None, None, None]:
    """Run a coroutine function on a loop of its own until it returns, which it must once the event is set."""
    started: concurrent.futures.Future[tuple[asyncio.AbstractEventLoop, asyncio.Event]] = concurrent.futures.Future()

    async def main() -> None:
        stopping = asyncio.Event()
        started.set_result((asyncio.get_running_loop(), stopping))
        await run(stopping)

    def stop() -> None:
        loop, stopping = started.result(10)
        loop.call_soon_threadsafe(stopping.set)

    with in_thread(lambda: asyncio.run(main()), stop):
        yield

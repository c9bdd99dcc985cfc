"""A server in a process of its own, for frameworks whose server starts once in a process and ends with it.

The process is a fork: apps, functions and whatever a test has changed before are there as they are here. What it has to
say comes back as it would from afar, by replies, requests to the recorder and connections to gates; and its log records
are handed to the loggers here, before the one that logs them goes on.
"""

from __future__ import annotations

import contextlib
import logging
import logging.handlers
import multiprocessing
import os
import signal
import socket
import threading
import time
import warnings
from collections.abc import Callable, Generator
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from typing import Any

from stepserve.testing.contract.gate import PATIENCE


@contextlib.contextmanager
def serving(serve_forever: Callable[[int], object]) -> Generator[int, None, None]:
    """Call `serve_forever` with a free port of 127.0.0.1 in a child process; give the port once it is listening.

    The server must set SO_REUSEPORT: the port is held here meanwhile, so that nobody else takes it.
    """
    with socket.socket() as held, _relayed_records() as records:
        held.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        held.bind(("127.0.0.1", 0))
        port: int = held.getsockname()[1]
        # No daemon: those may have no children. The end of the block ends it in any case.
        process = multiprocessing.get_context("fork").Process(target=_main, args=(serve_forever, port, records))
        with warnings.catch_warnings():
            # Python 3.12 warns of locks that other threads hold. Those here serve sockets; logging minds its own locks.
            warnings.filterwarnings("ignore", ".*use of fork.. may lead to deadlocks", DeprecationWarning)
            process.start()
        group = process.pid
        assert group is not None
        records.close()  # the child's end: when the child is gone, the relay ends
        try:
            _wait_until_listening(process, port)
            yield port
        finally:
            # Asked to end, a server may wait for connections first; and it may have processes of its own.
            with contextlib.suppress(ProcessLookupError):
                os.killpg(group, signal.SIGKILL)
            process.kill()
            process.join(PATIENCE)
            assert not process.is_alive(), "the server does not stop"


def _main(serve_forever: Callable[[int], object], port: int, records: Connection) -> None:
    os.setsid()
    logging.getLogger().handlers = [_Relay(records)]
    serve_forever(port)


class _Relay(logging.handlers.QueueHandler):
    """Hands records to the test process, and waits until they are logged there."""

    def __init__(self, connection: Connection) -> None:
        super().__init__(queue=None)  # type: ignore[arg-type] # pyright: ignore[reportArgumentType] # enqueue() is ours
        self._connection = connection

    def enqueue(self, record: logging.LogRecord) -> None:
        """Hand over one record; logging lets one thread at a time come here."""
        self._connection.send(record)
        self._connection.recv()


@contextlib.contextmanager
def _relayed_records() -> Generator[Connection, None, None]:
    """Give a connection whose records are logged here, until it is closed."""
    ours, theirs = multiprocessing.Pipe()
    thread = threading.Thread(target=_log_all, args=(ours,), daemon=True)
    thread.start()
    try:
        with theirs:
            yield theirs
    finally:
        thread.join(PATIENCE)
        ours.close()


def _log_all(records: Connection) -> None:
    with contextlib.suppress(EOFError, ConnectionError):
        while True:
            record: Any = records.recv()
            logging.getLogger(record.name).handle(record)
            records.send(None)


def _wait_until_listening(process: BaseProcess, port: int) -> None:
    deadline = time.monotonic() + PATIENCE
    while True:
        assert process.is_alive(), f"the server ended with exit code {process.exitcode}"
        assert time.monotonic() < deadline, "the server does not listen"
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
            return
        process.join(0.02)

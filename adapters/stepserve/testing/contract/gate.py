"""Where functions wait until a test lets them go on."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Generator

PATIENCE = 20.0
"""Seconds after which somebody who does not come is given up."""


class Gate:
    """Functions connect to its port, and block until they are told something."""

    def __init__(self, listener: socket.socket) -> None:
        self._listener = listener
        self.port: int = listener.getsockname()[1]
        self._waiting: list[socket.socket] = []
        self._changed = threading.Condition()
        self._is_open = False
        self.came = 0
        """How many have come so far."""

    @classmethod
    @contextlib.contextmanager
    def closed(cls) -> Generator[Gate, None, None]:
        """Give a gate through which nobody comes yet."""
        with socket.create_server(("127.0.0.1", 0), backlog=100) as listener:
            gate = cls(listener)
            thread = threading.Thread(target=gate._admit, daemon=True)
            thread.start()
            try:
                yield gate
            finally:
                gate.open()
                # Shutting down wakes the thread that accepts.
                listener.shutdown(socket.SHUT_RDWR)
                thread.join()

    def _admit(self) -> None:
        while True:
            try:
                waiting, _ = self._listener.accept()
            except OSError:
                return
            with self._changed:
                self.came += 1
                self._waiting.append(waiting)
                if self._is_open:
                    self._let_all_go()
                self._changed.notify_all()

    def wait_for(self, came: int) -> None:
        """Wait until so many have come."""
        with self._changed:
            assert self._changed.wait_for(lambda: self.came >= came, PATIENCE), f"{self.came} came, not {came}"

    def let_one_go(self) -> None:
        """Let one who waits through."""
        with self._changed:
            _let_go(self._waiting.pop(0))

    def open(self) -> None:
        """Let everybody through from now on."""
        with self._changed:
            self._is_open = True
            self._let_all_go()

    def _let_all_go(self) -> None:
        for waiting in self._waiting:
            _let_go(waiting)
        self._waiting.clear()


def _let_go(waiting: socket.socket) -> None:
    # Who was cancelled has hung up.
    with waiting, contextlib.suppress(OSError):
        waiting.sendall(b"let through")

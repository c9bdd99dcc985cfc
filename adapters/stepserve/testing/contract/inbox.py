"""Where functions leave word for a test, whatever process they run in."""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Generator

from stepserve.testing.contract.gate import PATIENCE


class Inbox:
    """Receives short texts from functions."""

    def __init__(self, receiver: socket.socket) -> None:
        self._receiver = receiver
        self._address: tuple[str, int] = receiver.getsockname()

    @classmethod
    @contextlib.contextmanager
    def opened(cls) -> Generator[Inbox, None, None]:
        """Give an inbox with nothing in it."""
        with socket.socket(type=socket.SOCK_DGRAM) as receiver:
            receiver.bind(("127.0.0.1", 0))
            receiver.settimeout(PATIENCE)
            yield cls(receiver)

    def tell(self, word: str) -> None:
        """Leave word, from a function."""
        with socket.socket(type=socket.SOCK_DGRAM) as sender:
            sender.sendto(word.encode(), self._address)

    def next_word(self) -> str:
        """Wait for the next word, and return it."""
        return self._receiver.recv(1024).decode()

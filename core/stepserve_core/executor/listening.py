"""Listening sockets, and the server that answers at one."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import os
import socket
from collections.abc import Generator
from typing import TYPE_CHECKING

import uvicorn

from stepserve_core.errors import ConfigurationError

if TYPE_CHECKING:
    from stepserve_core.executor.server import ServerConfig

_PORTS_TRIED = 100
_LAST_PORT = 65535


class PortInUseError(ConfigurationError):
    """The port of the API is taken."""


def bind(config: ServerConfig) -> socket.socket:
    """Return a listening socket. In dev a busy port moves up by one until a free one is found.

    Raises:
        PortInUseError: the port is taken, or every one that was tried.
    """
    return _bind(config, config.port, "--port")


def bind_gateway(config: ServerConfig, api: socket.socket) -> socket.socket:
    """Return a listening socket for workers, by default at the port after that of the API (executor.md 1.1).

    Raises:
        PortInUseError: as `bind`.
        ConfigurationError: in production, no port comes after that of the API.
    """
    port = config.connect_gateway_port
    if port is None:
        port = _port_after(config, api.getsockname()[1]) if config.port else 0
    return _bind(config, port, "--connect-gateway-port")


def _port_after(config: ServerConfig, port: int) -> int:
    """Workers are told the port, so any free one does after the last one; but in production it must be a known one."""
    if port < _LAST_PORT:
        return port + 1
    if config.kind == "dev":
        return 0
    raise ConfigurationError(
        f"workers connect at the port after {port}, and there is none; choose one with --connect-gateway-port"
    )


def _bind(config: ServerConfig, first: int, flag: str) -> socket.socket:
    tried = _PORTS_TRIED if config.kind == "dev" and first else 1
    family = socket.AF_INET6 if ":" in config.host else socket.AF_INET
    for port in range(first, min(first + tried, _LAST_PORT + 1)):
        # Named, because asyncio turns Nagle's delay off only for sockets that say that they are TCP.
        listener = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
        try:
            if os.name == "posix":
                listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listener.bind((config.host, port))
            listener.listen(2048)
        except OSError as error:
            listener.close()
            if error.errno != errno.EADDRINUSE:
                raise ConfigurationError(f"cannot listen at {config.host}:{port} (--host, {flag}): {error}") from None
        else:
            listener.setblocking(False)
            return listener
    raise PortInUseError(f"port {first} is in use; choose another one with {flag}")


def reachable(host: str) -> str:
    """Return what to write into a URL for an address to listen at."""
    if host in ("", "0.0.0.0", "::"):  # noqa: S104 - read, not bound
        return "127.0.0.1"
    return f"[{host}]" if ":" in host else host


class QuietServer(uvicorn.Server):
    """uvicorn, without its signal handlers (they are ours) and without its tick, and able to say when it listens."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.listening = asyncio.Event()
        self._stopped = asyncio.Event()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Start to listen, and say so."""
        await super().startup(sockets)
        self.listening.set()

    async def main_loop(self) -> None:
        """Serve until `stop`. The original wakes ten times a second, above all to keep the date header current."""
        await self._stopped.wait()

    def stop(self) -> None:
        """End `serve`: finish what is under way, then close."""
        self.should_exit = True
        self._stopped.set()

    @contextlib.contextmanager
    def capture_signals(self) -> Generator[None, None, None]:
        """Leave signals alone."""
        yield

"""A server in this process: requests of clients reach it without a socket, and its clock counts.

`Executor.embedded` is such a server. While it calls a function, `serving` says so to everything that the function
does; for code outside of functions, `Inngest.servers` has the servers that run its functions here.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from stepserve_core._checkpointing import Checkpointing
    from stepserve_core._client import Inngest
    from stepserve_core._found import Found
    from stepserve_core._http import HTTPResponse
    from stepserve_core._runtime import Runtime


class StepSubstitutes(Protocol):
    """Decides what is called in place of the handlers of steps, in tests."""

    def substitute(self, function_id: str, run_id: str, found: Found) -> Any:
        """Return what is called with the arguments of the step's handler; None for the handler itself."""
        ...


class InProcessServer(Protocol):
    """What stands in for the server's HTTP API."""

    runs_in_place: bool
    """Whether sync functions are called in the thread of the event loop, and not in the pool."""
    substitutes: StepSubstitutes | None
    checkpointing: Checkpointing | None
    """Whether functions go on after each step, whatever they say themselves; None if each step is an answer."""

    def now(self) -> float:
        """Return the moment, in Unix seconds."""
        ...

    async def answer(
        self, runtime: Runtime, method: str, target: str, headers: Mapping[str, str], body: bytes
    ) -> HTTPResponse:
        """Answer a request of a client; `target` is path and query."""
        ...


serving: ContextVar[InProcessServer | None] = ContextVar("stepserve_serving", default=None)
"""The server that calls the function inside which we are."""


def server_of(client: Inngest) -> InProcessServer | None:
    """Return the server in this process that requests of `client` go to; None where they go over HTTP."""
    server = serving.get()
    if server is not None:
        return server
    return client.servers[-1] if client.servers else None


def now() -> float:
    """Return the moment inside a function: that of the server that calls it, if it runs in this process."""
    server = serving.get()
    return time.time() if server is None else server.now()

"""Database connections around calls: a stale one is closed before a function meets it.

Django closes stale connections when a request starts and when it ends, in the thread of the request. Functions run
elsewhere too: `def` functions under ASGI, and streamed ones, in the core's threads; `async def` functions under WSGI
on its background loop. So it is done once more where the function runs, around its middleware as well.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any

from asgiref.sync import ThreadSensitiveContext, sync_to_async
from django.db import close_old_connections, connections

from stepserve_core._admission import Work
from stepserve_core._answer import Answer
from stepserve_core._runtime import Runtime
from stepserve_core.handler import Handler

_Serve = Callable[[Runtime], Coroutine[Any, Any, Answer]]


class DjangoHandler(Handler):
    """A handler whose calls meet no stale database connections, and leave none behind."""

    async def _serve(self, work: Work, runtime: Runtime) -> Answer:
        # The core comes here in the thread, or on the loop, that the function's colour asks for.
        if work.is_async is not None:
            work = work._replace(serve=_with_fresh_connections(work.serve))
        return await super()._serve(work, runtime)


def _with_fresh_connections(serve: _Serve) -> _Serve:
    async def serve_fresh(runtime: Runtime) -> Answer:
        if runtime.is_async:
            return await _serve_async(serve, runtime)
        close_old_connections()
        try:
            return await serve(runtime)
        finally:
            close_old_connections()

    return serve_fresh


async def _serve_async(serve: _Serve, runtime: Runtime) -> Answer:
    """Serve a call of an async function.

    Its queries run in a thread that is its own: Django's of the request under ASGI, where entering a context again
    changes nothing; under WSGI one that this context starts, so that calls do not queue for the one of the process.
    """
    async with ThreadSensitiveContext():
        try:
            return await serve(runtime)
        finally:
            await sync_to_async(_close_connections)()


def _close_connections() -> None:
    """Close the connections of a thread that ends with its call, but not one that a test keeps in a transaction."""
    for connection in connections.all(initialized_only=True):
        if not connection.in_atomic_block:
            connection.close()

"""Database connections around calls: a stale one is closed before a function meets it.

Django closes stale connections when a request starts and when it ends, in the thread of the request. Functions run
elsewhere too: `def` functions under ASGI, and streamed ones, in the core's threads; `async def` functions under WSGI
on its background loop. So it is done once more where the function runs, around its middleware as well.
"""

from __future__ import annotations

import contextlib
from collections.abc import AsyncGenerator, Generator
from contextvars import ContextVar
from typing import Any

from asgiref.sync import ThreadSensitiveContext, sync_to_async
from django.db import close_old_connections, connections
from django.db.backends.signals import connection_created

from stepserve_core.handler import Around


class _Opened:
    """Whether a call of an async function has opened a connection."""

    any = False


_opened: ContextVar[_Opened] = ContextVar("stepserve_opened")


@contextlib.contextmanager
def _in_thread() -> Generator[None, None, None]:
    close_old_connections()
    try:
        yield
    finally:
        close_old_connections()


@contextlib.asynccontextmanager
async def _on_loop() -> AsyncGenerator[None, None]:
    """Let queries run in a thread that is the call's own, and close what was opened there.

    Under ASGI it is Django's of the request, where entering a context again changes nothing; under WSGI one that
    this context starts with the first query, so that calls do not queue for the one of the process. Either is new,
    and so are its connections. Calls without a query need no thread.
    """
    opened = _Opened()
    token = _opened.set(opened)
    try:
        async with ThreadSensitiveContext():
            try:
                yield
            finally:
                if opened.any:
                    await sync_to_async(_close_connections)()
    finally:
        _opened.reset(token)


def _note_opened(**_: Any) -> None:
    opened = _opened.get(None)  # the thread of a query has the context of the call that asks
    if opened is not None:
        opened.any = True


def _close_connections() -> None:
    """Close the connections of a thread that ends with its call, but not one that a test keeps in a transaction."""
    for connection in connections.all(initialized_only=True):
        if not connection.in_atomic_block:
            connection.close()


connection_created.connect(_note_opened)

AROUND = Around(thread=_in_thread, loop=_on_loop)
"""Lets calls meet no stale connections, and leave none behind."""

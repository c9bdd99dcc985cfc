"""Who gets a call, and who is told that there is room."""

from __future__ import annotations

import time

import pytest

from stepserve_core.connect.messages import SystemAttributes
from stepserve_core.executor.clock import VirtualClock
from stepserve_core.executor.connect.workers import Connection, Workers

pytestmark = pytest.mark.anyio


async def _send(frame: bytes) -> None:
    del frame


async def test_each_call_that_ends_lets_one_go_on_once_a_call_found_no_room() -> None:
    """Two may end before the first that was let go on is taken: the second must not be forgotten."""
    workers = Workers(VirtualClock(time.time()))
    connection = Connection(
        "c",
        "i",
        {"app-f": "app"},
        _send,
        max_concurrency=2,
        sdk=("py", "1"),
        system=SystemAttributes(),
        address="127.0.0.1",
        now=time.time(),
    )
    workers.add(connection)
    workers.make_ready(connection)
    told: list[bool] = []
    workers.on_room = lambda _apps, one: told.append(one)
    forwards = [workers.open(request_id, connection) for request_id in ("a", "b")]

    assert workers.choose("app-f") is None
    for forward in forwards:
        workers.close(forward)
    assert [True, True] == told

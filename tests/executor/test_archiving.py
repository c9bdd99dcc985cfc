"""Archived functions: what collected for them starts nothing, and nothing of theirs stays behind."""

from __future__ import annotations

from collections.abc import Generator
from typing import Any

import pytest

from stepserve_core.executor.clock import VirtualClock
from tests.executor.conftest import StartSystem
from tests.executor.raw_app import Call, Fn, invoke
from tests.executor.system import System

pytestmark = pytest.mark.anyio

Steps = Generator[Any, Any, Any]
COLLECTING = [
    pytest.param({"debounce": {"period": "1h"}}, id="debounce"),
    pytest.param({"batchEvents": {"maxSize": 9, "timeout": "1h"}}, id="batch"),
]


def fine(_: Call) -> Steps:
    return "fine"
    yield


def invoker(_: Call) -> Steps:
    return (yield invoke("call", "app-f"))


async def archive(system: System, *gone: str) -> None:
    """Let the app register itself without some functions."""
    system.app.functions = [fn for fn in system.app.functions if fn.id not in gone]
    answer = await system.http.post("/fn/register", json=system.app.registration())

    assert 200 == answer.status_code, answer.text


async def timers(system: System) -> list[str]:
    """Return what waits in the queue for its time."""
    queued = await system.executor.store.write(lambda tables: tables.queue.find_due(float("inf"), 100))
    return [item.kind for item in queued]


@pytest.mark.parametrize("options", COLLECTING)
async def test_what_collected_for_an_archived_function_starts_no_run(
    start: StartSystem, options: dict[str, Any]
) -> None:
    functions = [Fn("f", fine, [{"event": "test/x"}], options=options), Fn("other", fine)]
    async with start(*functions, clock=VirtualClock()) as system:
        event_id = await system.send("test/x")
        await archive(system, "f")
        await system.advance(7200)

        assert ([], []) == (await system.runs(event_id), system.app.calls)
        assert [] == await timers(system)


@pytest.mark.parametrize("options", COLLECTING)
async def test_what_collected_starts_its_run_where_the_function_comes_back_in_time(
    start: StartSystem, options: dict[str, Any]
) -> None:
    function = Fn("f", fine, [{"event": "test/x"}], options=options)
    async with start(function, Fn("other", fine), clock=VirtualClock()) as system:
        event_id = await system.send("test/x")
        await archive(system, "f")
        system.app.functions.append(function)
        await archive(system)
        await system.advance(7200)

        assert ("Completed", "fine") == await system.outcome(event_id)


@pytest.mark.parametrize("options", COLLECTING)
async def test_a_step_that_invoked_an_archived_function_fails(start: StartSystem, options: dict[str, Any]) -> None:
    functions = [Fn("f", fine, options=options), Fn("caller", invoker, [{"event": "test/call"}])]
    async with start(*functions, clock=VirtualClock()) as system:
        event_id = await system.send("test/call")
        await system.idle()
        await archive(system, "f")
        await system.advance(7200)
        status, output = await system.outcome(event_id)

        assert ("Failed", "invoked function is archived") == (status, output["message"])


async def test_an_app_that_is_removed_leaves_no_ticks(start: StartSystem) -> None:
    async with start(Fn("f", fine, [{"cron": "0 0 1 1 *"}]), clock=VirtualClock()) as system:
        before = await timers(system)
        removed = await system.http.delete("/fn/remove", params={"url": system.app.url})

        assert (["cron"], 200, []) == (before, removed.status_code, await timers(system))

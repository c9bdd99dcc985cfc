"""Our worker and our gateway, each with sockets of its own."""

from __future__ import annotations

import asyncio
import threading
import time
from typing import Any

import pytest

from stepserve import Function, Inngest, NonRetriableError, RetryAfterError, TriggerEvent
from stepserve.connect import ConnectionState, connect
from stepserve_core.errors import ConnectError
from stepserve_core.executor.connect.intervals import Intervals
from tests.connect.conftest import Define, Serve, running
from tests.core.colours import COLOURS

pytestmark = pytest.mark.anyio

KEY = "signkey-test-8ee2262a15e8d3c42d6a840db7af3de2aab08ef632b32a37a687f24b34dba3ff"
OTHER_KEY = "signkey-test-abcd"
ON_X = TriggerEvent(event="test/x")


def one(body: Any, **options: Any) -> Define:
    """Define one function."""
    return lambda client: [client.create_function(fn_id="f", trigger=ON_X, **options)(body)]


class Slow:
    """A function that waits until it is let go, and counts how often it was called."""

    def __init__(self) -> None:
        self.calls = 0
        self.attempts: list[int] = []
        self.begun = asyncio.Event()
        self.let_go = asyncio.Event()

    async def __call__(self, ctx: Any) -> str:
        self.calls += 1
        self.attempts.append(ctx.attempt)
        self.begun.set()
        await self.let_go.wait()
        return "done"


async def steps_async(ctx: Any) -> Any:
    async def double() -> int:
        return int(ctx.event.data["n"]) * 2

    doubled = await ctx.step.run("double", double)
    await ctx.step.sleep("nap", 1)
    return [doubled, ctx.attempt]


def steps_sync(ctx: Any) -> Any:
    doubled = ctx.step.run("double", lambda: ctx.event.data["n"] * 2)
    ctx.step.sleep("nap", 1)
    return [doubled, ctx.attempt]


@pytest.mark.parametrize("colour", COLOURS)
async def test_a_function_runs_step_by_step(serve: Serve, colour: str) -> None:
    async with serve() as system, system.worker(one(steps_async if colour == "async" else steps_sync)):
        event_id = await system.send("test/x", {"n": 4})
        while (outcome := await system.outcome(event_id))[0] == "Running":
            await asyncio.sleep(0.005)

    assert ("Completed", [8, 0]) == outcome


async def test_one_worker_runs_several_apps_in_production_mode(serve: Serve) -> None:
    settings = {"kind": "cloud", "signing_key": KEY, "event_keys": ["key"]}
    async with serve(**settings) as system:
        clients = [system.client_of(name, is_production=True, signing_key=KEY) for name in ("first", "second")]

        def function(client: Inngest) -> Function[Any]:
            return client.create_function(fn_id="f", trigger=ON_X)(lambda ctx: f"{client.app_id} {ctx.run_id != ''}")

        async with running(connect([(client, [function(client)]) for client in clients], shutdown_signals=[])):
            event_id = await system.send("test/x")
            await system.idle()
            outputs = {run["output"] for run in await system.runs(event_id)}

    assert {"first True", "second True"} == outputs


async def fail_for_good(ctx: Any) -> None:
    raise NonRetriableError(f"no good at {ctx.attempt}")


async def fail_at_first(ctx: Any) -> str:
    if ctx.attempt == 0:
        raise RetryAfterError("later", 1000)
    return f"attempt {ctx.attempt}"


async def test_errors_say_whether_and_when_to_try_again(serve: Serve) -> None:
    def define(client: Inngest) -> list[Function[Any]]:
        return [
            client.create_function(fn_id="bad", trigger=TriggerEvent(event="test/bad"))(fail_for_good),
            client.create_function(fn_id="later", trigger=TriggerEvent(event="test/later"))(fail_at_first),
        ]

    async with serve() as system, system.worker(define):
        bad = await system.outcome(await system.send("test/bad"))
        event_id = await system.send("test/later")
        while (later := await system.outcome(event_id))[0] == "Running":
            await asyncio.sleep(0.02)

    assert ("Failed", "no good at 0") == (bad[0], bad[1]["message"])
    assert ("Completed", "attempt 1") == later


async def test_a_run_waits_for_a_worker_without_using_up_attempts(serve: Serve) -> None:
    async def attempt(ctx: Any) -> int:
        return int(ctx.attempt)

    async with serve() as system:
        async with system.worker(one(attempt, retries=0)):
            pass
        await system.until_gone()
        event_id = await system.send("test/x")
        before = await system.outcome(event_id)
        async with system.worker(one(attempt, retries=0)):
            while (after := await system.outcome(event_id))[0] == "Running":
                await asyncio.sleep(0.005)

    assert [("Running", None), ("Completed", 0)] == [before, after]


async def test_a_worker_never_executes_more_at_once_than_it_wants(serve: Serve) -> None:
    now, most = 0, 0

    async def body(ctx: Any) -> None:
        nonlocal now, most
        now += 1
        most = max(most, now)
        await asyncio.sleep(0.01)
        now -= 1

    async with serve() as system, system.worker(one(body), max_worker_concurrency=2):
        events = [await system.send("test/x") for _ in range(8)]
        while [(await system.outcome(event))[0] for event in events] != ["Completed"] * 8:
            await asyncio.sleep(0.01)

    assert 2 == most


async def test_closing_finishes_calls_under_way_and_takes_no_more(serve: Serve) -> None:
    slow = Slow()
    async with serve() as system, system.worker(one(slow.__call__)) as connection:
        event_id = await system.send("test/x")
        await slow.begun.wait()
        states = [connection.get_state()]
        await connection.close()
        states.append(connection.get_state())
        while system.executor.workers.choose("app-f") is not None:
            await asyncio.sleep(0.005)
        late = await system.send("test/x")
        slow.let_go.set()
        await connection.close(wait=True)
        states.append(connection.get_state())
        outcomes = [(await system.outcome(event))[0] for event in (event_id, late)]

    assert [ConnectionState.ACTIVE, ConnectionState.CLOSING, ConnectionState.CLOSED] == states
    assert (1, ["Completed", "Running"]) == (slow.calls, outcomes)


async def test_a_call_goes_on_while_its_worker_connects_anew(serve: Serve) -> None:
    slow = Slow()
    async with serve() as system, system.worker(one(slow.__call__)) as connection:
        event_id = await system.send("test/x")
        await slow.begun.wait()
        (before,) = system.executor.workers.all()
        await cut(system, before)
        while not [one for one in system.executor.workers.all() if one.calls]:
            await asyncio.sleep(0.005)
        slow.let_go.set()
        outcome = await system.outcome(event_id)
        after = connection.get_connection_id()

    assert ("Completed", "done", 1) == (*outcome, slow.calls)
    assert before.id != after


async def cut(system: Any, connection: Any) -> None:
    """End a connection as a broken network does."""
    for socket in system.server.gateway._server.connections:
        socket.transport.abort()
    while connection in system.executor.workers.all():
        await asyncio.sleep(0.005)


async def test_code_that_blocks_the_event_loop_does_not_delay_heartbeats(serve: Serve) -> None:
    async def block(ctx: Any) -> str:
        time.sleep(2)
        return "still there"

    async with serve(Intervals(heartbeat=0.3, extend=0.3, lease=1.5, ack=1.5)) as system:
        client = system.client_of()
        connection = connect([(client, one(block)(client))], shutdown_signals=[])
        thread = threading.Thread(target=lambda: asyncio.run(connection.start()))
        thread.start()
        await connection.wait_for_state(ConnectionState.ACTIVE)
        first = connection.get_connection_id()
        outcome = await system.outcome(await system.send("test/x"))
        last = connection.get_connection_id()
        await connection.close(wait=True)
        await asyncio.to_thread(thread.join)

    assert (("Completed", "still there"), first) == (outcome, last)


async def test_a_lost_worker_is_no_reason_to_wait_for_a_state_for_ever(serve: Serve) -> None:
    async with serve() as system, system.worker(one(steps_sync)) as connection:
        waiting = asyncio.create_task(connection.wait_for_state(ConnectionState.PAUSED))
        await asyncio.sleep(0)
        await connection.close(wait=True)
        with pytest.raises(ConnectError, match="closed and will not be PAUSED"):
            await waiting
        with pytest.raises(ConnectError, match="connection not established"):
            connection.get_connection_id()

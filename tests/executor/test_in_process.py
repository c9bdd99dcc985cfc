"""An embedded executor is the server of its client: what the client and its steps ask of a server comes to it."""

from __future__ import annotations

import asyncio
import datetime
import pathlib
from collections.abc import Callable
from typing import Any

import pytest

from stepserve_core import Context, ContextSync, Event, Inngest, RetryAfterError, TriggerEvent
from stepserve_core.errors import SendEventsError
from stepserve_core.executor import Executor, Store, VirtualClock

pytestmark = pytest.mark.anyio

DONE = TriggerEvent(event="shop/done")


@pytest.fixture
def client() -> Inngest:
    """Return a client in production mode without any key, whose server nobody could reach."""
    return Inngest(app_id="shop", is_production=True, api_base_url="http://127.0.0.1:1")


async def outcomes(executor: Executor, event_id: str) -> list[tuple[str, bytes | None]]:
    """Return status and output of the runs of an event, when nothing is left to do."""
    await executor.loop.idle()
    runs = await executor.read(lambda tables: tables.runs.of_event(event_id))
    return [(run.status, run.output) for run in runs]


@pytest.mark.parametrize("is_file", [False, True], ids=["memory", "file"])
@pytest.mark.parametrize("is_async", [False, True], ids=["def", "async def"])
async def test_events_that_steps_send_start_functions_without_a_socket(
    client: Inngest, tmp_path: pathlib.Path, is_async: bool, is_file: bool
) -> None:
    sent: list[str] = []

    @client.create_function(fn_id="sync", trigger=TriggerEvent(event="shop/go"))
    def tell(ctx: ContextSync) -> list[str]:
        sent.extend(ctx.step.send_event("tell", Event(name="shop/done")))
        return client.send_sync(Event(name="shop/said"))

    @client.create_function(fn_id="async", trigger=TriggerEvent(event="shop/go"))
    async def tell_async(ctx: Context) -> list[str]:
        sent.extend(await ctx.step.send_event("tell", Event(name="shop/done")))
        return await client.send(Event(name="shop/said"))

    @client.create_function(fn_id="done", trigger=DONE)
    def done(ctx: ContextSync) -> str:
        return ctx.event.name

    store = Store(str(tmp_path / "runs.db")) if is_file else Store()
    async with Executor.embedded(client, [tell_async if is_async else tell, done], store=store) as executor:
        (started,) = await executor.send({"name": "shop/go"})
        ((status, output),) = await outcomes(executor, started)
        said = await executor.read(lambda tables: tables.events.get((output or b"").decode()[2:-2]))

        assert ("Completed", "shop/said") == (status, said and said.name)
        assert [("Completed", b'"shop/done"')] == await outcomes(executor, sent[0])


@pytest.mark.parametrize(
    "send",
    [
        lambda client: client.send(Event(name="shop/done")),
        lambda client: asyncio.to_thread(client.send_sync, Event(name="shop/done")),
        lambda client: asyncio.to_thread(asyncio.run, client.send(Event(name="shop/done"))),
    ],
    ids=["on the loop", "in a thread", "on another loop"],
)
async def test_the_client_sends_to_the_executor_from_anywhere(client: Inngest, send: Callable[[Inngest], Any]) -> None:
    @client.create_function(fn_id="done", trigger=DONE)
    def done(ctx: ContextSync) -> str:
        return ctx.event.name

    async with Executor.embedded(client, [done]) as executor:
        (event_id,) = await send(client)

        assert [("Completed", b'"shop/done"')] == await outcomes(executor, event_id)


async def test_sync_code_in_the_thread_of_the_event_loop_sends_too(client: Inngest) -> None:
    async with Executor.embedded(client, [_idle(client)]) as executor:
        (event_id,) = client.send_sync(Event(name="shop/x", data={"n": 1}))

        event = await executor.read(lambda tables: tables.events.get(event_id))
        assert event is not None
        assert {"n": 1} == event.value()["data"]


async def test_other_requests_of_the_client_come_to_the_executor_too(client: Inngest) -> None:
    @client.create_function(fn_id="wait", trigger=TriggerEvent(event="shop/go"))
    async def wait(ctx: Context) -> Any:
        signal = await ctx.step.wait_for_signal("wait", signal="paid", timeout="1d")
        return None if signal is None else signal.data

    async with Executor.embedded(client, [wait]) as executor:
        ids = await client.send(Event(name="shop/go"))
        await executor.loop.idle()
        run_id = await client.send_signal("paid", {"by": "card"})
        (run,) = await executor.read(lambda tables: tables.runs.of_event(ids[0]))

        assert run.id == run_id
        assert [("Completed", b'{"by":"card"}')] == await outcomes(executor, ids[0])
        assert client.cancel_run_sync(run.id) is False


async def test_what_the_event_api_refuses_is_refused_in_process(client: Inngest) -> None:
    async with Executor.embedded(client, [_idle(client)]):
        with pytest.raises(SendEventsError, match="reserved for internal use"):
            await client.send(Event(name="inngest/function.failed"))


async def test_after_the_executor_has_stopped_requests_go_where_they_went_before(client: Inngest) -> None:
    async with Executor.embedded(client, [_idle(client)]):
        async with Executor.embedded(client, [_idle(client)]) as inner:
            assert inner.local is client.servers[-1]
        assert 1 == len(client.servers)

    assert [] == client.servers


async def test_the_clock_of_the_executor_is_that_of_its_functions(client: Inngest) -> None:
    calls: list[int] = []

    @client.create_function(fn_id="f", trigger=TriggerEvent(event="shop/go"))
    async def function(ctx: Context) -> int:
        await ctx.step.sleep("first", "3d")
        await ctx.step.sleep("second", datetime.timedelta(days=3))
        calls.append(ctx.attempt)
        if ctx.attempt == 0:
            raise RetryAfterError("later", "2h")
        return ctx.event.ts

    clock = VirtualClock(1_900_000_000.0)
    async with Executor.embedded(client, [function], clock=clock) as executor:
        (event_id,) = await client.send(Event(name="shop/go"))
        for hours in (72, 71, 1, 1, 1):
            await executor.loop.idle()
            clock.advance(hours * 3600.0 + 1)
            executor.loop.wake()

        assert [("Completed", b"1900000000000")] == await outcomes(executor, event_id)
        assert [0, 1] == calls


def _idle(client: Inngest) -> Any:
    @client.create_function(fn_id="idle", trigger=TriggerEvent(event="shop/nothing"))
    def idle(ctx: ContextSync) -> None:
        del ctx

    return idle

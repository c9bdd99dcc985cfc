"""Servers that hang up before they have their answer: the app goes on serving, and nobody is alarmed."""

from __future__ import annotations

import asyncio
import logging
from typing import Any

import pytest

from stepserve import Context, ContextSync, Function, Inngest, Streaming, TriggerEvent
from stepserve.testing.contract import functions_async, functions_sync
from stepserve.testing.contract.fixtures import Make, needs_streaming
from stepserve.testing.contract.gate import Gate
from stepserve.testing.contract.harness import Harness
from stepserve.testing.contract.inbox import Inbox
from stepserve.testing.contract.served import App, StreamedApp


@pytest.mark.parametrize("streamed", [False, True])
def test_a_server_may_hang_up_while_a_function_runs(
    harness: Harness,
    client: Inngest,
    make_functions: Make,
    caplog: pytest.LogCaptureFixture,
    capfd: pytest.CaptureFixture[str],
    streamed: bool,
) -> None:
    if streamed:
        needs_streaming(harness)
    options: dict[str, Any] = {"streaming": Streaming.FORCE} if streamed else {}
    with Gate.closed() as gate:
        with harness.mount(client, make_functions(client), **options) as send:
            app = StreamedApp(send) if streamed else App(send)
            with app.begin_call("blocks", data={"gate": gate.port}) as connection:
                if streamed:
                    connection.getresponse().read(3)
                gate.wait_for(1)
            others = [app.call("two-steps").json()[0]["data"] for _ in range(3)]
            gate.open()
            again = app.call("blocks", data={"gate": gate.port}).json()
        alarms = [record.getMessage() for record in caplog.records if record.levelno >= logging.ERROR]
        printed = capfd.readouterr()

    assert others == [1, 1, 1]
    assert again == "let through"
    assert alarms == []
    assert "Traceback" not in printed.out + printed.err


def test_a_request_that_ends_early_is_no_call(app: App, caplog: pytest.LogCaptureFixture) -> None:
    promised = [("content-length", "1000")]
    with app.send.begin("POST", app.path + "?fnId=shop-two-steps", b"", promised) as connection:
        connection.send(b'{"half": ')
    answered = app.call("two-steps").status

    assert answered == 206
    assert [record.getMessage() for record in caplog.records if record.exc_info or record.exc_text] == []


def test_a_streamed_call_that_nobody_waits_for_is_ended_if_it_can_be(
    harness: Harness, client: Inngest, colour: str
) -> None:
    needs_streaming(harness)
    ends_early = colour == "async def" and harness.ENDS_STREAMED_CALLS
    with (
        Gate.closed() as gate,
        Inbox.opened() as ends,
        harness.mount(client, [_ending(client, colour, ends)], streaming=Streaming.FORCE) as send,
    ):
        app = StreamedApp(send)
        with app.begin_call("ending", data={"gate": gate.port}) as connection:
            connection.getresponse().read(3)
            gate.wait_for(1)
        if not ends_early:
            assert [app.request("GET").status for _ in range(5)] == [200] * 5
            gate.open()
        end = ends.next_word()
        gate.open()
        again = app.call("ending", data={"gate": gate.port}).json()

    # Nothing can interrupt a thread. What is not interrupted runs to its end, and its result is dropped.
    assert end == ("cancelled" if ends_early else "finished")
    assert again == "let through"


def _ending(client: Inngest, colour: str, ends: Inbox) -> Function[Any]:
    """Return a function that waits at a gate, and tells how that ended."""
    create = client.create_function(fn_id="ending", trigger=TriggerEvent(event="shop/tested"))

    async def wait_async(ctx: Context) -> str:
        try:
            answer = await functions_async.blocks(ctx)
        except asyncio.CancelledError:
            ends.tell("cancelled")
            raise
        ends.tell("finished")
        return answer

    def wait(ctx: ContextSync) -> str:
        answer = functions_sync.blocks(ctx)
        ends.tell("finished")
        return answer

    function: Function[Any] = create(wait_async) if colour == "async def" else create(wait)
    return function

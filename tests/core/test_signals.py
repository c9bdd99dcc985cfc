"""Signals and other requests to the REST API, as the SDK writes and reads them."""

from __future__ import annotations

from typing import Any

import pytest

import stepserve_core as core
from stepserve_core.errors import ServerAPIError
from tests.core.calls import call, dev_client, hashed
from tests.core.colours import COLOURS
from tests.core.local_server import Reply, serving


@pytest.mark.parametrize("colour", COLOURS)
def test_a_wait_for_a_signal_on_the_wire(colour: str) -> None:
    async def body(ctx: Any) -> Any:
        await ctx.step.wait_for_signal("w", signal="paid", timeout="90m", on_conflict="replace")

    (op,) = call(colour, body).json

    assert ("WaitForSignal", {"conflict": "replace", "signal": "paid", "timeout": "90m"}) == (op["op"], op["opts"])


@pytest.mark.parametrize("colour", COLOURS)
@pytest.mark.parametrize(
    ("memo", "expected"), [(None, None), ({"data": {"signal": "paid", "data": [1]}}, ["paid", [1]])]
)
def test_the_memo_of_a_wait_for_a_signal(colour: str, memo: Any, expected: Any) -> None:
    async def body(ctx: Any) -> Any:
        signal = await ctx.step.wait_for_signal("w", signal="paid", timeout="1h")
        return None if signal is None else [signal.signal, signal.data]

    assert expected == call(colour, body, steps={hashed("w"): memo}).json


@pytest.mark.parametrize("arguments", [{"signal": ""}, {"signal": "s", "on_conflict": "wait"}])
def test_a_wait_that_cannot_be_is_refused(arguments: dict[str, Any]) -> None:
    async def body(ctx: Any) -> Any:
        await ctx.step.wait_for_signal("w", timeout="1h", **arguments)

    assert "ValueError" == call("sync", body).json["name"]


@pytest.mark.parametrize(
    ("status", "answer", "message"),
    [
        (404, "404 page not found", "knows no signals"),
        (500, '{"error":"broken","data":null,"status":500}', "HTTP 500 broken"),
        (200, "hello", "something else"),
    ],
)
def test_a_server_that_cannot_take_a_signal_is_an_error_that_says_why(status: int, answer: str, message: str) -> None:
    with serving(Reply(status, answer.encode())) as server:
        client = dev_client(api_base_url=server.origin)
        with pytest.raises(ServerAPIError, match=message) as caught:
            client.send_signal_sync("paid")

    assert status == caught.value.http_status


def test_a_server_that_is_not_there_is_an_error_that_names_it() -> None:
    client = core.Inngest(app_id="app", is_production=False, api_base_url="http://127.0.0.1:1")
    with pytest.raises(ServerAPIError, match=r"127\.0\.0\.1:1 could not be reached"):
        client.send_signal_sync("paid")


@pytest.mark.parametrize(("status", "expected"), [(200, True), (204, True), (404, False), (409, False)])
def test_cancelling_a_run_says_whether_it_was(status: int, expected: bool) -> None:
    with serving(Reply(status, b"")) as server:
        assert expected == dev_client(api_base_url=server.origin).cancel_run_sync("01H/RUN")
        (request,) = server.requests

    assert ("DELETE", "/v1/runs/01H%2FRUN") == (request.method, request.path)

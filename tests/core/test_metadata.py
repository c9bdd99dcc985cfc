"""Metadata and scores, as the SDK writes them."""

from __future__ import annotations

from typing import Any

import pytest

from tests.core.calls import call, dev_client
from tests.core.colours import COLOURS
from tests.core.local_server import Reply, serving


def raw_step(ctx: Any) -> Any:
    """Return the steps themselves: adding metadata is not awaited, in whatever colour."""
    return getattr(ctx.step, "_inner", ctx.step)


@pytest.mark.parametrize("colour", COLOURS)
def test_metadata_goes_out_with_the_step_that_is_executed(colour: str) -> None:
    async def body(ctx: Any) -> Any:
        def ask() -> int:
            raw_step(ctx).add_metadata("tokens", {"n": 1})
            raw_step(ctx).add_score("good", 0.5)
            return 1

        await ctx.step.run("ask", ask)

    (op,) = call(colour, body).json

    assert [
        {"kind": "userland.tokens", "scope": "step", "op": "merge", "values": {"n": 1}},
        {"kind": "inngest.score", "scope": "step", "op": "merge", "values": {"good": {"value": 0.5}}},
    ] == op["metadata"]


@pytest.mark.parametrize("colour", COLOURS)
def test_a_failed_step_keeps_its_metadata(colour: str) -> None:
    async def body(ctx: Any) -> Any:
        def ask() -> int:
            raw_step(ctx).add_metadata("tokens", {"n": 1})
            raise ValueError("no")

        await ctx.step.run("ask", ask)

    (op,) = call(colour, body).json

    assert ("StepError", 1) == (op["op"], len(op["metadata"]))


@pytest.mark.parametrize("colour", COLOURS)
def test_a_step_without_metadata_says_nothing_of_it(colour: str) -> None:
    async def body(ctx: Any) -> Any:
        await ctx.step.run("ask", lambda: 1)

    (op,) = call(colour, body).json

    assert "metadata" not in op


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("", 1, "1 to 128 bytes"),
        ("x" * 129, 1, "1 to 128"),
        ("a'b", 1, "quotes"),
        ("a\n", 1, "control"),
        ("a", "1", "str"),
    ],
)
def test_a_score_that_cannot_be_is_refused(name: str, value: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        dev_client().add_score_sync("01H", name, value)


def test_outside_of_steps_it_says_what_to_do() -> None:
    async def body(ctx: Any) -> Any:
        raw_step(ctx).add_score("good", 1)

    assert "client.add_score(run_id, …)" in call("sync", body).json["message"]


def test_a_client_adds_metadata_to_a_run() -> None:
    with serving(Reply(200, b"")) as server:
        dev_client(api_base_url=server.origin).add_metadata_sync("01H", "review", {"by": "Ann"})
        (request,) = server.requests

    assert ("POST", "/v1/runs/01H/metadata") == (request.method, request.path)
    assert {
        "target": {"run_id": "01H"},
        "metadata": [{"kind": "userland.review", "op": "merge", "values": {"by": "Ann"}}],
    } == request.json()

"""`stepserve export` writes the history of a run, from a server or from its database, and replay tests read it."""

from __future__ import annotations

import asyncio
import json
import pathlib

import pytest

from stepserve import Context, Function, Inngest, TriggerEvent
from stepserve.testing import assert_replays
from stepserve_core.cli import application
from tests.executor.sdk_system import KEY, sdk_system

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend() -> str:
    """Async tests run on asyncio."""
    return "asyncio"


async def export(*arguments: str) -> object:
    """Run the command in a thread, beside the server; return its exit code."""

    def run() -> object:
        with pytest.raises(SystemExit) as ended:
            application.run(["export", *arguments])
        return ended.value.code

    return await asyncio.to_thread(run)


async def test_a_run_is_exported_and_replays(tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]) -> None:
    functions: list[Function[str]] = []

    def define(client: Inngest) -> list[Function[str]]:
        @client.create_function(fn_id="order", trigger=TriggerEvent(event="shop/ordered"))
        async def order(ctx: Context) -> str:
            charged = await ctx.step.run("charge", lambda: "charged")
            await ctx.step.wait_for_event("paid", event="shop/paid", timeout="1h")
            return charged

        functions.append(order)
        return [order]

    database, file = str(tmp_path / "runs.db"), tmp_path / "history.json"
    async with sdk_system(define, database=database, signing_key=KEY, kind="cloud", event_keys=["key"]) as system:
        event_id = await system.send("shop/ordered", {"n": 1})
        (run,) = await system.runs(event_id)
        await system.idle()
        server = ("--url", str(system.http.base_url), "--signing-key", KEY)

        assert 0 == await export(run["run_id"], *server, "--output", str(file))
        assert 0 == await export(run["run_id"], "--db", database)
        history = json.loads(file.read_text())
        assert history == json.loads(capsys.readouterr().out)
        assert ("app-order", ["charge", "paid"]) == (history["function"], [step["name"] for step in history["steps"]])
        assert [{"n": 1}] == [event["data"] for event in history["events"]]
        assert_replays(functions[0], file)

        assert 1 == await export("01HXYZ00000000000000000000", *server)
        assert "Run not found" in capsys.readouterr().err
        assert 1 == await export(run["run_id"], "--url", server[1])
        assert "refused the key" in capsys.readouterr().err


async def test_a_database_that_has_no_such_run_is_a_problem(
    tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "other.db").write_bytes(b"no database at all" * 100)

    assert 1 == await export("01HXYZ00000000000000000000", "--db", str(tmp_path / "none.db"))
    assert "there is no database" in capsys.readouterr().err
    assert 1 == await export("01HXYZ00000000000000000000", "--db", str(tmp_path / "other.db"))
    assert "cannot be read" in capsys.readouterr().err

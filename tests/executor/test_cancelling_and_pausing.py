"""Runs that are cancelled in bulk, and functions that are paused and resumed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Generator
from typing import Any

import pytest

from stepserve_core.executor.clock import VirtualClock
from stepserve_core.executor.moments import to_rfc3339
from tests.executor.conftest import StartSystem
from tests.executor.raw_app import Call, Fn, run, sleep
from tests.executor.system import System

pytestmark = pytest.mark.anyio

Steps = Generator[Any, Any, Any]
ON_X = [{"event": "test/x"}]


def nap(call: Call) -> Steps:
    yield sleep("nap", "1h")
    return call.event["data"]["n"]


def echo(call: Call) -> Steps:
    yield run("step", 1)
    return call.event["data"]["n"]


async def send_all(system: System, numbers: range) -> list[str]:
    answer = await system.http.post("/e/key", json=[{"name": "test/x", "data": {"n": n}} for n in numbers])
    await system.idle()
    ids: list[str] = answer.json()["ids"]
    return ids


async def statuses(system: System, ids: list[str]) -> list[list[str]]:
    return [sorted(run["status"] for run in await system.runs(event_id)) for event_id in ids]


async def test_a_bulk_cancellation_cancels_the_runs_of_a_window_under_a_condition(
    start: StartSystem, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("stepserve_core.executor.flow.bulk_cancelling._PIECE", 7)
    clock = VirtualClock()
    async with start(Fn("f", nap, ON_X), Fn("other", nap, ON_X), clock=clock) as system:
        ids = await send_all(system, range(10))
        await system.advance(60)
        ids += await send_all(system, range(10, 40))
        after = to_rfc3339(clock.now() - 30)
        await system.advance(60)
        ids += await send_all(system, range(40, 50))
        body = {
            "app_id": "app",
            "function_id": "f",
            "started_after": after,
            "started_before": to_rfc3339(clock.now() - 30),
            "if": "event.data.n < 20.0",
        }
        answer = await system.http.post("/v1/cancellations", json=body)
        await system.idle()
        cancelled = [index for index, found in enumerate(await statuses(system, ids)) if "Cancelled" in found]
        (listed,) = await system.get("/v1/cancellations")

        assert list(range(10, 20)) == cancelled
        assert (answer.json()["data"]["id"], 10) == (listed["id"], listed["cancelled"])
        assert listed["finished_at"] is not None
        assert 10 == len(await system.events("inngest/function.cancelled"))
        assert 204 == (await system.http.delete(f"/v1/cancellations/{listed['id']}")).status_code
        assert 404 == (await system.http.delete(f"/v1/cancellations/{listed['id']}")).status_code
        assert [] == await system.get("/v1/cancellations")


async def test_a_bulk_cancellation_goes_on_after_a_restart(start: StartSystem) -> None:
    function = Fn("f", nap, ON_X)
    clock = VirtualClock()
    async with start(function, clock=clock) as system:
        ids = await send_all(system, range(20))
        await system.executor.loop.stop(0)  # so that nobody carries it out
        clock.advance(1)
        body = {"function_id": "app-f", "started_before": to_rfc3339(clock.now())}
        assert 200 == (await system.http.post("/v1/cancellations", json=body)).status_code
    async with start(function, clock=VirtualClock(clock.now() + 1)) as system:
        await system.idle()

        assert [["Cancelled"]] * 20 == await statuses(system, ids)


@pytest.mark.parametrize(
    ("body", "status", "error"),
    [
        ("[]", 400, "the body is not a cancellation"),
        ('{"function_id": "app-f"}', 400, "the body is not a cancellation"),
        ('{"function_id": "none", "started_before": "2023-01-01T00:00:00Z"}', 404, "function none not found"),
        ('{"function_id": "app-f", "started_before": "soon"}', 400, "started_before: 'soon' is not a date"),
        ('{"function_id": "app-f", "started_before": "2099-01-01"}', 400, "started_before must not lie in the future"),
        ('{"function_id": "app-f", "started_before": "2023-01-01", "if": "1 +"}', 400, "if: "),
    ],
)
async def test_a_bulk_cancellation_that_cannot_be_is_refused(
    start: StartSystem, body: str, status: int, error: str
) -> None:
    async with start(Fn("f", nap, ON_X)) as system:
        answer = await system.http.post("/v1/cancellations", content=body)

        assert status == answer.status_code
        assert answer.json()["error"].startswith(error)


async def test_the_older_path_cancels_a_run_too(start: StartSystem) -> None:
    async with start(Fn("f", nap, ON_X), clock=VirtualClock()) as system:
        (event_id,) = await send_all(system, range(1))
        run_id = (await system.run_of(event_id))["run_id"]

        assert 204 == (await system.http.delete(f"/v0/runs/{run_id}")).status_code
        assert [["Cancelled"]] == await statuses(system, [event_id])


async def test_runs_of_a_paused_function_wait_in_their_order_and_started_ones_go_on(start: StartSystem) -> None:
    function = Fn("f", nap, ON_X)
    clock = VirtualClock()
    async with start(function, clock=clock, concurrency=1) as system:
        before = await send_all(system, range(3))
        assert 200 == (await system.http.post("/v1/functions/app-f/pause")).status_code
        waiting = await send_all(system, range(3, 43))
        await system.advance(3600)

        assert [["Completed"]] * 3 == await statuses(system, before)
        assert [["Scheduled"]] * 40 == await statuses(system, waiting)
        calls = len(system.app.calls)
        assert 200 == (await system.http.post("/v1/functions/app-f/resume")).status_code
        await system.idle()
        assert list(range(3, 43)) == [call.event["data"]["n"] for call in system.app.calls[calls:]]
        await system.advance(3600)
        assert [["Completed"]] * 40 == await statuses(system, waiting)


async def test_a_pause_outlives_a_restart_and_a_sync(start: StartSystem) -> None:
    function = Fn("f", echo, ON_X)
    async with start(function) as system:
        await system.http.post("/v1/functions/app-f/pause")
        ids = await send_all(system, range(5))
    async with start(function) as system:  # at another address, so that the sync changes the app
        await system.idle()
        assert [["Scheduled"]] * 5 == await statuses(system, ids)
        await system.http.post("/v1/functions/app-f/resume")
        await system.idle()

        assert [["Completed"]] * 5 == await statuses(system, ids)


async def test_runs_of_a_function_that_is_paused_to_skip_are_recorded_as_skipped(start: StartSystem) -> None:
    async with start(Fn("f", echo, ON_X), Fn("g", echo, ON_X)) as system:
        await system.http.post("/v1/functions/app-f/pause", json={"mode": "skip"})
        ids = await send_all(system, range(10))
        runs = [run for event_id in ids for run in await system.runs(event_id)]

        assert Counter({("Skipped", "FunctionPaused"): 10, ("Completed", None): 10}) == Counter(
            (run["status"], run["skip_reason"]) for run in runs
        )
        await system.http.post("/v1/functions/app-f/resume")
        assert [["Completed", "Completed"]] * 3 == await statuses(system, await send_all(system, range(3)))


@pytest.mark.parametrize(
    ("path", "body", "status"),
    [
        ("app-none/pause", "", 404),
        ("app-none/resume", "", 404),
        ("app-f/pause", '{"mode": "forever"}', 400),
        ("app-f/pause", "[", 400),
    ],
)
async def test_a_pause_that_cannot_be_is_refused(start: StartSystem, path: str, body: str, status: int) -> None:
    async with start(Fn("f", echo, ON_X)) as system:
        assert status == (await system.http.post(f"/v1/functions/{path}", content=body)).status_code


async def test_runs_beyond_the_backlog_limit_are_recorded_as_skipped(start: StartSystem) -> None:
    async with start(Fn("f", echo, ON_X), backlog_limit=10) as system:
        await system.http.post("/v1/functions/app-f/pause")
        ids = await send_all(system, range(30))

        assert [["Scheduled"]] * 10 + [["Skipped"]] * 20 == await statuses(system, ids)
        assert {"FunctionBacklogSizeLimitHit"} == {(await system.runs(one))[0]["skip_reason"] for one in ids[10:]}
        await system.http.post("/v1/functions/app-f/resume")
        await system.idle()
        later = await send_all(system, range(10))
        assert [["Completed"]] * 10 + [["Skipped"]] * 20 == await statuses(system, ids)
        assert [["Completed"]] * 10 == await statuses(system, later)

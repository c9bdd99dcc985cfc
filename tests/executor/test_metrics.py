"""`GET /metrics`: what Prometheus reads."""

from __future__ import annotations

from collections.abc import Generator
from typing import Any

import pytest

from stepserve_core.executor.clock import VirtualClock
from tests.executor.conftest import StartSystem
from tests.executor.raw_app import Call, Fn, RaisedError, sleep

pytestmark = pytest.mark.anyio


def work(call: Call) -> Generator[Any, Any, Any]:
    if call.event["data"].get("fail"):
        raise RaisedError("no", no_retry=True)
    if call.event["data"].get("nap"):
        yield sleep("nap", "1h")
    return "done"


FUNCTIONS = (Fn("work", work, triggers=[{"event": "test/x"}]),)


def read(text: str) -> dict[str, float]:
    """Return the figures by their names and labels."""
    lines = [line.rpartition(" ") for line in text.splitlines() if not line.startswith("#")]
    return {name: float(figure) for name, _, figure in lines}


async def test_runs_and_queue_and_apps_are_counted(start: StartSystem) -> None:
    async with start(*FUNCTIONS, clock=VirtualClock()) as system:
        for data in ({}, {}, {"fail": True}, {"nap": True}):
            await system.send("test/x", data)
        await system.idle()
        await system.advance(1)
        answer = await system.http.get("/metrics")
        await system.advance(120)
        later = read((await system.http.get("/metrics")).text)

    assert (200, "text/plain; version=0.0.4; charset=utf-8") == (answer.status_code, answer.headers["content-type"])
    found = read(answer.text)
    expected = {
        'stepserve_runs_active{status="queued"}': 0,
        'stepserve_runs_active{status="running"}': 1,
        'stepserve_runs_ended_last_minute{status="completed"}': 2,
        'stepserve_runs_ended_last_minute{status="failed"}': 1,
        "stepserve_runs_queued_last_minute": 4,
        'stepserve_queue_items{state="scheduled"}': 1,
        'stepserve_queue_items{state="running"}': 0,
        "stepserve_queue_oldest_seconds": 0,
        'stepserve_apps{sync="ok"}': 1,
        'stepserve_apps{sync="error"}': 0,
        "stepserve_functions": 1,
        "stepserve_workers": 0,
    }
    assert expected == {name: found[name] for name in expected}
    assert 0 == later['stepserve_runs_ended_last_minute{status="completed"}']
    assert later["process_cpu_seconds_total"] >= found["process_cpu_seconds_total"] > 0


async def test_every_figure_says_what_it_is(start: StartSystem) -> None:
    async with start(*FUNCTIONS) as system:
        text = (await system.http.get("/metrics")).text

    names = {line.partition(" ")[0].partition("{")[0] for line in text.splitlines() if not line.startswith("#")}
    for kind in ("HELP", "TYPE"):
        assert names == {line.split()[2] for line in text.splitlines() if line.startswith(f"# {kind} ")}
    assert text.endswith("\n")


async def test_figures_are_for_those_who_have_the_key(start: StartSystem) -> None:
    cloud = {"kind": "cloud", "signing_key": "signkey-prod-0123456789abcdef", "event_keys": ["k"]}
    async with start(*FUNCTIONS, **cloud) as system:
        refused = await system.http.get("/metrics", headers={"authorization": "Bearer no"})
        let_in = await system.http.get("/metrics")

    assert [401, 200] == [refused.status_code, let_in.status_code]

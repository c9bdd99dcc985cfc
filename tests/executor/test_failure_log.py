"""What the server's log says of apps that register, and of attempts and runs that fail."""

from __future__ import annotations

import logging
from typing import Any

import pytest

from stepserve import Function, Inngest, NonRetriableError
from tests.core.calls import define
from tests.executor.sdk_system import sdk_system

pytestmark = pytest.mark.anyio

LOGGERS = ("stepserve_core.executor.failure_log", "stepserve_core.executor.executor")


def lines(caplog: pytest.LogCaptureFixture) -> list[tuple[int, str]]:
    return [(level, text) for logger, level, text in caplog.record_tuples if logger in LOGGERS]


async def logged(caplog: pytest.LogCaptureFixture, body: Any, **options: Any) -> tuple[list[tuple[int, str]], str]:
    """Return what is logged while a function runs, without the line about its app, and the id of the run."""
    caplog.set_level(logging.INFO)

    def make(client: Inngest) -> list[Function[Any]]:
        return [define(client, "sync", body, **options)]

    async with sdk_system(make) as system:
        run = await system.run_of(await system.send("shop/order"))
    ((level, synced), *rest) = lines(caplog)

    assert (logging.INFO, True) == (level, synced.startswith("app 'app' is synced: 1 function at http://127.0.0.1:"))
    return rest, run["run_id"]


def fail(message: str = "no answer") -> None:
    raise ValueError(message)


async def test_an_attempt_that_is_tried_again_and_a_run_that_failed_are_one_line_each(
    caplog: pytest.LogCaptureFixture,
) -> None:
    found, run = await logged(caplog, lambda ctx: ctx.step.run("charge", fail), retries=1)

    again = "app-f: attempt 1 of 2 of step 'charge' failed, the next one comes in 0 s"
    expected = [
        (logging.INFO, f"{again}: ValueError: no answer (run {run})"),
        (logging.INFO, f"app-f: step 'charge' failed for good: ValueError: no answer (run {run})"),
        (logging.WARNING, f"app-f failed: ValueError: no answer (run {run})"),
    ]
    assert expected == found


async def test_a_function_that_fails_outside_its_steps_is_told_too(caplog: pytest.LogCaptureFixture) -> None:
    found, run = await logged(caplog, lambda ctx: fail(), retries=1)

    again = "app-f: attempt 1 of 2 of the function failed, the next one comes in 0 s"
    expected = [
        (logging.INFO, f"{again}: ValueError: no answer (run {run})"),
        (logging.WARNING, f"app-f failed: ValueError: no answer (run {run})"),
    ]
    assert expected == found


async def test_an_error_cannot_write_lines_of_its_own_nor_long_ones(caplog: pytest.LogCaptureFixture) -> None:
    def body(ctx: Any) -> Any:
        raise NonRetriableError("first\n2026-11-23 INFO second\x1b[31m" + "x" * 1000)

    ((_, line),), _ = await logged(caplog, body)

    assert line.isprintable()
    assert "first 2026-11-23 INFO second [31mxxx" in line
    assert "x… (run " in line
    assert len(line) < 400


async def test_a_run_that_succeeds_is_not_told(caplog: pytest.LogCaptureFixture) -> None:
    found, _ = await logged(caplog, lambda ctx: ctx.step.run("charge", lambda: "charged"))

    assert [] == found


async def test_an_app_that_did_not_change_is_told_once(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)

    def make(client: Inngest) -> list[Function[Any]]:
        return [define(client, "sync", lambda ctx: ctx.step.run("a", str))]

    async with sdk_system(make) as system:
        ((_, line),) = lines(caplog)
        again = await system.http.put(line.rpartition(" ")[2])

    assert 200 == again.status_code
    assert 1 == len(lines(caplog))

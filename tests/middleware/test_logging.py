"""The fields of a run in the loggers that people use: structlog, and formatters for JSON."""

from __future__ import annotations

import io
import json
import logging
from typing import Any

import pytest

from tests.core.calls import call, dev_client, hashed

RUN = {"app_id": "app", "function_id": "app-f", "run_id": "01HRUN", "attempt": 0}
MEMO = {"data": None}


async def talkative(ctx: Any) -> None:
    """Log before, in and after a step."""
    ctx.logger.info("start", extra={"order": 7})
    await ctx.step.run("a", lambda: ctx.logger.info("in a"))
    ctx.logger.info("after a")


@pytest.mark.parametrize("done", [False, True])
def test_a_formatter_for_json_writes_the_fields(colour: str, done: bool) -> None:
    json_logger = pytest.importorskip("pythonjsonlogger.json", reason="python-json-logger is not installed")
    stream = io.StringIO()
    handler = logging.StreamHandler(stream)
    handler.setFormatter(json_logger.JsonFormatter())
    logger = logging.Logger("app")
    logger.addHandler(handler)

    call(colour, talkative, client=dev_client(logger=logger), steps={hashed("a"): MEMO} if done else {})

    expected: list[dict[str, object]] = [
        {"message": "start", "order": 7, **RUN},
        {"message": "in a", "step_id": "a", **RUN},
    ]
    if done:
        expected = [{"message": "after a", **RUN}]
    assert expected == [
        {name: value for name, value in json.loads(line).items() if name != "taskName"}
        for line in stream.getvalue().splitlines()
    ]


@pytest.mark.parametrize("done", [False, True])
def test_structlog_has_the_fields_bound(colour: str, done: bool) -> None:
    structlog = pytest.importorskip("structlog", reason="structlog is not installed")
    lines = structlog.testing.CapturingLogger()
    logger = structlog.wrap_logger(lines, processors=[], wrapper_class=structlog.BoundLogger)

    async def body(ctx: Any) -> None:
        log = ctx.logger.bind(order=7)
        log.info("start")
        await ctx.step.run("a", lambda: ctx.logger.info("in a", more=1))
        log.info("after a")

    call(colour, body, client=dev_client(logger=logger), steps={hashed("a"): MEMO} if done else {})

    expected: list[dict[str, object]] = [
        {"event": "start", "order": 7, **RUN},
        {"event": "in a", "more": 1, "step_id": "a", **RUN},
    ]
    if done:
        expected = [{"event": "after a", "order": 7, **RUN}]
    assert expected == [line.kwargs for line in lines.calls]

"""The logger of a function is silent while memos are replayed (protocol.md 9.4)."""

from __future__ import annotations

import logging
from typing import Any

import pytest

from stepserve_core._logger import ReplayLogger
from tests.core.calls import call, dev_client, hashed


class Lines(logging.Handler):
    """Keeps what is logged."""

    def __init__(self) -> None:
        super().__init__()
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append(record.getMessage())


@pytest.fixture
def lines() -> Lines:
    """Return a fresh list of lines."""
    return Lines()


@pytest.fixture
def logger(lines: Lines) -> logging.Logger:
    """Return a logger that writes to it."""
    logger = logging.Logger("test", logging.DEBUG)
    logger.addHandler(lines)
    return logger


async def talkative(ctx: Any) -> object:
    """Log before, between and after two steps."""
    ctx.logger.info("start")
    a = await ctx.step.run("a", lambda: ctx.logger.info("in a"))
    ctx.logger.info("after a")
    await ctx.step.run("b", lambda: ctx.logger.info("in b"))
    ctx.logger.info("after b")
    return a


MEMO = {"data": None}


@pytest.mark.parametrize(
    ("done", "fields", "expected"),
    [
        ([], {}, ["start", "in a"]),
        (["a"], {}, ["after a", "in b"]),
        (["a", "b"], {}, ["after b"]),
        ([], {"plan_only": True}, ["start"]),
        (["a"], {"target": hashed("b"), "plan_only": True}, ["after a", "in b"]),
        (["gone"], {}, ["in a"]),
    ],
)
def test_every_line_is_logged_once_in_the_life_of_a_run(
    colour: str, logger: logging.Logger, lines: Lines, done: list[str], fields: dict[str, Any], expected: list[str]
) -> None:
    call(colour, talkative, client=dev_client(logger=logger), steps={hashed(step): MEMO for step in done}, **fields)

    assert expected == lines.lines


def test_what_is_logged_about_a_failed_step_is_heard(colour: str, logger: logging.Logger, lines: Lines) -> None:
    async def body(ctx: Any) -> None:
        try:
            await ctx.step.run("a", lambda: None)
        except Exception as error:
            ctx.logger.warning("a failed: %s", error)

    error = {"name": "X", "message": "boom"}
    call(colour, body, client=dev_client(logger=logger), steps={hashed("a"): {"error": error}})

    assert ["a failed: boom"] == lines.lines


@pytest.mark.parametrize(
    "method", ["critical", "debug", "error", "exception", "fatal", "info", "log", "warn", "warning"]
)
def test_every_way_of_logging_is_silenced(method: str, logger: logging.Logger, lines: Lines) -> None:
    replaying = ReplayLogger(logger)
    arguments: tuple[Any, ...] = (logging.INFO, "line") if method == "log" else ("line",)

    getattr(replaying, method)(*arguments)
    assert [] == lines.lines

    if method != "warn":  # deprecated, and a warning is an error here
        replaying.is_silent = False
        getattr(replaying, method)(*arguments)
        assert ["line"] == lines.lines


def test_other_attributes_are_those_of_the_logger(logger: logging.Logger) -> None:
    replaying = ReplayLogger(logger)

    assert ("test", logger.handlers) == (replaying.name, replaying.handlers)
    assert replaying.isEnabledFor(logging.DEBUG)
    with pytest.raises(AttributeError):
        _ = replaying.no_such_thing


def test_another_logger_may_be_set_later(colour: str, logger: logging.Logger, lines: Lines) -> None:
    client = dev_client()
    client.set_logger(logger)

    call(colour, talkative, client=client)

    assert ["start", "in a"] == lines.lines

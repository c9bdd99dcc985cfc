"""The logger of a function is silent while memos are replayed (protocol.md 9.4)."""

from __future__ import annotations

import json
import logging
from typing import Any
from unittest import mock

import pytest

from stepserve_core._logger import ReplayLogger
from tests.core.calls import call, call_body, define, dev_client, hashed, make_handler, post, serve
from tests.core.colours import in_colour


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


# The fields of the run


class Records(logging.Handler):
    """Keeps the fields of what is logged."""

    FIELDS = ("app_id", "function_id", "run_id", "attempt", "step_id", "mine")

    def __init__(self) -> None:
        super().__init__()
        self.records: list[logging.LogRecord] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.records.append(record)

    def fields(self) -> list[dict[str, object]]:
        """Return the fields of each record that we know of."""
        return [{key: vars(record)[key] for key in self.FIELDS if key in vars(record)} for record in self.records]


@pytest.fixture
def records() -> Records:
    """Return a fresh list of records."""
    return Records()


@pytest.fixture
def recorder(records: Records) -> logging.Logger:
    """Return a logger that writes to it."""
    logger = logging.Logger("test", logging.DEBUG)
    logger.addHandler(records)
    return logger


RUN = {"app_id": "app", "function_id": "app-f", "run_id": "01HRUN", "attempt": 0}


def test_every_line_says_which_run_and_which_step_speaks(
    colour: str, recorder: logging.Logger, records: Records
) -> None:
    call(colour, talkative, client=dev_client(logger=recorder))

    assert [RUN, {**RUN, "step_id": "a"}] == records.fields()


def test_lines_of_the_failure_handler_say_so(colour: str, recorder: logging.Logger, records: Records) -> None:
    client = dev_client(logger=recorder)
    function = define(client, colour, talkative, on_failure=in_colour(colour, talkative))
    request = post("app-f-failure", json.dumps(call_body(attempt=2)).encode())
    serve(make_handler(client, function), request, entry="handle" if colour == "sync" else "ahandle")

    assert {**RUN, "function_id": "app-f-failure", "attempt": 2} == records.fields()[0]


def test_what_the_caller_says_comes_on_top(colour: str, recorder: logging.Logger, records: Records) -> None:
    async def body(ctx: Any) -> None:
        ctx.logger.info("line", extra={"mine": 1, "attempt": "ninth"})

    call(colour, body, client=dev_client(logger=recorder))

    assert [{**RUN, "mine": 1, "attempt": "ninth"}] == records.fields()


def test_the_fields_join_those_of_an_adapter(colour: str, recorder: logging.Logger, records: Records) -> None:
    class Prefixing(logging.LoggerAdapter):  # type: ignore[type-arg] # it takes no argument at run time in 3.10
        def process(self, msg: Any, kwargs: Any) -> Any:
            message, kwargs = super().process(msg, kwargs)
            return f"shop: {message}", kwargs

    adapter = Prefixing(recorder, {"mine": "adapter"})
    call(colour, talkative, client=dev_client(logger=adapter))

    assert [{**RUN, "mine": "adapter"}, {**RUN, "mine": "adapter", "step_id": "a"}] == records.fields()
    assert ["shop: start", "shop: in a"] == [record.getMessage() for record in records.records]
    assert {"mine": "adapter"} == adapter.extra


@pytest.mark.parametrize("method", ["debug", "error", "exception", "fatal", "log", "warn"])
def test_the_line_is_found_where_it_was_logged(
    method: str, colour: str, recorder: logging.Logger, records: Records
) -> None:
    async def body(ctx: Any) -> None:
        arguments: tuple[Any, ...] = (logging.INFO, "line") if method == "log" else ("line",)
        getattr(ctx.logger, method)(*arguments)

    call(colour, body, client=dev_client(logger=recorder))

    assert ["body"] == [record.funcName for record in records.records]


class Bound:
    """Has the shape of a structlog or loguru logger."""

    def __init__(self, lines: list[dict[str, object]], **values: object) -> None:
        self._lines = lines
        self._values = values

    def bind(self, **values: object) -> Bound:
        return Bound(self._lines, **{**self._values, **values})

    def info(self, event: str, **values: object) -> None:
        self._lines.append({**self._values, **values, "event": event})


def test_loggers_that_bind_have_the_fields_bound(colour: str) -> None:
    lines: list[dict[str, object]] = []

    async def body(ctx: Any) -> object:
        ctx.logger.bind(order=7).info("start")
        return await ctx.step.run("a", lambda: ctx.logger.info("in a", more=1))

    call(colour, body, client=dev_client(logger=Bound(lines)))

    assert [{**RUN, "order": 7, "event": "start"}, {**RUN, "step_id": "a", "more": 1, "event": "in a"}] == lines


@pytest.mark.parametrize("derive", ["bind", "getChild"])
def test_a_logger_that_was_derived_is_silent_during_replay_too(
    colour: str, derive: str, recorder: logging.Logger, records: Records
) -> None:
    lines: list[dict[str, object]] = []

    async def body(ctx: Any) -> None:
        child = ctx.logger.bind(order=7) if derive == "bind" else ctx.logger.getChild("more")
        child.info("start")
        await ctx.step.run("a", lambda: None)
        child.info("after a")

    logger = Bound(lines) if derive == "bind" else recorder
    recorder.manager = logging.Manager(logging.RootLogger(logging.DEBUG))
    recorder.manager.root.addHandler(records)
    call(colour, body, client=dev_client(logger=logger), steps={hashed("a"): MEMO})

    heard = [line["event"] for line in lines] + [record.getMessage() for record in records.records]
    assert ["after a"] == heard


def test_loggers_of_other_kinds_are_given_nothing_more(colour: str) -> None:
    logger = mock.Mock()

    async def body(ctx: Any) -> None:
        ctx.logger.info("start")

    call(colour, body, client=dev_client(logger=logger))

    assert [mock.call.info("start")] == logger.mock_calls

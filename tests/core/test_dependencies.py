"""What middleware gives to functions: `ctx.provide`, `ctx.get`, and `providing()`."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncGenerator, Generator
from typing import Any

import pytest

import stepserve_core as core
from stepserve_core.errors import DependencyMissingError
from tests.core.calls import call, call_body, define, dev_client, hashed, make_handler, post
from tests.core.colours import hook


class Database:
    """Something that functions need."""

    def __init__(self, name: str = "main") -> None:
        self.name = name


class Orders:
    """Something that needs it in turn."""

    def __init__(self, database: Database) -> None:
        self.database = database


async def asks(ctx: Any) -> object:
    """Use the database."""
    return ctx.get(Database).name


def test_a_hook_may_provide_what_the_function_gets(colour: str) -> None:
    def provide(self: Any, ctx: Any, function: Any, steps: Any) -> None:
        ctx.provide(Database, Database("of a hook"))

    kind = type("Providing", (core.Middleware,), {"transform_input": hook(colour, provide)})

    assert (200, "of a hook") == call(colour, asks, client=dev_client(middleware=[kind]))[:2]


def test_what_nobody_provides_is_named_together_with_the_remedy(colour: str) -> None:
    reply = call(colour, asks)

    assert (500, "DependencyMissingError", "dependency_missing") == (
        reply.status,
        reply.json["name"],
        reply.json["code"],
    )
    assert "no middleware provides Database: add providing(Database, …)" in reply.json["message"]
    assert issubclass(DependencyMissingError, LookupError)


def test_find_returns_none_for_what_nobody_provides(colour: str) -> None:
    async def body(ctx: Any) -> object:
        return ctx.find(Database)

    assert (200, None) == call(colour, body)[:2]


def test_providing_makes_one_for_each_call(colour: str) -> None:
    made: list[Database] = []

    def make(ctx: Any) -> Database:
        made.append(Database(ctx.run_id))
        return made[-1]

    client = dev_client(middleware=[core.providing(Database, make)])

    assert ["01HRUN", "01HRUN"] == [call(colour, asks, client=client).json for _ in range(2)]
    assert 2 == len(made)


def test_a_step_finds_it_too(colour: str) -> None:
    async def body(ctx: Any) -> object:
        return await ctx.step.run("a", lambda: ctx.get(Database).name)

    client = dev_client(middleware=[core.providing(Database, lambda ctx: Database())])

    assert "main" == call(colour, body, client=client).json[0]["data"]


def test_one_dependency_may_use_another(colour: str) -> None:
    async def body(ctx: Any) -> object:
        return ctx.get(Orders).database is ctx.get(Database)

    middleware = [core.providing(Database, lambda ctx: Database())]
    options = {"middleware": [core.providing(Orders, lambda ctx: Orders(ctx.get(Database)))]}

    assert (200, True) == call(colour, body, client=dev_client(middleware=middleware), options=options)[:2]


def managed(log: list[str], name: str) -> Any:
    """Return a maker of a database that says when it is opened and closed."""

    @contextlib.contextmanager
    def make(ctx: Any) -> Generator[Database, None, None]:
        log.append(f"open {name}")
        try:
            yield Database(name)
        except Exception as error:
            log.append(f"{name} sees {error}")
            raise
        finally:
            log.append(f"close {name}")

    return make


def test_context_managers_are_left_in_reverse_order_before_the_answer(colour: str) -> None:
    log: list[str] = []

    async def body(ctx: Any) -> object:
        log.append("function")
        return [ctx.get(Database).name, ctx.get(Orders).name]

    middleware: Any = [core.providing(Database, managed(log, "1")), core.providing(Orders, managed(log, "2"))]

    assert (200, ["1", "2"]) == call(colour, body, client=dev_client(middleware=middleware))[:2]
    assert ["open 1", "open 2", "function", "close 2", "close 1"] == log


def test_a_context_manager_sees_the_error_of_the_call(colour: str) -> None:
    log: list[str] = []

    async def body(ctx: Any) -> None:
        raise ValueError("boom")

    reply = call(colour, body, client=dev_client(middleware=[core.providing(Database, managed(log, "1"))]))

    assert (500, "ValueError", "boom") == (reply.status, reply.json["name"], reply.json["message"])
    assert ["open 1", "1 sees boom", "close 1"] == log


def test_a_context_manager_is_left_when_another_hook_fails(colour: str) -> None:
    log: list[str] = []

    def fail(ctx: Any) -> Database:
        raise ValueError("no database")

    middleware: Any = [core.providing(Orders, managed(log, "1")), core.providing(Database, fail)]
    reply = call(colour, asks, client=dev_client(middleware=middleware))

    assert (500, "no database") == (reply.status, reply.json["message"])
    assert ["open 1", "1 sees no database", "close 1"] == log


def test_a_context_manager_is_left_when_the_call_reports_a_step(colour: str) -> None:
    log: list[str] = []

    async def body(ctx: Any) -> None:
        await ctx.step.sleep("a", 1000)

    reply = call(colour, body, client=dev_client(middleware=[core.providing(Database, managed(log, "1"))]))

    assert (206, ["open 1", "close 1"]) == (reply.status, log)


def test_a_thing_that_is_a_context_manager_itself_is_not_entered(colour: str) -> None:
    class Connection(Database):
        def __enter__(self) -> Connection:
            raise AssertionError("entered")

        def __exit__(self, *error: object) -> None:
            raise AssertionError("left")

    client = dev_client(middleware=[core.providing(Database, lambda ctx: Connection("itself"))])

    assert "itself" == call(colour, asks, client=client).json


async def _make_async(ctx: Any) -> Database:
    return Database("awaited")


@contextlib.asynccontextmanager
async def _manage_async(ctx: Any) -> AsyncGenerator[Database, None]:
    yield Database("entered")


@pytest.mark.parametrize(("make", "expected"), [(_make_async, "awaited"), (_manage_async, "entered")])
def test_async_functions_may_have_what_is_made_by_something_async(make: Any, expected: str) -> None:
    client = dev_client(middleware=[core.providing(Database, make)])

    assert (200, expected) == call("async", asks, client=client)[:2]


@pytest.mark.parametrize("make", [_make_async, _manage_async])
def test_sync_functions_may_not(make: Any) -> None:
    reply = call("sync", asks, client=dev_client(middleware=[core.providing(Database, make)]))

    assert (500, "async_unsupported") == (reply.status, reply.json["code"])
    assert "Database is made by something async, but function 'f' is not async" == reply.json["message"]


def test_nothing_is_made_for_requests_to_send_events() -> None:
    def make(ctx: Any) -> Database:
        raise AssertionError("made")

    client = dev_client(middleware=[core.providing(Database, make)])

    assert [] == client.send_sync([])


def test_what_is_provided_is_there_in_every_call(colour: str) -> None:
    async def body(ctx: Any) -> object:
        await ctx.step.run("a", lambda: None)
        return ctx.get(Database).name

    client = dev_client(middleware=[core.providing(Database, lambda ctx: Database())])

    assert (200, "main") == call(colour, body, client=client, steps={hashed("a"): {"data": None}})[:2]


@pytest.mark.parametrize("kind", ["sync", "async"])
def test_a_context_manager_is_left_with_the_cancellation_when_the_server_hangs_up(kind: str) -> None:
    seen: list[str] = []

    @contextlib.contextmanager
    def make(ctx: Any) -> Generator[Database, None, None]:
        del ctx
        try:
            yield Database()
        except BaseException as error:
            seen.append(type(error).__name__)
            raise

    @contextlib.asynccontextmanager
    async def make_async(ctx: Any) -> AsyncGenerator[Database, None]:
        with make(ctx) as database:
            try:
                yield database
            finally:
                await asyncio.sleep(0)

    async def scenario() -> None:
        reached = asyncio.Event()

        async def body(ctx: Any) -> None:
            assert ctx.get(Database).name == "main"
            reached.set()
            await asyncio.Event().wait()

        middleware = [core.providing(Database, make if kind == "sync" else make_async)]
        client = dev_client(middleware=middleware)
        handler = make_handler(client, define(client, "async", body))
        task = asyncio.create_task(handler.ahandle(post("app-f", json.dumps(call_body()).encode())))
        await reached.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(scenario())

    assert ["CancelledError"] == seen

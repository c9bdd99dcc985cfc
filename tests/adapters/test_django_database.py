"""Django's database under step functions: connections, transactions, events on commit."""

from __future__ import annotations

import contextlib
import json
import pathlib
import threading
from collections.abc import Callable, Generator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from asgiref.sync import sync_to_async
from django.db import connection, connections, transaction

import stepserve.django
from stepserve import Context, ContextSync, Event, Function, Inngest, SendEventsError, Streaming, TriggerEvent, errors
from stepserve.testing.contract.recorder import Recorder
from stepserve.testing.contract.served import App, call_body
from tests.adapters.django_database import Database, database_files
from tests.frameworks.django import DjangoOnUvicorn, DjangoOnWaitress

TRIGGER = TriggerEvent(event="shop/tested")
SERVERS = [DjangoOnWaitress, DjangoOnUvicorn]
MORE_CALLS_THAN_THREADS = 40  # a pool has at most 32


@pytest.fixture
def recorder() -> Generator[Recorder, None, None]:
    """Return a server that apps send events to."""
    with Recorder.running() as running:
        yield running


@pytest.fixture
def database(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> Generator[Database, None, None]:
    """Return a database in a file, with Django's usual settings."""
    with database_files(tmp_path, monkeypatch) as made:
        yield made


def _querying(client: Inngest, colour: str, query: Callable[[], object]) -> Function[Any]:
    """Return a function that calls `query` as functions of its colour do."""
    if colour == "def":

        @client.create_function(fn_id="queries", trigger=TRIGGER)
        def queries(ctx: ContextSync) -> object:
            return query()

        return queries

    @client.create_function(fn_id="queries", trigger=TRIGGER)
    async def queries_async(ctx: Context) -> object:
        return await sync_to_async(query)()

    return queries_async


def _count_orders() -> int:
    with connection.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM orders")
        count: int = cursor.fetchone()[0]
    return count


def _result(app: App) -> Any:
    """Call the function, and return its result from the envelope in which a streamed one comes."""
    reply = app.request("POST", call_body(), query="?fnId=shop-queries&stepId=step")
    answer = reply.json()
    return json.loads(answer["body"]) if reply.status == 201 else answer


@pytest.mark.parametrize("streaming", Streaming)
@pytest.mark.parametrize("colour", ["def", "async def"])
@pytest.mark.parametrize("server", SERVERS)
def test_a_call_leaves_no_connection_behind(
    client: Inngest, database: Database, server: type[DjangoOnWaitress], colour: str, streaming: Streaming
) -> None:
    used: list[Any] = []

    def query() -> int:
        used.append(connections["default"])
        return _count_orders()

    with server().mount(client, [_querying(client, colour, query)], streaming=streaming) as send:
        results = [_result(App(send)) for _ in range(3)]

        assert results == [0, 0, 0]
        assert [wrapper.connection for wrapper in used] == [None, None, None]


@pytest.mark.parametrize(
    ("server", "streaming"),
    [(DjangoOnUvicorn, Streaming.DISABLE), (DjangoOnUvicorn, Streaming.FORCE), (DjangoOnWaitress, Streaming.FORCE)],
)
def test_a_stale_connection_of_a_pool_thread_is_closed_before_a_call(
    client: Inngest,
    tmp_path: pathlib.Path,
    monkeypatch: pytest.MonkeyPatch,
    server: type[DjangoOnWaitress],
    streaming: Streaming,
) -> None:
    kept: dict[int, Any] = {}
    reused: list[bool] = []

    def query() -> bool:
        wrapper: Any = connections["default"]
        reused.append(id(wrapper) in kept)
        was_closed = wrapper.connection is None
        _count_orders()
        kept[id(wrapper)] = wrapper
        return was_closed

    with (
        database_files(tmp_path, monkeypatch, CONN_MAX_AGE=None),
        server().mount(client, [_querying(client, "def", query)], streaming=streaming) as send,
    ):
        met: list[bool] = []
        for _ in range(MORE_CALLS_THAN_THREADS):
            met.append(_result(App(send)))
            for wrapper in kept.values():
                assert wrapper.connection is not None  # CONN_MAX_AGE lets it live
                wrapper.close_at = 0.0  # as if its time were over
        for wrapper in kept.values():
            wrapper.inc_thread_sharing()
            wrapper.close()

    assert any(reused)
    assert met == [True] * MORE_CALLS_THAN_THREADS


@pytest.mark.parametrize("server", SERVERS)
def test_queries_of_async_functions_do_not_wait_for_each_other(
    client: Inngest, database: Database, server: type[DjangoOnWaitress]
) -> None:
    both = threading.Barrier(2, timeout=20)

    def query() -> int:
        both.wait()
        return _count_orders()

    with server().mount(client, [_querying(client, "async def", query)]) as send, ThreadPoolExecutor(2) as pool:
        results = list(pool.map(_result, [App(send), App(send)]))

    assert results == [0, 0]


def test_a_call_of_an_async_function_starts_no_thread_unless_it_asks_the_database(
    client: Inngest, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    started: list[str] = []
    start = threading.Thread.start

    def note_and_start(thread: threading.Thread) -> None:
        started.append(thread.name)
        start(thread)

    @client.create_function(fn_id="queries", trigger=TRIGGER)
    async def queries(ctx: Context) -> int:
        return await sync_to_async(_count_orders)() if asks else -1

    asks = False
    with DjangoOnWaitress().mount(client, [queries]) as send:
        first = _result(App(send))  # may start the loop
        monkeypatch.setattr(threading.Thread, "start", note_and_start)
        second, threads_of_second = _result(App(send)), len(started)
        asks = True
        third, threads_of_third = _result(App(send)), len(started)

    assert (first, second, third) == (-1, -1, 0)
    assert threads_of_second == 0
    assert threads_of_third > 0  # one for its queries; newer versions of asgiref end it with another


@pytest.mark.parametrize("colour", ["def", "async def"])
@pytest.mark.parametrize("server", SERVERS)
def test_atomic_requests_do_not_apply(
    client: Inngest,
    tmp_path: pathlib.Path,
    monkeypatch: pytest.MonkeyPatch,
    server: type[DjangoOnWaitress],
    colour: str,
) -> None:
    with (
        database_files(tmp_path, monkeypatch, ATOMIC_REQUESTS=True),
        server().mount(client, [_querying(client, colour, lambda: connection.in_atomic_block)]) as send,
    ):
        assert _result(App(send)) is False


def _insert(name: str, using: str = "default") -> None:
    with connections[using].cursor() as cursor:
        cursor.execute("INSERT INTO orders VALUES (%s)", [name])


def test_events_leave_when_the_transaction_commits(client: Inngest, recorder: Recorder, database: Database) -> None:
    with transaction.atomic():
        _insert("A-1")
        stepserve.django.send_on_commit(client, Event(name="shop/ordered", data={"order": "A-1"}))
        before = list(recorder.requests)

    assert before == []
    assert database.orders() == ["A-1"]
    assert [event["data"] for event in recorder.requests[0].json()] == [{"order": "A-1"}]
    assert len(recorder.requests) == 1


def test_no_event_leaves_when_the_transaction_rolls_back(
    client: Inngest, recorder: Recorder, database: Database
) -> None:
    def order() -> None:
        with transaction.atomic():
            _insert("A-1")
            stepserve.django.send_on_commit(client, Event(name="shop/ordered"))
            raise LookupError

    with pytest.raises(LookupError):
        order()

    assert database.orders() == []
    assert recorder.requests == []


def test_events_of_an_inner_block_that_is_rolled_back_do_not_leave(
    client: Inngest, recorder: Recorder, database: Database
) -> None:
    with transaction.atomic():
        _insert("A-1")
        stepserve.django.send_on_commit(client, Event(name="shop/outer"))
        with contextlib.suppress(LookupError), transaction.atomic():
            stepserve.django.send_on_commit(client, Event(name="shop/inner"))
            raise LookupError

    assert [event["name"] for request in recorder.requests for event in request.json()] == ["shop/outer"]


def test_outside_of_a_transaction_events_leave_at_once(client: Inngest, recorder: Recorder, database: Database) -> None:
    stepserve.django.send_on_commit(client, [Event(name="shop/one"), Event(name="shop/two")])

    assert [event["name"] for event in recorder.requests[0].json()] == ["shop/one", "shop/two"]


def test_the_transaction_may_be_of_another_database(client: Inngest, recorder: Recorder, database: Database) -> None:
    with transaction.atomic(using="archive"):
        _insert("A-1", "archive")
        stepserve.django.send_on_commit(client, Event(name="shop/archived"), using="archive")
        with transaction.atomic():
            _insert("A-2")
        before = list(recorder.requests)

    assert before == []
    assert (database.orders("archive"), database.orders()) == (["A-1"], ["A-2"])
    assert len(recorder.requests) == 1


def test_the_events_are_those_of_the_moment_of_the_call(
    client: Inngest, recorder: Recorder, database: Database
) -> None:
    events = [Event(name="shop/one")]
    with transaction.atomic():
        stepserve.django.send_on_commit(client, events)
        events.append(Event(name="shop/late"))

    assert [event["name"] for event in recorder.requests[0].json()] == ["shop/one"]


def test_an_event_that_cannot_be_sent_rolls_the_transaction_back(
    client: Inngest, recorder: Recorder, database: Database
) -> None:
    def order() -> None:
        with transaction.atomic():
            _insert("A-1")
            stepserve.django.send_on_commit(client, Event(name="shop/ordered", data={"at": object()}))

    with pytest.raises(errors.EventInvalidError, match="shop/ordered"):
        order()

    assert database.orders() == []
    assert recorder.requests == []


def test_what_is_committed_stays_when_the_server_refuses_the_events(
    client: Inngest, recorder: Recorder, database: Database
) -> None:
    recorder.answer_next(400, b'{"error":"no such key","status":400}')

    def order() -> None:
        with transaction.atomic():
            _insert("A-1")
            stepserve.django.send_on_commit(client, Event(name="shop/ordered"))

    with pytest.raises(SendEventsError, match="no such key"):
        order()

    assert database.orders() == ["A-1"]

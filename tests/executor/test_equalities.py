"""Pauses that are found by the value they compare: what is found, and that nothing is missed."""

from __future__ import annotations

import itertools
from collections.abc import Generator
from typing import Any

import pytest

from stepserve_core.executor import fragments
from stepserve_core.executor.clock import VirtualClock
from stepserve_core.executor.expression_equalities import ANY, find_equality, fragments_of, match_of, value_at
from stepserve_core.executor.expressions import ExpressionFailedError, compile_expression
from stepserve_core.executor.run_search import RunSearch
from tests.executor.conftest import StartSystem
from tests.executor.raw_app import Call, Fn, wait

pytestmark = pytest.mark.anyio

EVENT = {"data": {"id": "e", "n": 1, "gone": None, "list": [1]}}


@pytest.mark.parametrize(
    ("expression", "match"),
    [
        ("async.data.id == event.data.id", ('["data","id"]', '"e')),
        ("event.data.id == async.data.id", ('["data","id"]', '"e')),
        ("async.data['id'] == event.data['id']", ('["data","id"]', '"e')),
        ("async.data.ok && async.data.id == event.data.id", ('["data","id"]', '"e')),
        ("((async.data.id == event.data.id)) && async.data.n > 3", ('["data","id"]', '"e')),
        ("async.data.n == event.data.n", ('["data","n"]', "1.0")),
        ("async.data.n == 7", ('["data","n"]', "7.0")),
        ("async.data.ok == true", ('["data","ok"]', "true")),
        ("async.data.id == event.data.missing", ('["data","id"]', "null")),
        ("async.data.id == event.data.gone", ('["data","id"]', "null")),
        ("async.name == 'x'", ('["name"]', '"x')),
        ("async.data.id == event.data.list", ANY),
        ("async.data.id == event['data']['id']", ANY),  # it is not bound, so that missing values are not null
        ("async.data.id == event.data.id || async.data.all", ANY),
        ("!(async.data.id == event.data.id)", ANY),
        ("async.data.id != event.data.id", ANY),
        ("async.data.id == event.data.id == true", ANY),
        ("async.data[0] == event.data.id", ANY),
        ("lowercase(async.data.id) == event.data.id", ANY),
        ("async.data.id == async.data.other", ANY),
        ("async.data.ok ? async.data.id == 'a' : true", ANY),
        (None, ANY),
        ("", ANY),
    ],
)
def test_a_pause_is_found_by_the_equality_it_needs(expression: str | None, match: tuple[str, str]) -> None:
    assert match == match_of(expression, lambda: EVENT)


VALUES: list[Any] = [
    None, True, False, 0, -0.0, 1, 1.0, 2**53, 2**53 + 1, 0.1, "", "1", "true", "null", "a", "é", "x" * 500, [], [1],
    {}, {"a": 1}, "\ud800",
]  # fmt: skip
EXPRESSIONS = [
    "async.data.v == event.data.v",
    "event.data.v == async.data.v",
    "async.data.v == event.data.v && async.data.v == event.data.v",
    "async.data.v.w == event.data.v",
    "async.data.v == event.data.v.w",
    "async.data.v == null",
    "async.data.v == 1",
    "async.data.v == 'a'",
    "async.data.v == ''",
    "async.data.v == false",
]


@pytest.mark.parametrize("expression", EXPRESSIONS)
def test_whatever_an_expression_is_true_for_is_found(expression: str) -> None:
    events: list[dict[str, Any]] = [{"data": {"v": value}} for value in VALUES]
    events += [{"data": {}}, {}, {"data": {"v": {"w": 1}}}, {"data": {"v": {"w": "a"}}}]
    compared = 0
    for trigger, new in itertools.product(events, events):
        path, value = match_of(expression, lambda trigger=trigger: trigger)  # type: ignore[misc]  # bound per round
        try:
            holds = compile_expression(expression).bind(trigger).matches(trigger, new)
        except ExpressionFailedError:
            holds = False
        if holds:
            compared += 1
            assert (path, value) == ANY or value == value_at(path, new), (expression, trigger, new)

    assert compared
    assert find_equality(expression) is not None


def waiter(call: Call) -> Generator[Any, Any, Any]:
    event = yield wait("go", "test/go", "1h", "async.data.n == event.data.n")
    return event["data"]["n"]


async def test_an_event_looks_only_at_the_waits_for_its_value(
    start: StartSystem, monkeypatch: pytest.MonkeyPatch
) -> None:
    looked_at: list[str] = []
    from stepserve_core.executor import routing

    original = routing._matches  # pyright: ignore[reportPrivateUsage] - what is counted

    def count(scope: Any, pause: Any, value: Any) -> bool:
        looked_at.append(pause.run_id)
        return original(scope, pause, value)

    monkeypatch.setattr(routing, "_matches", count)
    async with start(Fn("f", waiter, [{"event": "test/x"}]), clock=VirtualClock()) as system:
        events = [{"name": "test/x", "data": {"n": n}} for n in range(500)]
        ids = (await system.http.post("/e/key", json=events)).json()["ids"]
        await system.idle()
        await system.send("test/go", {"n": 123})
        await system.send("test/go", {"n": -1})

        assert ("Completed", 123) == await system.outcome(ids[123])
        assert [(await system.run_of(ids[123]))["run_id"]] == looked_at
        assert 499 == await system.executor.read(lambda tables: tables.pauses.count("test/go"))


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ("event.data.n == 5", (b'"n":5',)),
        ("5.0 == event['data'].n", (b'"n":5',)),
        ('event.name == \'a"b\' && event.data.user.id == "ü"', (b'"name":"a\\"b"', '"id":"ü"'.encode())),
        ("(event.data.ok == true) && output.n == 3", (b'"ok":true',)),
        ("event.data.n == null", ()),
        ("event.data.n == 9007199254740993", ()),
        ("event.data.n != 5", ()),
        ("event.data.n == 5 || event.data.m == 6", ()),
        ("output.n == 5", ()),
        ("event.data.n == event.data.m", ()),
        ("event.data.n ==", ()),
    ],
)
def test_a_search_passes_over_events_without_what_an_equality_needs(
    expression: str, expected: tuple[bytes, ...]
) -> None:
    assert expected == fragments_of(expression)


LITERALS = ("5", "5.0", "-0.0", "0", "'5'", "''", "'ü\\n'", "true", "null", "1e21", "9007199254740992", "5u")
STORED: tuple[object, ...] = (5, 5.5, -0.0, 0, "5", "", "ü\n", True, False, None, 1e21, 9007199254740992, [5], {"n": 5})


def test_a_search_passes_over_no_event_that_matches() -> None:
    found: list[str] = []
    for literal, value in itertools.product(LITERALS, STORED):
        search = RunSearch(f"event.data.n == {literal}")
        body = fragments.encode({"data": {"n": value}})
        if search.matches(body, None, "Completed"):
            found.append(literal)

            assert all(fragment in body for fragment in search.fragments), (literal, value)
    assert set(LITERALS) <= set(found)

"""Flow control, the pure part: rates, debounce, batches, priority, keys, and what is read from a configuration."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from stepserve_core.executor.events import Event, make_event
from stepserve_core.executor.expressions import ExpressionFailedError
from stepserve_core.executor.flow import rate_limit
from stepserve_core.executor.flow.batching import is_full
from stepserve_core.executor.flow.debounce import Debounced, fire_moment, merge
from stepserve_core.executor.flow.gcra import admit, count_free, next_moment
from stepserve_core.executor.flow.holds import Holds, decode_holds, encode_holds, read_holds
from stepserve_core.executor.flow.keys import evaluate_key
from stepserve_core.executor.flow.options import BatchOption, DebounceOption, Flow, Rate, read_flow
from stepserve_core.executor.flow.priority import read_factor
from stepserve_core.executor.flow.throttle import burst_of
from stepserve_core.executor.function_config import ConcurrencyLimit, FunctionConfig, Singleton

NOW = 1_700_000_000.0


def event(**data: Any) -> Event:
    return make_event("test/x", data, internal_id="01HF7YAT00BPAD3DQK1M809RJV", now=NOW)


def admitted(emission: float, burst: int, moments: list[float]) -> list[float]:
    """Return the moments, after NOW, at which a sequence of requests is let through."""
    tat: float | None = None
    passed: list[float] = []
    for moment in moments:
        new = admit(tat, NOW + moment, emission, burst)
        if new is not None:
            tat = new
            passed.append(moment)
    return passed


@pytest.mark.parametrize(
    ("limit", "period", "moments", "passed"),
    [
        # 5 a minute: a tenth of it, rounded down, may come at once besides the first.
        (5, 60, [0, 0, 1, 11.9, 12, 12, 24, 60], [0, 12, 24, 60]),
        (1, 60, [0, 59, 60, 61, 120], [0, 60, 120]),
        (10, 60, [0, 0, 0, 6, 6, 11.9, 12], [0, 0, 6, 12]),
        (20, 60, [0, 0, 0, 0, 3], [0, 0, 0, 3]),
        (1, 86_400, [0, 86_399, 86_400], [0, 86_400]),
    ],
)
def test_a_rate_limit_spreads_events_over_its_period(
    limit: int, period: float, moments: list[float], passed: list[float]
) -> None:
    rate = Rate(limit, period)
    tat: float | None = None
    let_through: list[float] = []
    for moment in moments:
        new = rate_limit.allow(tat, NOW + moment, rate)
        if new is not None:
            tat = new
            let_through.append(moment)

    assert passed == let_through


@pytest.mark.parametrize(("limit", "burst", "at_once"), [(1, 0, 1), (1, 1, 2), (3, 1, 4), (10, 5, 15)])
def test_a_throttle_lets_limit_and_burst_go_at_once_and_then_one_per_interval(
    limit: int, burst: int, at_once: int
) -> None:
    rate = Rate(limit, 60, burst=burst)
    moments = [0.0] * (at_once + 5) + [rate.emission, rate.emission, 2 * rate.emission]

    assert [0.0] * at_once + [rate.emission, 2 * rate.emission] == admitted(rate.emission, burst_of(rate), moments)


def test_one_is_admitted_at_the_moment_that_is_named_for_it_whatever_is_rounded() -> None:
    for emission in (1 / 3, 0.1, 7.7, 60 / 7):
        tat = NOW
        for _ in range(1000):
            moment = next_moment(tat, emission, 2)
            new = admit(tat, moment, emission, 2)
            assert new is not None
            tat = new


@pytest.mark.parametrize(
    ("ahead", "free"), [(None, 3), (-5.0, 3), (0.0, 3), (1.0, 2), (2.0, 1), (2.5, 0), (3.0, 0), (30.0, 0)]
)
def test_as_many_are_free_as_are_admitted(ahead: float | None, free: int) -> None:
    tat = None if ahead is None else NOW + ahead
    count = 0
    following = tat
    while (new := admit(following, NOW, 1.0, 2)) is not None:
        following, count = new, count + 1

    assert free == count_free(tat, NOW, 1.0, 2)
    assert free == count


@pytest.mark.parametrize(
    ("timeout", "first_at", "expected"),
    [(None, 0.0, 110.0), (500.0, 0.0, 110.0), (105.0, 0.0, 105.0), (10.0, 95.0, 105.0), (10.0, 100.0, 110.0)],
)
def test_a_debounce_fires_after_its_period_and_never_past_its_timeout(
    timeout: float | None, first_at: float, expected: float
) -> None:
    assert expected == fire_moment(DebounceOption(10.0, timeout), first_at, now=100.0)


FIRST = Debounced(seq=1, ts=1000, first_at=1.0)


@pytest.mark.parametrize(
    ("known", "new", "merged"),
    [
        (None, FIRST, FIRST),
        (FIRST, Debounced(2, 1000, 9.0), Debounced(2, 1000, 1.0)),
        (FIRST, Debounced(2, 2000, 9.0), Debounced(2, 2000, 1.0)),
        (FIRST, Debounced(2, 999, 9.0), FIRST),
    ],
)
def test_the_last_event_counts_unless_its_own_time_is_older(
    known: Debounced | None, new: Debounced, merged: Debounced
) -> None:
    assert merged == merge(known, new)


@pytest.mark.parametrize(
    ("events", "size", "full"), [(2, 10, False), (3, 10, True), (4, 10, True), (1, 10 * 2**20, True)]
)
def test_a_batch_is_full_by_number_or_by_size(events: int, size: int, full: bool) -> None:
    assert full == is_full(BatchOption(3, 60.0), events, size)


@pytest.mark.parametrize(
    ("expression", "data", "factor"),
    [
        ("120", {}, 120),
        ("0 - 120", {}, -120),
        ("event.data.vip ? 600 : 0", {"vip": True}, 600),
        ("event.data.vip ? 600 : 0", {"vip": False}, 0),
        ("999999", {}, 43_200),
        ("0 - 999999", {}, -43_200),
        ("event.data.n", {"n": 30}, 0),  # numbers of events are floats
        ("int(event.data.n)", {"n": 30}, 30),
        ("'high'", {}, 0),
        ("event.data.missing", {}, 0),
        ("true", {}, 0),
        ("int('x')", {}, 0),
    ],
)
def test_only_an_integer_is_a_priority(expression: str, data: dict[str, Any], factor: int) -> None:
    assert factor == read_factor(expression, event(**data))


@pytest.mark.parametrize(
    ("expression", "value"),
    [
        ("event.data.user", b'"ann"'),
        ("event.data.n", b"1"),
        ("event.data.user + 'x'", b'"annx"'),
        ("event.data.missing", None),
        ("event.data.user == 'bob'", None),
        ("event.data.user == 'ann'", b"true"),
        ("event.data.list", b"[1,2]"),
    ],
)
def test_a_key_is_the_value_of_its_expression_and_none_where_that_is_false(
    expression: str, value: bytes | None
) -> None:
    assert value == evaluate_key(expression, event(user="ann", n=1, list=[1, 2]))


def test_a_key_that_cannot_be_evaluated_raises() -> None:
    with pytest.raises(ExpressionFailedError):
        evaluate_key("int('x')", event())


@pytest.mark.parametrize(
    ("first", "second", "equal"),
    [
        ({"user": "a"}, {"user": "a"}, True),
        ({"user": "a"}, {"user": "b"}, False),
        ({"user": "1"}, {"user": 1}, False),
        ({}, {"user": "a"}, False),
    ],
)
def test_runs_share_what_they_hold_by_the_value_of_the_key(
    first: dict[str, Any], second: dict[str, Any], equal: bool
) -> None:
    key = "event.data.user"
    flow = Flow(throttle=Rate(1, 60, key), singleton=Singleton("skip", key), run_limit=ConcurrencyLimit(1, key))
    one, other = (read_holds("fn", flow, event(**data)) for data in (first, second))

    assert one is not None and other is not None  # noqa: PT018 - both, for the types
    assert equal == (one == other)
    assert (one.throttle == other.throttle, one.run_slot == other.run_slot) == (equal, equal)


def test_a_false_singleton_key_locks_nothing_while_other_keys_stay() -> None:
    flow = Flow(throttle=Rate(1, 60), singleton=Singleton("skip", "event.data.user"))
    holds = read_holds("fn", flow, event())

    assert Holds(None, "throttle:fn:", None) == holds
    assert read_holds("fn", Flow(singleton=Singleton("skip", "event.data.user")), event()) is None
    assert holds == decode_holds(encode_holds(Holds(throttle="throttle:fn:")))


def test_keys_that_fail_are_shared_and_do_not_stop_a_run() -> None:
    flow = Flow(throttle=Rate(1, 60, "int(event.data.a)"))
    holds = [read_holds("fn", flow, event(a=text)) for text in ("x", "y")]

    assert holds[0] is not None
    assert holds[0] == holds[1]


@pytest.mark.parametrize(
    ("options", "flow"),
    [
        ({}, None),
        ({"concurrency": [{"limit": 3}]}, None),
        ({"rateLimit": {"limit": 5, "period": "1m"}}, Flow(rate_limit=Rate(5, 60.0))),
        (
            {"rateLimit": {"limit": 5, "period": "1m"}, "idempotency": "event.data.id"},
            Flow(rate_limit=Rate(1, 86_400.0, "event.data.id")),
        ),
        ({"throttle": {"limit": 0, "period": "10s"}}, Flow(throttle=Rate(1, 10.0, burst=1))),
        (
            {"debounce": {"period": "5s", "timeout": "1m", "key": "event.data.id"}},
            Flow(debounce=DebounceOption(5.0, 60.0, "event.data.id")),
        ),
        (
            {"batchEvents": {"maxSize": 8, "timeout": "10s", "if": "event.data.ok"}},
            Flow(batch=BatchOption(8, 10.0, None, "event.data.ok")),
        ),
        ({"timeouts": {"start": "10s", "finish": "1h"}}, Flow(start_timeout=10.0, finish_timeout=3600.0)),
        ({"runConcurrency": [{"limit": 2}]}, Flow(run_limit=ConcurrencyLimit(2))),
        ({"priority": {"run": "120"}}, Flow(priority="120")),
    ],
)
def test_a_configuration_is_read_as_seconds_and_numbers(options: dict[str, Any], flow: Flow | None) -> None:
    step = {"step": {"runtime": {"url": "http://x"}}}
    config = msgspec.convert({"id": "f", "name": "f", "steps": step, **options}, FunctionConfig)

    assert flow == read_flow(config)

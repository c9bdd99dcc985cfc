"""Small pure parts: ids, moments, backoff, names of triggers, function rules, timelines, the virtual clock."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from ulid import ULID

from stepserve_core.executor import ids
from stepserve_core.executor.backoff import parse_retry_after, retry_moment
from stepserve_core.executor.clock import RealClock, VirtualClock
from stepserve_core.executor.function_config import FunctionConfig, Trigger
from stepserve_core.executor.functions import RegistrationInvalidError, read_registration
from stepserve_core.executor.moments import parse_date, parse_moment, to_rfc3339
from stepserve_core.executor.store.steps import AttemptRow, StepRow
from stepserve_core.executor.timeline import build_steps, unwrap
from stepserve_core.executor.triggers import TriggerIndex, name_patterns

NOW = 1_700_000_000.0  # 2023-11-14T22:13:20Z
SEED = (1743130137367, bytes.fromhex("7a28b662a5d155324fb8"))


def test_seeded_ids_count_up_and_keep_the_time() -> None:
    first, second = ids.seeded_id(SEED, 1), ids.seeded_id(SEED, 2)

    assert first != second
    assert first[:10] == second[:10]
    assert first == ids.seeded_id(SEED, 1)


def test_the_counter_of_a_seed_wraps_within_its_four_bytes() -> None:
    full = (SEED[0], bytes(6) + b"\xff\xff\xff\xff")

    assert ids.seeded_id((SEED[0], bytes(10)), 0) == ids.seeded_id(full, 1)


def test_fresh_ids_have_the_digits_that_the_library_gives_them(monkeypatch: pytest.MonkeyPatch) -> None:
    entropy = bytes(range(246, 256))
    monkeypatch.setattr(ids, "_entropy", iter([int.from_bytes(entropy, "big")]))

    assert str(ULID.from_bytes(int(NOW * 1000).to_bytes(6, "big") + entropy)) == ids.new_id(NOW)


@given(st.binary(min_size=16, max_size=16))
def test_ids_are_read_as_the_library_reads_them(value: bytes) -> None:
    ulid = ULID.from_bytes(value)
    text, seed = str(ulid), (int.from_bytes(value[:6], "big"), value[6:])

    assert (value, ulid.timestamp, True) == (ids.bytes_of(text), ids.moment_of(text), ids.is_ulid(text))
    assert (value, text) == (ids.bytes_of(text.lower()), ids.seeded_id(seed, 0))


def test_fresh_ids_of_one_moment_grow() -> None:
    made = [ids.new_id(NOW) for _ in range(10_000)]

    assert sorted(set(made)) == made


@pytest.mark.parametrize("moment", [0.0, NOW, NOW + 0.999, 4e9])
def test_the_first_id_of_a_moment_sorts_before_all_others_of_it(moment: float) -> None:
    assert ids.first_id(moment) <= ids.new_id(moment)
    assert ids.first_id(moment + 0.002) > ids.new_id(moment)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("01ARZ3NDEKTSV4RRFFQ69G5FAV", True),
        ("7ZZZZZZZZZZZZZZZZZZZZZZZZZ", True),
        ("8ARZ3NDEKTSV4RRFFQ69G5FAVV", False),
        ("01ARZ3NDEKTSV4RRFFQ69G5FAU", False),
        ("01ARZ3NDEKTSV4RRFFQ69G5FAV\n", False),
        ("01ARZ3NDEKTSV4RRFFQ69G5FA\u0662", False),
        ("", False),
        ("x" * 26, False),
    ],
)
def test_run_ids_are_told_from_other_text(text: str, expected: bool) -> None:
    assert expected == ids.is_ulid(text)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("10s", NOW + 10),
        ("1w2d", NOW + 9 * 86_400),
        ("2023-11-14T22:13:30Z", NOW + 10),
        ("2023-11-14T22:13:30.5Z", NOW + 10.5),
        ("2023-11-14T22:13:30.123456789Z", NOW + 10.123456),
        ("2023-11-15T00:13:30+02:00", NOW + 10),
        ("2023-11-14T22:13:30", NOW + 10),
        ("2023-11-14", NOW - 80_000),
        ("Tue, 14 Nov 2023 22:13:30 GMT", NOW + 10),
    ],
)
def test_moments_are_durations_or_dates(text: str, expected: float) -> None:
    assert expected == pytest.approx(parse_moment(text, NOW), abs=1e-6)


@pytest.mark.parametrize("text", ["", "soon", "10", "2023-13-01T00:00:00Z", "1h and more"])
def test_other_texts_are_no_moments(text: str) -> None:
    with pytest.raises(ValueError, match="neither a duration nor a date"):
        parse_moment(text, NOW)


def test_dates_survive_writing_and_reading() -> None:
    assert "2023-11-14T22:13:20.678Z" == to_rfc3339(NOW + 0.678)
    assert NOW + 0.678 == parse_date(to_rfc3339(NOW + 0.678))


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        (None, None),
        ("", None),
        ("0", None),
        ("-5", None),
        ("soon", None),
        ("1", 1.0),
        ("90", 90.0),
        ("9999999", 86_400.0),
        ("2023-11-14T22:14:20Z", 60.0),
        ("Tue, 14 Nov 2023 22:14:20 GMT", 60.0),
        ("2001-01-01T00:00:00Z", 1.0),
        ("2099-01-01T00:00:00Z", 86_400.0),
        ("not a date at all", None),
    ],
)
def test_retry_after_is_seconds_or_a_date_within_a_second_and_a_day(header: str | None, seconds: float | None) -> None:
    moment = parse_retry_after(header, NOW)

    assert (None if seconds is None else NOW + seconds) == moment


@pytest.mark.parametrize(
    ("attempt", "jitter", "seconds"),
    [(0, 0.0, 15), (1, 0.0, 30), (2, 0.5, 75), (8, 0.0, 3600), (9, 0.0, 7200), (19, 0.0, 7200)],
)
def test_the_backoff_follows_its_table(attempt: int, jitter: float, seconds: float) -> None:
    moment = retry_moment(attempt, NOW, retry_after=None, retry_interval=None, jitter=jitter)

    assert NOW + seconds == moment


@pytest.mark.parametrize(
    ("name", "patterns"),
    [
        ("x", ["x"]),
        ("app/user.created", ["app/user.created", "app/*", "app/user.*"]),
        ("a.b.c", ["a.b.c", "a.*", "a.b.*"]),
    ],
)
def test_an_event_matches_its_name_and_each_prefix(name: str, patterns: list[str]) -> None:
    assert patterns == list(name_patterns(name))


TRIGGERS = [
    ("exact", [Trigger(event="app/user.created")]),
    ("all of app", [Trigger(event="app/*")]),
    ("star", [Trigger(event="*")]),
    ("paid", [Trigger(event="app/user.created", expression="event.data.paid == true")]),
    ("either", [Trigger(event="nothing"), Trigger(event="app/user.*"), Trigger(event="app/*")]),
    ("cron", [Trigger(cron="* * * * *")]),
    ("failing", [Trigger(event="app/user.created", expression="event.data.paid < 'x' ? 1 : 2")]),
]


def test_triggers_are_matched_by_name_and_condition_and_each_function_once() -> None:
    matched = TriggerIndex(TRIGGERS).match("app/user.created", lambda: {"data": {"paid": False}})

    assert ["all of app", "either", "exact"] == sorted(matched)


def test_an_event_is_only_read_where_a_condition_needs_it() -> None:
    def read() -> dict[str, Any]:
        raise AssertionError("was read")

    assert ["all of app"] == TriggerIndex(TRIGGERS).match("app/order", read)[:1]


def config(**options: Any) -> dict[str, Any]:
    step = {"id": "step", "name": "step", "runtime": {"type": "http", "url": "http://a/?fnId=f&stepId=step"}}
    return {"id": "f", "name": "f", "triggers": [{"event": "x"}], "steps": {"step": step}, **options}


def registered(*functions: dict[str, Any]) -> list[FunctionConfig]:
    import msgspec

    return read_registration(msgspec.json.encode({"appname": "app", "functions": functions})).functions


@pytest.mark.parametrize(
    ("retries", "attempts"),
    [(None, 5), (0, 1), (2, 3), (20, 21), (99, 21)],
)
def test_the_number_of_retries_gives_the_number_of_attempts(retries: int | None, attempts: int) -> None:
    options = config()
    options["steps"]["step"]["retries"] = {"attempts": retries}

    assert attempts == registered(options)[0].max_attempts


@pytest.mark.parametrize(
    ("concurrency", "limits", "run_limits"),
    [
        (5, [5], []),
        (0, [], []),
        ({"limit": 5}, [5], []),
        ([{"limit": 5}, {"limit": 6, "key": "event.data.a"}], [5, 6], []),
        ({"step": [{"limit": 5}], "fn": [{"limit": 1}]}, [5], [1]),
    ],
)
def test_all_forms_of_concurrency_are_read(concurrency: Any, limits: list[int], run_limits: list[int]) -> None:
    (function,) = registered(config(concurrency=concurrency))

    assert limits == [limit.limit for limit in function.concurrency]
    assert run_limits == [limit.limit for limit in function.run_concurrency]


PROBLEMS: dict[str, tuple[dict[str, Any], str]] = {
    "no name": ({"name": ""}, "name is empty"),
    "a missing field": ({"steps": None}, "steps is missing"),
    "a wrong type": ({"triggers": [{"event": 1}]}, "triggers: Expected `str | null`, got `int`"),
    "two steps": ({"steps": {"a": config()["steps"]["step"], "b": config()["steps"]["step"]}}, "exactly one step"),
    "another scheme": ({"steps": {"a": {"runtime": {"url": "ftp://x"}}}}, "must begin with http"),
    "no address in brackets": ({"steps": {"a": {"runtime": {"url": "http://a.]b/"}}}}, "must begin with http"),
    "neither event nor cron": ({"triggers": [{}]}, "needs either event or cron"),
    "both event and cron": ({"triggers": [{"event": "x", "cron": "* * * * *"}]}, "needs either event or cron"),
    "eleven triggers": ({"triggers": [{"event": f"x{n}"} for n in range(11)]}, "at most 10 triggers"),
    "the same trigger twice": ({"triggers": [{"event": "x"}, {"event": "x"}]}, "repeats another one"),
    "the same cron with another jitter": (
        {"triggers": [{"cron": "* * * * *"}, {"cron": "* * * * *", "jitter": "5s"}]},
        "repeats another one",
    ),
    "a long jitter": ({"triggers": [{"cron": "* * * * *", "jitter": "6m"}]}, "jitter is longer"),
    "a cron with seconds": ({"triggers": [{"cron": "* * * * * *"}]}, "cron: "),
    "three limits": ({"concurrency": [{"limit": 1}] * 3}, "at most 2 concurrency limits"),
    "an env limit without key": ({"concurrency": [{"limit": 1, "scope": "env"}]}, "needs a key"),
    "six cancellations": ({"cancel": [{"event": "x"}] * 6}, "at most 5 cancellations"),
    "a short debounce": ({"debounce": {"period": "10ms"}}, "debounce.period is shorter"),
    "a long debounce": ({"debounce": {"period": "8d"}}, "debounce.period is longer"),
    "a rate of nothing": ({"rateLimit": {"limit": 0, "period": "1m"}}, "must be positive"),
    "a rate over two days": ({"rateLimit": {"limit": 1, "period": "2d"}}, "rateLimit.period is longer"),
    "a batch of one": ({"batchEvents": {"maxSize": 1, "timeout": "1s"}}, "at least 2"),
    "a batch over days": ({"batchEvents": {"maxSize": 2, "timeout": "1d"}}, "no days"),
    "a batch with a debounce": (
        {"batchEvents": {"maxSize": 2, "timeout": "1s"}, "debounce": {"period": "1s"}},
        "combo_unsupported",
    ),
    "another singleton mode": ({"singleton": {"mode": "wait"}}, "must be skip or cancel"),
    "a priority that does not compile": ({"priority": {"run": "1 +"}}, "priority.run"),
}


@pytest.mark.parametrize("name", PROBLEMS)
def test_options_that_break_a_rule_are_named(name: str) -> None:
    options, message = PROBLEMS[name]
    with pytest.raises(RegistrationInvalidError) as caught:
        registered({key: value for key, value in config(**options).items() if value is not None})

    assert any(message in problem and "function 'f'" in problem for problem in caught.value.problems), (
        caught.value.problems
    )


@pytest.mark.parametrize(
    ("memo", "expected"),
    [
        (None, ("output", None)),
        (b"null", ("output", None)),
        (b'{"data":{"a":1}}', ("output", {"a": 1})),
        (b'{"error":{"name":"E"}}', ("error", {"name": "E"})),
        (b'{"data":{},"name":"test/x"}', ("output", {"data": {}, "name": "test/x"})),
        (b'{"other":1}', ("output", {"other": 1})),
    ],
)
def test_memos_are_shown_unwrapped(memo: bytes | None, expected: tuple[str, Any]) -> None:
    assert expected == unwrap(memo)


def test_a_timeline_has_the_steps_in_the_order_in_which_they_began() -> None:
    planned = [("late", 1.0, 9.0), ("early", 1.0, 2.0), ("asleep", 3.0, None)]
    rows = [
        StepRow(name, name, "StepRun" if began else "Sleep", "Completed", 0, queued, began, 10.0, b"null", None)
        for name, queued, began in planned
    ]
    failed = AttemptRow("late", 0, "Failed", 1.0, 4.0, 5.0, b'{"error":{"message":"m"}}')
    own = AttemptRow("", 0, "Completed", 10.0, 11.0, 12.0, None)
    entries = build_steps(rows, [failed, own])

    assert ["early", "asleep", "late", "Finalization"] == [entry["name"] for entry in entries]
    assert ["Failed", "Completed"] == [attempt["status"] for attempt in entries[2]["attempts"]]
    assert ({"message": "m"}, 1000.0) == (entries[2]["attempts"][0]["error"], entries[2]["attempts"][0]["duration_ms"])


async def _woken_at(clock: VirtualClock, until: float) -> float:
    await clock.wait(asyncio.Event(), until)
    return clock.now()


def test_the_virtual_clock_wakes_at_the_moment_it_is_moved_to() -> None:
    async def scenario() -> float:
        clock = VirtualClock(NOW)
        waiting = asyncio.ensure_future(_woken_at(clock, NOW + 5))
        await asyncio.sleep(0)
        clock.advance(4)
        await asyncio.sleep(0)
        assert not waiting.done()
        clock.advance(2)
        return await waiting

    assert NOW + 6 == asyncio.run(scenario())


def test_the_real_clock_returns_for_a_moment_that_has_passed_and_when_it_is_woken() -> None:
    async def scenario() -> list[bool]:
        clock, wake = RealClock(), asyncio.Event()
        await clock.wait(wake, clock.now() - 1)
        passed = wake.is_set()
        wake.set()
        await clock.wait(wake, None)
        return [passed, wake.is_set()]

    assert [False, True] == asyncio.run(scenario())

"""Durations and points in time (protocol.md section 7)."""

from __future__ import annotations

import datetime
import time
from collections.abc import Iterator
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stepserve_core import errors
from stepserve_core._durations import parse, to_iso, to_milliseconds, to_text


@pytest.mark.parametrize(
    ("duration", "expected"),
    [
        (1000, "1s"),
        (61_000, "61s"),
        (60_000, "1m"),
        (3_600_000, "1h"),
        (90_000_000, "25h"),
        (86_400_000, "1d"),
        (604_800_000, "1w"),
        (timedelta(days=7), "1w"),
        (timedelta(days=30), "30d"),
        (timedelta(seconds=1, microseconds=999), "1s"),
        ("90s", "90s"),
        ("1h30m", "90m"),
        ("7d", "1w"),
        ("1000ms", "1s"),
        ("1.5m", "90s"),
    ],
)
def test_the_wire_form_has_one_unit(duration: int | timedelta | str, expected: str) -> None:
    assert expected == to_text(duration)


@pytest.mark.parametrize("duration", [999, 0, -1, timedelta(0), timedelta(days=-1), "999ms", timedelta(microseconds=1)])
def test_less_than_a_second_is_refused(duration: int | timedelta | str) -> None:
    with pytest.raises(errors.FunctionConfigInvalidError, match=r"^duration must be at least 1 second$"):
        to_text(duration)


@pytest.mark.parametrize("duration", [1500, timedelta(seconds=1, milliseconds=1), "1.5s"])
def test_part_of_a_second_is_refused(duration: int | timedelta | str) -> None:
    with pytest.raises(errors.FunctionConfigInvalidError, match=r"^duration must be a whole number of seconds$"):
        to_text(duration)


@pytest.mark.parametrize(
    "duration", ["", "9" * 400 + "s", "5", "s", "1 s", "1x", "1s ", "-1s", "1h30", "1,5s", "P1D", True, 1.5, None, []]
)
def test_what_is_no_duration_is_refused(duration: object) -> None:
    with pytest.raises(errors.FunctionConfigInvalidError, match="duration"):
        to_text(duration)  # type: ignore[arg-type] # this is what the test is about


@given(st.integers(1, 10**7))
def test_the_wire_form_reads_back_as_the_same_time(seconds: int) -> None:
    assert seconds * 1000 == parse(to_text(seconds * 1000))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("1w2d3h4m5s6ms", 604_800_000 + 2 * 86_400_000 + 3 * 3_600_000 + 4 * 60_000 + 5_000 + 6),
        ("0s", 0),
        ("2m3ms", 120_003),
        ("1500us", 1),
        ("2000000ns", 2),
        ("3000µs", 3),
        ("0.5h", 1_800_000),
        ("2.3s", 2300),
        ("1.1s", 1100),
    ],
)
def test_text_is_read_as_the_server_reads_it(text: str, expected: int) -> None:
    assert expected == parse(text)


def test_a_duration_of_the_wrong_type_says_what_is_wanted() -> None:
    with pytest.raises(TypeError, match=r"an int \(milliseconds\), a timedelta or text"):
        to_milliseconds(1.5)  # type: ignore[arg-type] # this is what the test is about


def test_a_timedelta_is_floored_to_milliseconds() -> None:
    assert 1 == to_milliseconds(timedelta(microseconds=1999))


@pytest.mark.parametrize(
    ("moment", "expected"),
    [
        (
            datetime.datetime(2024, 1, 2, 3, 4, 5, 999_999, datetime.timezone(timedelta(hours=2))),
            "2024-01-02T01:04:05.999Z",
        ),
        (datetime.datetime(2030, 1, 2, 3, 4, 5, 678_000, datetime.timezone.utc), "2030-01-02T03:04:05.678Z"),
        (datetime.datetime(2024, 2, 29, 23, 59, 59, 999, datetime.timezone.utc), "2024-02-29T23:59:59.000Z"),
        (datetime.datetime(2024, 1, 1, 0, 0, 0, 0, datetime.timezone(-timedelta(hours=5))), "2024-01-01T05:00:00.000Z"),
    ],
)
def test_a_moment_is_written_in_utc_and_truncated_to_milliseconds(moment: datetime.datetime, expected: str) -> None:
    assert expected == to_iso(moment)


@pytest.fixture
def berlin(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Pretend that this machine stands where the clock is an hour ahead of UTC."""
    monkeypatch.setenv("TZ", "CET-1")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


@pytest.mark.usefixtures("berlin")
def test_a_moment_without_time_zone_is_local() -> None:
    assert "2024-01-02T02:04:05.000Z" == to_iso(datetime.datetime(2024, 1, 2, 3, 4, 5))

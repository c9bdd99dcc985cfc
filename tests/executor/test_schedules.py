"""Schedules of cron triggers (executor.md 3.4): what is a schedule, and when it fires, over clock changes too."""

from __future__ import annotations

import datetime
import zoneinfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stepserve_core.executor.schedules import ScheduleInvalidError, parse_schedule


def _next(text: str, start: str, count: int) -> list[str]:
    """Return the next times to fire after `start`, in the time zone of the schedule."""
    prefix, _, zone = text.split(" ", 1)[0].partition("=")
    local = zoneinfo.ZoneInfo(zone) if prefix in ("TZ", "CRON_TZ") else datetime.timezone.utc
    schedule = parse_schedule(text)
    moment = datetime.datetime.fromisoformat(start).timestamp()
    times = list[str]()
    for _ in range(count):
        moment = schedule.next_after(moment)
        times.append(datetime.datetime.fromtimestamp(moment, local).isoformat(timespec="minutes"))
    return times


@pytest.mark.parametrize(
    ("text", "start", "expected"),
    [
        ("* * * * *", "2024-05-01T10:00:00+00:00", ["2024-05-01T10:01+00:00", "2024-05-01T10:02+00:00"]),
        ("* * * * *", "2024-05-01T10:00:59.900+00:00", ["2024-05-01T10:01+00:00"]),
        ("*/15 * * * *", "2024-05-01T10:44:00+00:00", ["2024-05-01T10:45+00:00", "2024-05-01T11:00+00:00"]),
        ("5/20 * * * *", "2024-05-01T10:00:00+00:00", ["2024-05-01T10:05+00:00", "2024-05-01T10:25+00:00"]),
        ("10-30/10 8 * * *", "2024-05-01T08:15:00+00:00", ["2024-05-01T08:20+00:00", "2024-05-01T08:30+00:00"]),
        ("0,30 9,17 * * *", "2024-05-01T09:00:00+00:00", ["2024-05-01T09:30+00:00", "2024-05-01T17:00+00:00"]),
        ("0 9 * * MON-FRI", "2024-05-03T09:00:00+00:00", ["2024-05-06T09:00+00:00", "2024-05-07T09:00+00:00"]),
        ("0 9 ? * mon,Wed", "2024-05-06T09:00:00+00:00", ["2024-05-08T09:00+00:00", "2024-05-13T09:00+00:00"]),
        ("0 0 * * 0", "2024-05-03T00:00:00+00:00", ["2024-05-05T00:00+00:00"]),
        ("0 0 1 JAN,jul *", "2024-05-03T00:00:00+00:00", ["2024-07-01T00:00+00:00", "2025-01-01T00:00+00:00"]),
        ("0 0 29 2 *", "2023-03-01T00:00:00+00:00", ["2024-02-29T00:00+00:00", "2028-02-29T00:00+00:00"]),
        ("0 0 29 2 *", "2096-03-01T00:00:00+00:00", ["2104-02-29T00:00+00:00"]),
        ("0 0 31 * *", "2024-01-31T00:00:00+00:00", ["2024-03-31T00:00+00:00"]),
        ("59 23 31 12 *", "2023-12-31T23:59:00+00:00", ["2024-12-31T23:59+00:00"]),
        ("TZ=UTC 0 12 * * *", "2024-05-01T12:00:00+00:00", ["2024-05-02T12:00+00:00"]),
        ("CRON_TZ=Asia/Tokyo 0 6 * * *", "2024-05-01T00:00:00+00:00", ["2024-05-02T06:00+09:00"]),
    ],
)
def test_a_schedule_fires_at_the_times_it_names(text: str, start: str, expected: list[str]) -> None:
    actual = _next(text, start, len(expected))

    assert expected == actual


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        # Either day field is enough where both restrict, and a step restricts.
        ("0 0 1 * 1", ["2024-05-06T00:00+00:00", "2024-05-13T00:00+00:00", "2024-05-20T00:00+00:00"]),
        ("0 0 13 * FRI", ["2024-05-03T00:00+00:00", "2024-05-10T00:00+00:00", "2024-05-13T00:00+00:00"]),
        ("0 0 */10 * 1", ["2024-05-06T00:00+00:00", "2024-05-11T00:00+00:00", "2024-05-13T00:00+00:00"]),
        ("0 0 20 * */6", ["2024-05-04T00:00+00:00", "2024-05-05T00:00+00:00", "2024-05-11T00:00+00:00"]),
        # An open field leaves the choice to the other.
        ("0 0 * * 1", ["2024-05-06T00:00+00:00", "2024-05-13T00:00+00:00", "2024-05-20T00:00+00:00"]),
        ("0 0 */1 * 1", ["2024-05-06T00:00+00:00", "2024-05-13T00:00+00:00", "2024-05-20T00:00+00:00"]),
        ("0 0 13 * ?", ["2024-05-13T00:00+00:00", "2024-06-13T00:00+00:00", "2024-07-13T00:00+00:00"]),
    ],
)
def test_the_two_day_fields_are_joined_as_robfig_joins_them(text: str, expected: list[str]) -> None:
    actual = _next(text, "2024-05-01T00:00:00+00:00", 3)

    assert expected == actual


@pytest.mark.parametrize(
    ("text", "start", "expected"),
    [
        # New York, 10 March 2024: 02:00 becomes 03:00.
        ("TZ=America/New_York 30 2 * * *", "2024-03-09T12:00:00-05:00", ["2024-03-11T02:30-04:00"]),
        (
            "TZ=America/New_York 0 * * * *",
            "2024-03-10T00:30:00-05:00",
            ["2024-03-10T01:00-05:00", "2024-03-10T03:00-04:00"],
        ),
        ("TZ=America/New_York 0 9 * * *", "2024-03-09T09:00:00-05:00", ["2024-03-10T09:00-04:00"]),
        # New York, 3 November 2024: 02:00 becomes 01:00.
        (
            "TZ=America/New_York 30 1 * * *",
            "2024-11-03T00:00:00-04:00",
            ["2024-11-03T01:30-04:00", "2024-11-03T01:30-05:00", "2024-11-04T01:30-05:00"],
        ),
        (
            "TZ=America/New_York */30 * * * *",
            "2024-11-03T01:00:00-04:00",
            ["2024-11-03T01:30-04:00", "2024-11-03T01:00-05:00", "2024-11-03T01:30-05:00", "2024-11-03T02:00-05:00"],
        ),
        ("TZ=America/New_York 30 2 3 11 *", "2024-11-03T00:00:00-04:00", ["2024-11-03T02:30-05:00"]),
        # Berlin, 31 March 2024: 02:00 becomes 03:00; 27 October 2024: 03:00 becomes 02:00.
        ("TZ=Europe/Berlin 15 2 * * *", "2024-03-30T12:00:00+01:00", ["2024-04-01T02:15+02:00"]),
        (
            "TZ=Europe/Berlin 15 2 * * *",
            "2024-10-27T00:00:00+02:00",
            ["2024-10-27T02:15+02:00", "2024-10-27T02:15+01:00", "2024-10-28T02:15+01:00"],
        ),
        ("TZ=Europe/Berlin 0 8 * * MON", "2024-03-25T08:00:00+01:00", ["2024-04-01T08:00+02:00"]),
        # Beirut, 31 March 2024: midnight becomes 01:00, so the day has no start.
        ("TZ=Asia/Beirut 0 1 31 3 *", "2024-03-30T12:00:00+02:00", ["2024-03-31T01:00+03:00"]),
        # Apia had no 30 December 2011.
        ("TZ=Pacific/Apia 0 12 30 12 *", "2011-12-29T13:00:00-10:00", ["2012-12-30T12:00+14:00"]),
        # Lord Howe moves its clocks by half an hour.
        (
            "TZ=Australia/Lord_Howe */20 * * * *",
            "2024-04-07T01:35:00+11:00",
            ["2024-04-07T01:40+11:00", "2024-04-07T01:40+10:30", "2024-04-07T02:00+10:30"],
        ),
    ],
)
def test_skipped_clock_times_do_not_fire_and_repeated_ones_fire_twice(
    text: str, start: str, expected: list[str]
) -> None:
    actual = _next(text, start, len(expected))

    assert expected == actual


@pytest.mark.parametrize(
    ("text", "part_of_message"),
    [
        ("", "has 0"),
        ("* * * *", "has 4"),
        ("0 * * * * *", "has 6"),
        ("@daily", "'@daily' cannot be used"),
        ("TZ=UTC @every 1h", "cannot be used"),
        ("60 * * * *", "the field minute ('60')"),
        ("* 24 * * *", "the field hour ('24')"),
        ("* * 0 * *", "the field day of month ('0')"),
        ("* * 1,32 * *", "the field day of month ('1,32')"),
        ("* * * 13 *", "the field month ('13')"),
        ("* * * monday *", "one of JAN, FEB"),
        ("* * * * 7", "the field day of week ('7')"),
        ("* * * * MON#2", "the field day of week ('MON#2')"),
        ("* * L * *", "the field day of month ('L')"),
        ("*/0 * * * *", "the step of '*/0' is 0"),
        ("30-10 * * * *", "ends before it starts"),
        ("* * * * FRI-MON", "ends before it starts"),
        ("1,,2 * * * *", "the field minute ('1,,2')"),
        ("-5 * * * *", "the field minute ('-5')"),
        ("\u0663 * * * *", "the field minute"),
        ("* * 30 2 *", "never fires"),
        ("* * 30,31 FEB ?", "never fires"),
        ("* * 31 2,4,6,9,11 *", "never fires"),
        ("TZ=Mars/Base * * * * *", "'Mars/Base' after TZ= is not a time zone"),
        ("CRON_TZ= * * * * *", "'' after CRON_TZ= is not a time zone"),
        ("TZ=../../etc/passwd * * * * *", "is not a time zone"),
        ("TZ=UTC", "has 0"),
        ("* " * 128, "255 characters at most"),
    ],
)
def test_what_is_no_schedule_is_refused_with_the_reason(text: str, part_of_message: str) -> None:
    with pytest.raises(ScheduleInvalidError) as caught:
        parse_schedule(text)

    assert part_of_message in str(caught.value)


def test_a_day_of_the_week_can_make_an_impossible_date_fire() -> None:
    actual = _next("0 0 30 2 MON", "2024-02-20T00:00:00+00:00", 1)

    expected = ["2024-02-26T00:00+00:00"]

    assert expected == actual


def test_a_schedule_keeps_its_text() -> None:
    text = "TZ=Europe/Berlin */5 8-18 * * MON-FRI"

    assert text == parse_schedule(text).text


@settings(deadline=None)
@given(st.text(max_size=300))
def test_any_text_is_a_schedule_or_refused(text: str) -> None:
    try:
        later = parse_schedule(text).next_after(1_700_000_000.0)
    except ScheduleInvalidError:
        return

    assert later > 1_700_000_000.0


_fields = [
    st.one_of(
        st.just("*"),
        st.integers(low, high).map(str),
        st.integers(1, high).map("*/{}".format),
        st.tuples(st.integers(low, high), st.integers(low, high)).map(lambda ends: "{}-{}".format(*sorted(ends))),
    )
    for low, high in ((0, 59), (0, 23), (1, 28), (1, 12), (0, 6))
]


@settings(deadline=None, max_examples=50)
@given(st.tuples(*_fields), st.floats(1_600_000_000, 1_900_000_000), st.sampled_from(["", "TZ=America/New_York "]))
def test_a_schedule_fires_on_the_minute_after_the_moment_and_misses_none(
    fields: tuple[str, ...], moment: float, zone: str
) -> None:
    schedule = parse_schedule(zone + " ".join(fields))
    first = schedule.next_after(moment)

    assert first > moment
    assert first % 60 == 0
    assert first == schedule.next_after(first - 1)
    assert first == schedule.next_after((moment + first - 1) / 2)

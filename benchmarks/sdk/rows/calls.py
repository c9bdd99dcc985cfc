"""Rows about single calls in process: memos, event sizes, refused requests (design.md 9, first rows)."""

import functools
import json
from collections.abc import Callable, Iterator

from benchmarks.sdk import calls
from benchmarks.sdk.calls import Answer, Request
from benchmarks.sdk.in_process import Endpoint
from benchmarks.sdk.measure import Repeat, interleaved, progress
from benchmarks.sdk.subjects import FLOOR, FRAMEWORK_TITLES, FRAMEWORKS, Failure, Framework, mount
from benchmarks.sdk.table import Goal, Result, Row

MEMO_COUNTS = (0, 10, 100, 1_000)
EVENT_SIZES = ((1_000, "1 KB"), (100_000, "100 KB"), (1_000_000, "1 MB"), (4_000_000, "4 MB"))
REFUSED_SIZES = ((8_000, "16 KB body"), (50_000, "100 KB body"), (2_000_000, "4 MB body"))

Check = Callable[[Answer], bool]


def memo_rows(
    subjects: tuple[str, ...],
    rounds: int,
    frameworks: tuple[Framework, ...] = FRAMEWORKS,
    signatures: tuple[bool, ...] = (True, False),
) -> Iterator[Row]:
    """Measure calls with 0 to 1,000 memos: all memoised (200), and with one more step to execute (206)."""
    for framework in frameworks:
        for signed in signatures:
            mounted = mount(subjects, framework, signed=signed)
            how = f"{'signed' if signed else 'unsigned'} call, {FRAMEWORK_TITLES[framework]}, 1 KB event"
            goal = Goal(times_floor=1.5) if signed and framework != "fastapi-sync" else None
            progress(how)
            for status, ending in ((200, "function returns"), (206, "one step executed")):
                group = f"{how}, {ending} ({status}): CPU per call"
                for count in MEMO_COUNTS:
                    reached = count if status == 200 else count + 1
                    body = calls.call_body("bench/steps", calls.event_data(calls.EVENT_KB, reached), calls.memos(count))
                    request = calls.request("steps", body, signed=signed)
                    check = returned({"done": reached}) if status == 200 else executed(f"step-{count}")
                    results = measured(mounted, request, check, rounds, signed=signed)
                    yield Row(group, f"{count:,} memos", "µs", results, goal, size=count)


def event_rows(subjects: tuple[str, ...], rounds: int, smallest: int = 0) -> Iterator[Row]:
    """Measure signed calls with events of 1 KB to 4 MB and a function that reads one field."""
    for framework in ("flask", "fastapi"):
        mounted = mount(subjects, framework, signed=True)
        for size, title in (pair for pair in EVENT_SIZES if pair[0] >= smallest):
            data = calls.event_data(size, 0)
            body = calls.call_body("bench/field", data, {})
            what = f"event of {title} (body of {len(body) / 1e6:.3g} MB)"
            progress(f"{FRAMEWORK_TITLES[framework]}: {what}")
            check = returned({"last": calls.records(size)[-1]["id"]})
            results = measured(mounted, calls.request("field", body, signed=True), check, rounds, signed=True)
            goal = Goal(times_floor=1.0) if size == calls.EVENT_MB else None
            yield Row(f"signed call, {FRAMEWORK_TITLES[framework]}, by size: CPU per call", what, "ms", results, goal)


def refused_rows(subjects: tuple[str, ...], rounds: int, smallest: int = 0) -> Iterator[Row]:
    """Measure calls whose signature is wrong by one digit."""
    for framework in ("flask", "fastapi"):
        mounted = mount(subjects, framework, signed=True)
        for size, title in (pair for pair in REFUSED_SIZES if pair[0] >= smallest):
            body = calls.call_body("bench/field", calls.event_data(size, 0), {})
            request = calls.with_bad_signature(calls.request("field", body, signed=True))
            progress(f"refused, {FRAMEWORK_TITLES[framework]}: {title}")
            results = measured(mounted, request, lambda answer: answer.status == 401, rounds, signed=False)
            goal = Goal(at_most=3.0) if title.startswith("4 MB") else None
            yield Row(
                "refused call, bad signature: CPU per call",
                f"{FRAMEWORK_TITLES[framework]}, {title}",
                "ms",
                results,
                goal,
            )


def _failure(answer: Answer, *, expected: bool, signed: bool) -> Failure | None:
    """Say what is wrong with an answer, if anything is."""
    if not expected:
        return Failure(f"{answer.status} {answer.body[:80]!r}")
    if signed and not calls.is_signed(answer):
        return Failure("answer is not signed")
    return None


def measured(
    mounted: tuple[dict[str, Endpoint], dict[str, Failure]],
    request: Request,
    check: Check,
    rounds: int,
    *,
    signed: bool,
) -> dict[str, Result]:
    """Verify every subject's answer once, then measure those that gave the right one."""
    endpoints, unmounted = mounted
    results: dict[str, Result] = dict(unmounted)
    cases: dict[str, Repeat] = {}
    for subject, mounted_endpoint in endpoints.items():
        try:
            answer = mounted_endpoint.call(request)
        except Exception as error:  # whatever a subject raises is its result
            results[subject] = Failure.of(error)
            continue
        # The floor has no steps to report: it answers 200, or 401 to a bad signature.
        expected = answer.status == 200 if subject == FLOOR and answer.status != 401 else check(answer)
        wrong = _failure(answer, expected=expected, signed=signed)
        if wrong is None:
            cases[subject] = functools.partial(mounted_endpoint.repeat, request)
        else:
            results[subject] = wrong
    return {**interleaved(cases, rounds), **results}


def returned(value: object) -> Check:
    return lambda answer: answer.status == 200 and json.loads(answer.body) == value


def executed(step_id: str) -> Check:
    """Expect one op that reports the executed step with its output (protocol.md 5.6)."""

    def check(answer: Answer) -> bool:
        if answer.status != 206:
            return False
        ops = json.loads(answer.body)
        return [(op["op"], op["id"], op["data"]) for op in ops] == [
            ("StepRun", calls.hashed_id(step_id), {"number": 1, "ok": True})
        ]

    return check

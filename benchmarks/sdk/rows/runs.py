"""Rows about whole runs, call after call: 1,000 steps in sequence, 500 in parallel (design.md 9)."""

import json
from collections.abc import Callable, Iterator

from benchmarks.sdk import calls
from benchmarks.sdk.calls import Answer, JsonObject
from benchmarks.sdk.in_process import Driver
from benchmarks.sdk.measure import Samples, progress
from benchmarks.sdk.subjects import FLOOR, FRAMEWORK_TITLES, OFFICIAL, Failure, Framework, mount
from benchmarks.sdk.table import Goal, Result, Row

SEQUENTIAL_STEPS = 1_000
PARALLEL_STEPS = 500
PARALLEL_FORMS: tuple[tuple[Framework, str], ...] = (
    ("flask", "parallel"),
    ("fastapi", "parallel"),
    ("fastapi", "gather"),
)
RUN_FRAMEWORKS: tuple[Framework, ...] = ("flask", "fastapi")
MOST_RUNS = 3
SECONDS_FOR_MORE_RUNS = 2.0


class UnexpectedAnswerError(Exception):
    """A subject did not answer a call of the run as the protocol says."""


def run_rows(
    subjects: tuple[str, ...], rounds: int, frameworks: tuple[Framework, ...] = RUN_FRAMEWORKS
) -> Iterator[Row]:
    """Measure the CPU of all calls of one run; the driver's own work is not counted."""
    repeat = min(rounds, MOST_RUNS)
    for framework in frameworks:
        title = FRAMEWORK_TITLES[framework]
        progress(f"run of {SEQUENTIAL_STEPS:,} steps, {title}")
        results = _runs(subjects, framework, repeat, lambda bare: sequential_run(SEQUENTIAL_STEPS, bare=bare))
        group = f"one run of {SEQUENTIAL_STEPS:,} steps, {SEQUENTIAL_STEPS + 1:,} signed calls: CPU in total"
        yield Row(group, title, "s", results, Goal(at_most=1.0))
    group = f"one run of {PARALLEL_STEPS} parallel steps, {PARALLEL_STEPS + 2} signed calls: CPU in total"
    for framework, function_id in (form for form in PARALLEL_FORMS if form[0] in frameworks):
        how = "asyncio.gather" if function_id == "gather" else "group.parallel"
        progress(f"run of {PARALLEL_STEPS} parallel steps, {FRAMEWORK_TITLES[framework]}, {how}")
        # The official package executes only the first of gathered steps (field.md, P4): nothing to compare with.
        able = tuple(name for name in subjects if not (name == OFFICIAL and function_id == "gather"))
        make = _parallel_driver(function_id)
        results = _runs(able, framework, repeat, make)
        if OFFICIAL in subjects and function_id == "gather":
            results[OFFICIAL] = Failure("no gather")
        yield Row(group, f"{FRAMEWORK_TITLES[framework]}, {how}", "s", results, Goal(at_most=0.5))


def sequential_run(count: int, *, bare: bool) -> Driver:
    """Feed the calls of one run with growing memos, each memo taken from the answer before."""
    data = calls.event_data(calls.EVENT_KB, count)
    memos: JsonObject = {}
    for number in range(count):
        body = calls.call_body("bench/steps", data, memos)
        answer = yield calls.request("steps", body, signed=True)
        memos |= calls.memo(number) if bare else _memo(answer, f"step-{number}")
    answer = yield calls.request("steps", calls.call_body("bench/steps", data, memos), signed=True)
    _expect(bare or json.loads(answer.body) == {"done": count}, answer)


def parallel_run(function_id: str, count: int, *, bare: bool) -> Driver:
    """Feed the plan call, one targeted call for each step with what has finished by then, and the last call."""
    event, data = f"bench/{function_id}", calls.event_data(calls.EVENT_KB, count)
    ids = [calls.hashed_id(f"step-{number}") for number in range(count)]
    answer = yield calls.request(function_id, calls.call_body(event, data, {}), signed=True)
    if not bare:
        planned = [op["id"] for op in json.loads(answer.body) if op["op"] == "StepPlanned"]
        _expect(answer.status == 206 and planned == ids, answer)
    memos: JsonObject = {}
    for number, target in enumerate(ids):
        body = calls.call_body(event, data, memos, target=target)
        answer = yield calls.request(function_id, body, signed=True, target=target)
        memos |= calls.memo(number) if bare else _memo(answer, f"step-{number}")
    answer = yield calls.request(function_id, calls.call_body(event, data, memos), signed=True)
    _expect(bare or json.loads(answer.body) == {"done": count}, answer)


def _parallel_driver(function_id: str) -> Callable[[bool], Driver]:
    return lambda bare: parallel_run(function_id, PARALLEL_STEPS, bare=bare)


def _runs(
    subjects: tuple[str, ...], framework: Framework, rounds: int, make_driver: Callable[[bool], Driver]
) -> dict[str, Result]:
    """Run once with every subject, and again with those that are fast enough for more runs."""
    mounted, unmounted = mount(subjects, framework, signed=True)
    values: dict[str, list[float]] = {name: [] for name in subjects}
    failures: dict[str, Result] = dict(unmounted)
    for number in range(rounds):
        for name, endpoint in mounted.items():
            if name in failures or (number > 0 and sum(values[name]) > SECONDS_FOR_MORE_RUNS):
                continue
            try:
                values[name].append(endpoint.drive(make_driver(name == FLOOR)))
            except Exception as error:  # whatever a subject raises, or answers wrongly, is its result
                failures[name] = Failure.of(error)
    return {name: failures.get(name) or Samples(taken) for name, taken in values.items()}


def _memo(answer: Answer, step_id: str) -> JsonObject:
    """Turn the answer that executed one step into its memo, as the server does."""
    ops = json.loads(answer.body) if answer.status == 206 else []
    expected = [("StepRun", calls.hashed_id(step_id))]
    _expect(calls.is_signed(answer) and [(op["op"], op["id"]) for op in ops] == expected, answer)
    return {ops[0]["id"]: {"data": ops[0]["data"]}}


def _expect(condition: bool, answer: Answer) -> None:
    if not condition:
        raise UnexpectedAnswerError(f"{answer.status} {answer.body[:80]!r}")

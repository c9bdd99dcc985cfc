"""Flow control of events under load: rate limits, idempotency, singletons, debounce, batches; over HTTP, on a file."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Generator
from typing import Any

import pytest

from stepserve_core._protocol import Response
from stepserve_core.executor.clock import VirtualClock
from tests.executor.conftest import StartSystem
from tests.executor.raw_app import Call, Fn, invoke, reply, run, sleep
from tests.executor.system import System

pytestmark = pytest.mark.anyio

Steps = Generator[Any, Any, Any]
ON_X = [{"event": "test/x"}]


def echo(call: Call) -> Steps:
    yield run("step", 1)
    return call.event["data"]


def numbers(call: Call) -> Steps:
    yield run("step", 1)
    return [event["data"]["n"] for event in call.body["events"]]


def nap(call: Call) -> Steps:
    yield sleep("nap", "1h")
    return call.event["data"]


async def send_all(system: System, data: list[dict[str, Any]], **fields: Any) -> list[str]:
    events = [{"name": "test/x", "data": one, **fields} for one in data]
    answer = await system.http.post("/e/key", json=events)

    assert 200 == answer.status_code, answer.text
    await system.idle()
    ids: list[str] = answer.json()["ids"]
    return ids


async def outputs(system: System, ids: list[str]) -> list[Any]:
    """Return the outputs of the runs of some events; each must have completed, and most have none."""
    runs = [run for event_id in ids for run in await system.runs(event_id)]

    assert {"Completed"} >= {run["status"] for run in runs}
    return [run["output"] for run in runs]


async def test_events_above_the_rate_start_nothing(start: StartSystem) -> None:
    options = {"rateLimit": {"limit": 20, "period": "1m", "key": "event.data.user"}}
    async with start(Fn("f", echo, ON_X, options=options), clock=VirtualClock()) as system:
        first = await send_all(system, [{"user": user} for user in "ab" * 50])
        await system.advance(3)
        second = await send_all(system, [{"user": user} for user in "ab" * 50])

        assert Counter(a=3, b=3) == Counter(one["user"] for one in await outputs(system, first))
        assert Counter(a=1, b=1) == Counter(one["user"] for one in await outputs(system, second))


async def test_a_rate_outlives_a_restart(start: StartSystem) -> None:
    function = Fn("f", echo, ON_X, options={"rateLimit": {"limit": 1, "period": "1m"}})
    clock = VirtualClock()
    async with start(function, clock=clock) as system:
        await send_all(system, [{}])
    async with start(function, clock=VirtualClock(clock.now() + 59)) as system:
        assert [] == await outputs(system, await send_all(system, [{}]))
        await system.advance(1)
        assert [{}] == await outputs(system, await send_all(system, [{}]))


async def test_an_event_without_the_key_is_not_limited(start: StartSystem) -> None:
    options = {"rateLimit": {"limit": 1, "period": "1h", "key": "event.data.user"}}
    async with start(Fn("f", echo, ON_X, options=options)) as system:
        assert 20 == len(await outputs(system, await send_all(system, [{}] * 20)))


async def test_a_rate_limit_key_that_fails_starts_nothing(start: StartSystem) -> None:
    options = {"rateLimit": {"limit": 1, "period": "1h", "key": "int(event.data.user)"}}
    async with start(Fn("f", echo, ON_X, options=options)) as system:
        assert [] == await outputs(system, await send_all(system, [{"user": "x"}] * 5))


async def test_a_duplicate_does_not_use_up_the_rate(start: StartSystem) -> None:
    options = {"rateLimit": {"limit": 20, "period": "1m"}}
    async with start(Fn("f", echo, ON_X, options=options), clock=VirtualClock()) as system:
        await send_all(system, [{}] * 10, id="same")
        assert 2 == len(await outputs(system, await send_all(system, [{}] * 10)))


async def test_an_idempotency_expression_starts_one_run_a_day_for_each_value(start: StartSystem) -> None:
    async with start(Fn("f", echo, ON_X, options={"idempotency": "event.data.order"}), clock=VirtualClock()) as system:
        first = await send_all(system, [{"order": number % 10} for number in range(100)])
        await system.advance(86_399)
        again = await send_all(system, [{"order": 3}])
        await system.advance(1)
        tomorrow = await send_all(system, [{"order": 3}])

        assert [{"order": number} for number in range(10)] == await outputs(system, first)
        assert ([], [{"order": 3}]) == (await outputs(system, again), await outputs(system, tomorrow))


async def test_an_event_id_starts_one_run_of_each_function_within_a_day(start: StartSystem) -> None:
    async with start(Fn("f", echo, ON_X), Fn("g", echo, ON_X), clock=VirtualClock()) as system:
        ids = await send_all(system, [{"n": number} for number in range(50)], id="same")

        assert [{"n": 0}] * 2 == await outputs(system, ids)
        await system.advance(86_400)
        assert [{"n": 9}] * 2 == await outputs(system, await send_all(system, [{"n": 9}], id="same"))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"rateLimit": {"limit": 1, "period": "1h"}}, "invoked function is rate limited"),
        ({"singleton": {"mode": "skip"}}, "invoked function was skipped: Singleton"),
        ({"debounce": {"period": "1m"}}, "invoked function was debounced"),
    ],
)
async def test_who_invokes_a_function_that_does_not_start_is_told(
    start: StartSystem, options: dict[str, Any], message: str
) -> None:
    def invoker(call: Call) -> Steps:
        return (yield invoke("child", "app-child", {"n": call.event["data"]["n"]}))

    functions = Fn("child", nap, options=options), Fn("f", invoker, ON_X)
    async with start(*functions, clock=VirtualClock()) as system:
        ids = await send_all(system, [{"n": 1}, {"n": 2}])
        await system.advance(60)
        await system.advance(3600)
        outcomes = sorted([await system.outcome(event_id) for event_id in ids], key=lambda one: one[0])

        assert ["Completed", "Failed"] == [status for status, _ in outcomes]
        assert message == outcomes[1][1]["message"]


async def test_a_singleton_skips_runs_while_one_is_under_way_and_records_them(start: StartSystem) -> None:
    options = {"singleton": {"mode": "skip", "key": "event.data.user"}}
    async with start(Fn("f", nap, ON_X, options=options), clock=VirtualClock()) as system:
        ids = await send_all(system, [{"user": user} for user in "aab" * 20])
        runs = [(await system.runs(event_id))[0] for event_id in ids]
        holders = {runs[0]["run_id"], runs[2]["run_id"]}
        skipped = [run for run in runs if run["run_id"] not in holders]

        assert {("Skipped", "Singleton")} == {(run["status"], run["skip_reason"]) for run in skipped}
        assert holders == {run["skip_existing_run_id"] for run in skipped}
        assert 2 == len(system.app.calls)
        await system.advance(3600)
        assert "Completed" == (await system.runs(ids[0]))[0]["status"]
        (after,) = await send_all(system, [{"user": "a"}])
        assert "Running" == (await system.runs(after))[0]["status"]


async def test_a_singleton_cancels_the_run_under_way_for_the_new_one(start: StartSystem) -> None:
    options = {"singleton": {"mode": "cancel", "key": "event.data.user"}}
    async with start(Fn("f", nap, ON_X, options=options), clock=VirtualClock()) as system:
        ids = await send_all(system, [{"user": "a", "n": number} for number in range(30)])
        await system.advance(3600)
        statuses = [(await system.runs(event_id))[0]["status"] for event_id in ids]

        assert ["Cancelled"] * 29 + ["Completed"] == statuses
        last = await system.run_of(ids[-1])
        assert {"user": "a", "n": 29} == last["output"]


async def test_a_duplicate_does_not_cancel_the_run_that_its_original_started(start: StartSystem) -> None:
    async with start(Fn("f", nap, ON_X, options={"singleton": {"mode": "cancel"}}), clock=VirtualClock()) as system:
        (first,) = await send_all(system, [{}], id="same")
        (again,) = await send_all(system, [{}], id="same")

        assert ("Running", []) == ((await system.runs(first))[0]["status"], await system.runs(again))


async def test_a_singleton_without_a_value_for_its_key_locks_nothing(start: StartSystem) -> None:
    options = {"singleton": {"mode": "skip", "key": "event.data.user"}}
    async with start(Fn("f", nap, ON_X, options=options), clock=VirtualClock()) as system:
        ids = await send_all(system, [{}] * 3)

        assert ["Running"] * 3 == [(await system.runs(event_id))[0]["status"] for event_id in ids]


async def test_events_of_a_key_start_one_run_with_the_last_of_them_after_a_quiet_period(start: StartSystem) -> None:
    options = {"debounce": {"period": "10s", "key": "event.data.user"}}
    async with start(Fn("f", echo, ON_X, options=options), clock=VirtualClock()) as system:
        ids: list[str] = []
        for round_number in range(5):
            ids += await send_all(system, [{"user": user, "n": (round_number, n)} for n in range(20) for user in "ab"])
            await system.advance(9)
        assert [] == await outputs(system, ids)
        await system.advance(1)

        assert [{"user": user, "n": [4, 19]} for user in "ab"] == await outputs(system, ids)


async def test_a_debounce_never_waits_longer_than_its_timeout(start: StartSystem) -> None:
    options = {"debounce": {"period": "10s", "timeout": "25s"}}
    async with start(Fn("f", echo, ON_X, options=options), clock=VirtualClock()) as system:
        ids: list[str] = []
        for number in range(5):  # at 0, 6, 12, 18 and 24 seconds
            ids += await send_all(system, [{"n": number}])
            if number < 4:
                await system.advance(6)
        assert [] == await outputs(system, ids)
        await system.advance(1)

        assert [{"n": 4}] == await outputs(system, ids)


async def test_an_event_that_is_older_by_its_own_time_does_not_replace_another(start: StartSystem) -> None:
    clock = VirtualClock()
    async with start(Fn("f", echo, ON_X, options={"debounce": {"period": "10s"}}), clock=clock) as system:
        first = await send_all(system, [{"n": 1}], ts=int(clock.now() * 1000))
        second = await send_all(system, [{"n": 2}], ts=int(clock.now() * 1000) - 1)
        await system.advance(10)

        assert [{"n": 1}] == await outputs(system, first + second)


async def test_a_debounce_outlives_a_restart(start: StartSystem) -> None:
    function = Fn("f", echo, ON_X, options={"debounce": {"period": "10s"}})
    clock = VirtualClock()
    async with start(function, clock=clock) as system:
        ids = await send_all(system, [{"n": 1}, {"n": 2}])
    async with start(function, clock=VirtualClock(clock.now() + 5)) as system:
        await system.advance(5)

        assert [{"n": 2}] == await outputs(system, ids)


def _batches(system: System) -> list[list[int]]:
    """Return the numbers of the events of each run, in order of their first calls."""
    runs = {call.headers["x-run-id"]: call for call in system.app.calls}
    return [[event["data"]["n"] for event in call.body["events"]] for call in runs.values()]


async def test_a_full_batch_starts_at_once_and_the_rest_when_its_time_is_over(start: StartSystem) -> None:
    options = {"batchEvents": {"maxSize": 10, "timeout": "30s"}}
    async with start(Fn("f", numbers, ON_X, options=options), clock=VirtualClock()) as system:
        ids = await send_all(system, [{"n": n} for n in range(95)])
        assert [list(range(start, start + 10)) for start in range(0, 90, 10)] == sorted(_batches(system))
        await system.advance(29)
        assert 9 == len(_batches(system))
        await system.advance(1)

        assert [90, 91, 92, 93, 94] == _batches(system)[-1]
        assert [90, 91, 92, 93, 94] == (await system.run_of(ids[94]))["output"]
        assert [90, 91, 92, 93, 94] == (await system.run_of(ids[90]))["output"]


async def test_each_key_has_its_own_batch_and_what_fails_the_condition_runs_alone(start: StartSystem) -> None:
    options = {"batchEvents": {"maxSize": 3, "timeout": "30s", "key": "event.data.user", "if": "event.data.n != 7.0"}}
    async with start(Fn("f", numbers, ON_X, options=options), clock=VirtualClock()) as system:
        await send_all(system, [{"n": n, "user": "ab"[n % 2]} for n in range(8)])
        await system.advance(30)

        assert [[0, 2, 4], [1, 3, 5], [6], [7]] == sorted(_batches(system))


async def test_an_event_that_is_sent_again_with_its_seed_is_in_a_batch_once(start: StartSystem) -> None:
    seed = {"x-inngest-event-id-seed": "1700000000000,AAAAAAAAAAAAAA=="}
    options = {"batchEvents": {"maxSize": 10, "timeout": "30s"}}
    async with start(Fn("f", numbers, ON_X, options=options), clock=VirtualClock()) as system:
        for _ in range(3):
            events = [{"name": "test/x", "data": {"n": n}} for n in range(4)]
            await system.http.post("/e/key", json=events, headers=seed)
        await system.advance(30)

        assert [[0, 1, 2, 3]] == _batches(system)


async def test_a_batch_under_way_outlives_a_restart(start: StartSystem) -> None:
    function = Fn("f", numbers, ON_X, options={"batchEvents": {"maxSize": 4, "timeout": "30s"}})
    clock = VirtualClock()
    async with start(function, clock=clock) as system:
        await send_all(system, [{"n": 1}, {"n": 2}])
    async with start(function, clock=VirtualClock(clock.now() + 29)) as system:
        await send_all(system, [{"n": 3}])
        await system.advance(1)

        assert [[1, 2, 3]] == _batches(system)


async def test_a_large_batch_is_fetched_by_the_app(start: StartSystem) -> None:
    fetched: list[Any] = []
    options = {"batchEvents": {"maxSize": 8, "timeout": "10s"}}
    async with start(Fn("f", numbers, ON_X, options=options)) as system:

        async def answer(call: Call) -> Response:
            assert (True, []) == (call.body["use_api"], call.body["events"])
            fetched.append((await system.http.get(f"/v0/runs/{call.headers['x-run-id']}/batch")).json())
            return reply(200, len(fetched[0]))

        system.app.replies["f"] = answer
        ids = await send_all(system, [{"n": n, "blob": "x" * 2**20} for n in range(8)])

        assert [8] * 8 == await outputs(system, ids)
        assert list(range(8)) == [event["data"]["n"] for event in fetched[0]]
        (finished,) = await system.events("inngest/function.finished")
        assert list(range(8)) == [event["data"]["n"] for event in finished["data"]["events"]]


async def test_every_invocation_in_a_batch_gets_the_result(start: StartSystem) -> None:
    def invoker(call: Call) -> Steps:
        return (yield invoke("child", "app-child", {"n": call.event["data"]["n"]}))

    child = Fn("child", numbers, options={"batchEvents": {"maxSize": 3, "timeout": "10s"}})
    async with start(child, Fn("f", invoker, ON_X), clock=VirtualClock()) as system:
        ids = await send_all(system, [{"n": 1}, {"n": 2}, {"n": 3}, {"n": 4}])
        await system.advance(10)
        results = sorted(await outputs(system, ids))

        assert [1, 2, 3, 4] == sorted({n for result in results for n in result})
        assert 4 == len(results)


async def test_events_in_parallel_requests_are_neither_lost_nor_doubled_by_batches(start: StartSystem) -> None:
    options = {"batchEvents": {"maxSize": 7, "timeout": "1m"}}
    async with start(Fn("f", numbers, ON_X, options=options), clock=VirtualClock()) as system:
        await asyncio.gather(*(system.send("test/x", {"n": n}) for n in range(100)))
        await system.idle()
        await system.advance(60)
        batches = _batches(system)

        assert list(range(100)) == sorted(n for batch in batches for n in batch)
        assert [7] * 14 + [2] == sorted((len(batch) for batch in batches), reverse=True)

"""`POST /v1/checkpoint/{run}/async`: what is saved, what is refused, and what it does to the call (executor.md 8.3)."""

from __future__ import annotations

import base64
from collections.abc import Generator
from typing import Any

import httpx
import pytest

from stepserve_core.executor import limits
from stepserve_core.executor.clock import VirtualClock
from tests import regime
from tests.executor.conftest import StartSystem
from tests.executor.raw_app import Call, Fn, hash_id, reply, run
from tests.executor.system import System

pytestmark = pytest.mark.anyio

UUID = "00000000-0000-0000-0000-000000000000"


def done(step_id: str, data: Any = None, **fields: Any) -> dict[str, Any]:
    """An op of a step that was executed."""
    return {"op": "StepRun", "id": hash_id(step_id), "name": step_id, "displayName": step_id, "data": data, **fields}


def dispatch(call: Call) -> dict[str, Any]:
    """What a checkpoint says of its call."""
    ctx = call.body["ctx"]
    return {key: ctx[key] for key in ("run_id", "fn_id", "qi_id", "request_id", "generation_id")}


class Checkpointer:
    """An app's function that saves what it is told in its first call, and then answers as it is told."""

    def __init__(self, *requests: Any, answer: Any = None) -> None:
        self.requests = requests
        self.answer = answer
        self.replies: list[httpx.Response] = []
        self.system: System | None = None

    async def __call__(self, call: Call) -> Any:
        first = not self.replies
        for make in self.requests if first else ():
            body = {**dispatch(call), **make}
            self.replies.append(await self.post(body))
        return self.answer(call) if self.answer is not None else reply(200, sorted(call.memos))

    async def post(self, body: dict[str, Any], **headers: str) -> httpx.Response:
        assert self.system is not None
        path = f"/v1/checkpoint/{body['run_id']}/async"
        return await self.system.http.post(path, json=body, headers=headers)


def script(call: Call) -> Generator[Any, Any, Any]:
    return (yield run("never"))


FUNCTION = Fn("f", script, [{"event": "test/x"}], retries=1)


async def outcome(start: StartSystem, app: Checkpointer, **settings: Any) -> tuple[str, Any]:
    """Run the function to its end."""
    async with start(FUNCTION, **settings) as system:
        app.system = system
        system.app.replies["f"] = app
        return await system.outcome(await system.send("test/x"))


LATER = {"op": "Sleep", "id": hash_id("nap"), "name": "1s"}
LARGE = "x" * (limits.STEP_OUTPUT + 1)


@pytest.mark.not_under(*regime.REPEATS, reason="its app saves steps each time that it is asked")
@pytest.mark.parametrize(
    ("request_", "status", "error", "saved"),
    [
        ({"steps": [done("a"), done("b")]}, 200, None, ["a", "b"]),
        ({"steps": [done("a"), done("a")]}, 200, None, ["a"]),
        ({"steps": []}, 200, None, []),
        ({}, 200, None, []),
        ({"qi_id": "", "steps": [done("a")]}, 200, None, ["a"]),
        ({"fn_id": UUID, "request_id": "other", "steps": [done("a")]}, 200, None, ["a"]),
        ({"generation_id": 0, "steps": [done("a")]}, 200, None, ["a"]),
        ({"steps": [done("a"), LATER]}, 400, "cannot checkpoint async steps", []),
        ({"steps": [done("a"), done("b", op="StepError")]}, 400, "cannot checkpoint async steps", []),
        ({"steps": [done("a"), done("b", op="StepFailed")]}, 400, "cannot checkpoint opcode: StepFailed", ["a"]),
        ({"steps": [done("a"), done("b", op="RunComplete")]}, 400, "cannot checkpoint opcode: RunComplete", ["a"]),
        ({"steps": [done("a"), done("b", LARGE)]}, 413, f"step {hash_id('b')} output too large", ["a"]),
        ({"steps": [done("a"), {"op": "Nonsense", "id": "1"}]}, 400, "invalid request body", []),
        ({"fn_id": "f", "steps": [done("a")]}, 400, "invalid request body", []),
        ({"qi_id": "%", "steps": [done("a")]}, 400, "invalid request body", []),
        ({"generation_id": 99, "steps": [done("a")]}, 409, "stale dispatch", []),
        ({"generation_id": 2**63, "steps": [done("a")]}, 400, "invalid request body", []),
        ({"steps": [{**done("a"), "timing": {"a": 10**400, "b": 1}}]}, 200, None, ["a"]),
        ({"qi_id": base64.b64encode(b"gone::default").decode(), "steps": [done("a")]}, 409, "stale dispatch", []),
        ({"run_id": "01HZZZZZZZZZZZZZZZZZZZZZZZ", "steps": [done("a")]}, 400, "run not found in state store", []),
        ({"steps": [done(str(n)) for n in range(1001)]}, 400, "more than 1000 steps", []),
    ],
)
async def test_a_checkpoint_saves_all_or_says_what_it_refuses(
    start: StartSystem, request_: dict[str, Any], status: int, error: str | None, saved: list[str]
) -> None:
    calls: list[Call] = []

    def fail_once(call: Call) -> Any:
        calls.append(call)
        return reply(500, {"message": "again"}) if len(calls) == 1 else reply(200, sorted(call.memos))

    app = Checkpointer(request_, answer=fail_once)
    result = await outcome(start, app)
    (replied,) = app.replies

    assert (status, ("Completed", sorted(map(hash_id, saved)))) == (replied.status_code, result)
    assert (error is None and replied.content == b"") or (error or "") in replied.json()["error"]


@pytest.mark.not_under(*regime.REPEATS, reason="its app saves steps each time that it is asked")
async def test_steps_that_were_saved_are_not_saved_again_by_the_answer_and_the_run_goes_on(start: StartSystem) -> None:
    """The app may not know that a checkpoint was saved, and answer with its steps."""

    def answer(call: Call) -> Any:
        return reply(200, sorted(call.memos)) if call.memos else reply(206, [done("a", 2), done("b", 3)])

    one, both = Checkpointer({"steps": [done("a", 1)]}, answer=answer), Checkpointer(answer=answer)
    both.requests = ({"steps": [done("a", 1), done("b", 1)]},)

    assert ("Completed", sorted([hash_id("a"), hash_id("b")])) == await outcome(start, one)
    assert ("Completed", sorted([hash_id("a"), hash_id("b")])) == await outcome(start, both)


@pytest.mark.not_under(*regime.REPEATS, reason="its app saves steps each time that it is asked")
async def test_progress_gives_the_call_its_attempts_anew(start: StartSystem) -> None:
    attempts: list[int] = []

    def answer(call: Call) -> Any:
        attempts.append(call.attempt)
        return reply(500, {"message": "no"}) if len(attempts) < 4 else reply(200, len(attempts))

    class Late(Checkpointer):
        async def __call__(self, call: Call) -> Any:
            if call.attempt == 1 and not self.replies:
                self.replies.append(await self.post({**dispatch(call), "steps": [done("a")]}))
            return answer(call)

    # With one retry, the second failure would be the last: but a step was saved before it.
    assert ("Failed", [0, 1, 1]) == ((await outcome(start, Late()))[0], attempts)


@pytest.mark.not_under(*regime.REPEATS, reason="its app saves steps each time that it is asked")
async def test_a_cancelled_run_takes_no_checkpoints(start: StartSystem) -> None:
    class Cancelling(Checkpointer):
        async def __call__(self, call: Call) -> Any:
            assert self.system is not None
            await self.system.executor.cancel(call.body["ctx"]["run_id"])
            self.replies.append(await self.post({**dispatch(call), "steps": [done("a")]}))
            return reply(206, [done("a")])

    app = Cancelling()

    assert "Cancelled" == (await outcome(start, app))[0]
    assert [400] == [replied.status_code for replied in app.replies]


async def test_only_bearers_of_a_key_may_checkpoint(start: StartSystem) -> None:
    key = "signkey-test-8ee2262a15e8d3c42d6a840db7af3de2aab08ef632b32a37a687f24b34dba3ff"
    async with start(FUNCTION, kind="cloud", signing_key=key, event_keys=["key"]) as system:
        for path in ("/v1/checkpoint/x/async", "/v1/http/runs/x/async"):
            answer = await system.http.post(path, json={}, headers={"authorization": "Bearer wrong"})

            assert 401 == answer.status_code


@pytest.mark.not_under(reason="looks at moments of the first call")
async def test_the_timeline_shows_saved_steps_with_the_times_of_the_app(start: StartSystem) -> None:
    clock = VirtualClock()
    began = int(clock.now() * 1e9)

    class Timed(Checkpointer):
        async def __call__(self, call: Call) -> Any:
            clock.advance(10)
            timings = {"a": (1.0, 2.0), "b": (3.5, 0.25), "future": (90.0, 4.0), "before": (-90.0, 1.0)}
            steps = [
                done(name, timing={"a": began + int(start * 1e9), "b": int(took * 1e9)})
                for name, (start, took) in timings.items()
            ]
            self.replies.append(await self.post({**dispatch(call), "steps": steps}))
            return reply(206, [done("rest", timing={"a": began + 9 * 10**9, "b": 10**9}), {"op": "RunComplete"}])

    async with start(FUNCTION, clock=clock) as system:
        app = Timed()
        app.system, system.app.replies["f"] = system, app
        run_id = (await system.run_of(await system.send("test/x")))["run_id"]
        steps = {step["name"]: step for step in (await system.trace(run_id))["steps"]}

    assert {
        "a": ("2023-11-14T22:13:21.000Z", 2000.0),
        "b": ("2023-11-14T22:13:23.500Z", 250.0),
        "future": ("2023-11-14T22:13:26.000Z", 4000.0),
        "before": ("2023-11-14T22:13:20.000Z", 0.0),
        "rest": ("2023-11-14T22:13:29.000Z", 1000.0),
    } == {
        name: (steps[name]["started_at"], steps[name]["duration_ms"]) for name in ("a", "b", "future", "before", "rest")
    }

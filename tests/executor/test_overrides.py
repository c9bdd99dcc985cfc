"""`/fn/step-limit` and `/fn/state-size-limit`: other limits for the runs of one function, until the server stops."""

from __future__ import annotations

from collections.abc import Generator
from typing import Any

import pytest

from tests import regime
from tests.executor.conftest import StartSystem
from tests.executor.raw_app import Call, Fn, hash_id, reply, run

pytestmark = pytest.mark.anyio
ON_X = [{"event": "test/x"}]


def four(_: Call) -> Generator[Any, Any, Any]:
    for number in range(4):
        yield run(f"step {number}", "x" * 100)
    return "end"


FUNCTIONS = (Fn("four", four, ON_X),)
OVERFLOWED = "InngestErrFunctionOverflowed"


@pytest.mark.parametrize(
    ("path", "limit", "error"),
    [
        ("/fn/step-limit", "3", OVERFLOWED),
        ("/fn/step-limit", "5", None),
        ("/fn/state-size-limit", "300", "InngestErrStateOverflowed"),
        ("/fn/state-size-limit", "3000", None),
    ],
)
async def test_runs_of_a_function_keep_to_its_own_limits(
    start: StartSystem, path: str, limit: str, error: str | None
) -> None:
    async with start(*FUNCTIONS) as system:
        form = {"functionId": "app-four", "limit": limit}
        set_ = await system.http.post(path, data=form)
        status, output = await system.outcome(await system.send("test/x"))
        reset = await system.http.request("DELETE", path, data={"functionId": "app-four"})
        after = await system.outcome(await system.send("test/x"))

    assert [200, 200] == [set_.status_code, reset.status_code]
    assert (("Completed", "end") if error is None else ("Failed", error)) == (
        status,
        output if error is None else output["name"],
    )
    assert ("Completed", "end") == after


async def test_a_limit_outlives_a_sync_and_not_a_restart(start: StartSystem) -> None:
    async with start(*FUNCTIONS) as system:
        function_id = (await system.http.get("/v2/apps/app/functions/four")).json()["data"]["id"]
        await system.http.post("/fn/step-limit", params={"functionId": function_id, "limit": "3"})
        system.app.functions[0].retries = 1
        await system.http.post("/fn/register", json=system.app.registration())
        _, first = await system.outcome(await system.send("test/x"))
    async with start(*FUNCTIONS) as system:
        second = await system.outcome(await system.send("test/x"))

    assert OVERFLOWED == first["name"]
    assert ("Completed", "end") == second


@pytest.mark.not_under(*regime.REPEATS, reason="its app saves steps each time that it is asked")
@pytest.mark.parametrize(
    ("path", "status", "error"),
    [
        ("/fn/step-limit", 400, "the run would have more than 1 steps"),
        ("/fn/state-size-limit", 413, "the run's state would be larger than 1 bytes"),
    ],
)
async def test_checkpoints_keep_to_the_limits_of_the_function(
    start: StartSystem, path: str, status: int, error: str
) -> None:
    answers: list[tuple[int, str]] = []
    async with start(*FUNCTIONS) as system:
        await system.http.post(path, data={"functionId": "app-four", "limit": "1"})

        async def save(call: Call) -> Any:
            steps = [{"op": "StepRun", "id": hash_id(text), "name": text, "data": 1} for text in "ab"]
            ctx = call.body["ctx"]
            body = {"fn_id": ctx["fn_id"], "steps": steps}
            answer = await system.http.post(f"/v1/checkpoint/{ctx['run_id']}/async", json=body)
            answers.append((answer.status_code, answer.json()["error"]))
            return reply(200, "end")

        system.app.replies["four"] = save
        outcome = await system.outcome(await system.send("test/x"))

    assert [(status, error)] == answers
    assert ("Completed", "end") == outcome


@pytest.mark.parametrize("path", ["/fn/step-limit", "/fn/state-size-limit"])
@pytest.mark.parametrize(
    ("form", "status", "message"),
    [
        ({"functionId": "app-four", "limit": "0"}, 400, "limit must be a number from 1 to "),
        ({"functionId": "app-four", "limit": "99999999"}, 400, "limit must be a number from 1 to "),
        ({"functionId": "app-four"}, 400, "limit must be a number from 1 to "),
        ({"limit": "5"}, 400, "functionId must be the id or the slug"),
        ({"functionId": "none", "limit": "5"}, 404, "function none not found"),
    ],
)
async def test_a_limit_that_cannot_be_set_is_refused(
    start: StartSystem, path: str, form: dict[str, str], status: int, message: str
) -> None:
    async with start(*FUNCTIONS) as system:
        answer = await system.http.post(path, data=form)

    assert status == answer.status_code
    assert answer.json()["error"].startswith(message)

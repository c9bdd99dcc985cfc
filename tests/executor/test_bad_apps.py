"""Apps that do not answer as they should: each is a failed attempt with a clear error, and nothing is lost."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Generator
from typing import Any

import pytest

from stepserve_core._protocol import Response
from tests import regime
from tests.executor.conftest import StartSystem
from tests.executor.raw_app import SDK_HEADERS, Call, Fn, hash_id, reply, run

pytestmark = pytest.mark.anyio

Steps = Generator[Any, Any, Any]
ON_X = [{"event": "test/x"}]


def fine(_: Call) -> Steps:
    return "fine"
    yield


NO_SDK = {"content-type": "text/html"}
OP = {"id": hash_id("a"), "name": "a"}
BAD_ANSWERS: dict[str, tuple[Response, str]] = {
    "HTML with a 200": (Response(200, NO_SDK, b"<html>"), "The response did not come from an Inngest SDK"),
    "JSON without the SDK's header": (Response(200, {}, b"{}"), "The response did not come from an Inngest SDK"),
    "opcodes without the SDK's header": (Response(206, {}, b"[]"), "The response did not come from an Inngest SDK"),
    "HTML with a 500": (
        Response(500, NO_SDK, b"<html>"),
        "Your server returned HTTP 500 before the SDK responded.",
    ),
    "a 404 of a proxy": (Response(404, NO_SDK, b"no"), "Your server returned HTTP 404 before the SDK responded."),
    "an error of the app": (reply(500, {"name": "E", "message": "broken"}), "broken"),
    "an error as text": (Response(500, SDK_HEADERS, b"oops"), "oops"),
    "opcodes that are not JSON": (Response(206, SDK_HEADERS, b"[{"), "the answer is not a list of opcodes"),
    "an unknown opcode": (reply(206, [{**OP, "op": "StepNotFound"}]), "the opcode 'StepNotFound' is not known"),
    "an opcode without id": (reply(206, [{"op": "StepRun"}]), "the opcode StepRun has an id that is not a hash"),
    "an id with quotes": (reply(206, [{"op": "StepRun", "id": '"'}]), "has an id that is not a hash"),
    "an error opcode without error": (reply(206, [{**OP, "op": "StepError"}]), "has no error"),
    "a sleep without a moment": (reply(206, [{**OP, "op": "Sleep", "name": "soon"}]), "neither a duration nor a date"),
    "a number that no double holds": (
        Response(206, SDK_HEADERS, b'[{"op":"StepRun","id":"aa","data":1e999}]'),
        "does not fit a double",
    ),
    "an answer over 8 MiB": (Response(200, SDK_HEADERS, b'"' + b"x" * (8 << 20) + b'"'), "larger than 8388608 bytes"),
}


@pytest.mark.not_under(*regime.REPEATS, reason="its app answers otherwise when it is asked again")
@pytest.mark.parametrize("name", BAD_ANSWERS)
async def test_a_bad_answer_is_a_failed_attempt_that_is_repeated(start: StartSystem, name: str) -> None:
    answer, message = BAD_ANSWERS[name]
    async with start(Fn("f", fine, ON_X)) as system:
        system.app.replies["f"] = _then(system.app.replies, answer)
        run_object = await system.run_of(await system.send("test/x"))
        (entry,) = (await system.trace(run_object["run_id"]))["steps"]
        failed, completed = entry["attempts"]

        assert ("Completed", "fine") == (run_object["status"], run_object["output"])
        assert ("Failed", "Completed") == (failed["status"], completed["status"])
        error = failed["error"]
        assert message in (error if isinstance(error, str) else error["message"])


def _then(replies: dict[str, Callable[[Call], Any]], answer: Response) -> Callable[[Call], Response]:
    """Answer so once, and properly afterwards."""

    def answer_once(_: Call) -> Response:
        del replies["f"]
        return answer

    return answer_once


async def test_a_bad_answer_on_every_attempt_fails_the_run_with_the_reason(start: StartSystem) -> None:
    async with start(Fn("f", fine, ON_X, retries=1)) as system:
        system.app.replies["f"] = lambda _: Response(502, {}, b"Bad Gateway")
        status, output = await system.outcome(await system.send("test/x"))

        message = "Your server returned HTTP 502 before the SDK responded."
        assert ("Failed", {"message": message, "name": "Server returned a fatal error"}) == (status, output)
        assert 2 == len(system.app.calls)


async def test_an_app_that_is_down_is_a_failed_attempt(start: StartSystem) -> None:
    async with start(Fn("f", fine, ON_X, retries=1)) as system:
        system.app.url = "http://127.0.0.1:9"
        await system.http.post("/fn/register", json=system.app.registration())
        status, output = await system.outcome(await system.send("test/x"))

        assert "Failed" == status
        assert "http://127.0.0.1:9?fnId=app-f&stepId=step cannot be reached" in output["message"]


async def test_an_app_that_hangs_is_left_after_the_timeout(start: StartSystem) -> None:
    async with start(Fn("f", fine, ON_X, retries=0), call_timeout=0.05) as system:
        never = asyncio.Event()

        async def hang(_: Call) -> Response:
            await never.wait()
            return reply(200, None)

        system.app.replies["f"] = hang
        status, output = await system.outcome(await system.send("test/x"))
        never.set()

        assert "Failed" == status
        assert "did not answer within 0.05 s" in output["message"]


@pytest.mark.not_under(reason="looks at each request on the wire")
@pytest.mark.parametrize("status", [301, 302, 307, 308])
async def test_a_redirect_is_followed_with_the_same_request(start: StartSystem, status: int) -> None:
    async with start(Fn("f", fine, ON_X)) as system:

        def move_once(call: Call) -> Response:
            del system.app.replies["f"]
            return Response(status, {"location": f"?fnId={call.function}&stepId=step"}, b"")

        system.app.replies["f"] = move_once
        outcome = await system.outcome(await system.send("test/x"))
        first, second = system.app.calls

        assert ("Completed", "fine") == outcome
        assert first.body == second.body


async def test_an_endless_redirect_is_a_failed_attempt(start: StartSystem) -> None:
    async with start(Fn("f", fine, ON_X, retries=0)) as system:
        system.app.replies["f"] = lambda call: Response(307, {"location": f"?fnId={call.function}&stepId=step"}, b"")
        status, output = await system.outcome(await system.send("test/x"))

        assert "Failed" == status
        assert "redirects more than 60 times" in output["message"]


async def test_a_step_output_over_4_mib_fails_the_step(start: StartSystem) -> None:
    def script(_: Call) -> Steps:
        yield run("big", "x" * (4 << 20))

    async with start(Fn("f", script, ON_X, retries=0)) as system:
        status, output = await system.outcome(await system.send("test/x"))

        assert ("Failed", "OutputTooLarge") == (status, output["name"])


async def test_a_run_stops_at_1000_steps(start: StartSystem) -> None:
    def script(_: Call) -> Steps:
        yield run("a")

    async with start(Fn("f", script, ON_X)) as system:
        system.app.replies["f"] = lambda call: reply(
            206, [{"op": "StepRun", "id": f"{len(call.memos) + n:x}", "data": n} for n in range(500)]
        )
        status, output = await system.outcome(await system.send("test/x"))

        assert ("Failed", "InngestErrFunctionOverflowed") == (status, output["name"])
        assert "exceeded the step limit of 1000 steps" in output["message"]


async def test_state_over_the_body_limit_is_fetched_by_the_app(start: StartSystem) -> None:
    def script(_: Call) -> Steps:
        yield run("a", "x" * (3 << 20))
        yield run("b", "y" * (2 << 20))
        return "never reached with the body alone"

    async with start(Fn("f", script, ON_X)) as system:

        async def fetch(call: Call) -> Response:
            if not call.body["use_api"]:
                from tests.executor.raw_app import replay

                return replay(script, call)
            run_id = call.body["ctx"]["run_id"]
            actions = (await system.http.get(f"/v0/runs/{run_id}/actions")).json()
            events = (await system.http.get(f"/v0/runs/{run_id}/batch")).json()
            lengths = sorted(len(memo["data"]) for memo in actions.values())
            return reply(200, [lengths, [event["name"] for event in events], call.memos])

        system.app.replies["f"] = fetch
        run_object = await system.run_of(await system.send("test/x"))

        assert [[2 << 20, 3 << 20], ["test/x"], {}] == run_object["output"]
        gone = await system.http.get(f"/v0/runs/{run_object['run_id']}/actions")
        assert (410, 410) == (gone.status_code, gone.json()["status"])

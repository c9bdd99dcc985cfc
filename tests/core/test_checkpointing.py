"""Checkpointing in the SDK, against a checkpoint API that answers as it is told (protocol.md 13.1)."""

from __future__ import annotations

import dataclasses
import json
import time
from collections.abc import Callable
from typing import Any

import pytest

import stepserve_core as core
from stepserve_core import Checkpointing, _checkpoint_api
from tests.core.calls import Reply, call_body, define, dev_client, hashed, make_handler, post, serve
from tests.core.colours import COLOURS, Body
from tests.core.local_server import LocalServer
from tests.core.local_server import Reply as Answer

REFERENCE = {"fn_id": "6f0b9d7e-0000-4000-a000-000000000001", "qi_id": "cWk=", "request_id": "01R", "generation_id": 3}
OK, REFUSED, STALE = Answer(200, b""), Answer(400, b'{"error":"no"}'), Answer(409, b'{"error":"stale dispatch"}')
BATCH = Checkpointing(batch_steps=10)

pytestmark = pytest.mark.parametrize("colour", COLOURS)


class API:
    """A checkpoint API: what it saved, and how often it was asked."""

    def __init__(self, *answers: Answer) -> None:
        self.saved: list[dict[str, Any]] = []
        self.bodies: list[dict[str, Any]] = []
        self._answers = list(answers) or [OK]
        self.server = LocalServer(self._answer)

    def _answer(self, request: Any) -> Answer:
        answer = self._answers.pop(0) if len(self._answers) > 1 else self._answers[0]
        body = request.json()
        self.bodies.append(body)
        if answer.status == 200:
            self.saved += body["steps"]
        return answer

    @property
    def names(self) -> list[str]:
        return [step["displayName"] for step in self.saved]


def call(
    colour: str, body: Body, api: API, settings: bool | Checkpointing = True, *, target: str = "step", **options: Any
) -> Reply:
    """Call a function once, in an app whose server is `api`."""
    fields = {name: options.pop(name) for name in ("attempt", "steps", "max_attempts", "plan_only") if name in options}
    reference = options.pop("reference", REFERENCE)
    middleware, headers = options.pop("middleware", ()), options.pop("headers", None)
    request = call_body(**fields)
    request["ctx"].update(reference)
    with api.server:
        client = dev_client(api_base_url=api.server.origin, middleware=middleware)
        handler = make_handler(client, define(client, colour, body, checkpointing=settings, **options))
        wanted = post("app-f", json.dumps(request).encode(), target=target, headers=headers)
        return serve(handler, wanted, entry="handle" if colour == "sync" else "ahandle")


async def three(ctx: Any) -> Any:
    return [await ctx.step.run(name, lambda name=name: name) for name in "abc"]


def names(reply: Reply) -> list[tuple[str, str]]:
    return [(op["op"], op["displayName"]) for op in reply.json]


@pytest.mark.parametrize(
    ("settings", "calls", "rest"),
    [
        (True, [["a"], ["b"], ["c"]], []),
        (Checkpointing(batch_steps=2), [["a", "b"]], [("StepRun", "c")]),
        (BATCH, [], [("StepRun", "a"), ("StepRun", "b"), ("StepRun", "c")]),
    ],
)
def test_steps_are_saved_in_batches_and_the_rest_goes_out_with_the_result(
    colour: str, settings: bool | Checkpointing, calls: list[list[str]], rest: list[tuple[str, str]]
) -> None:
    api = API()
    reply = call(colour, three, api, settings)

    assert calls == [[step["displayName"] for step in body["steps"]] for body in api.bodies]
    if rest:
        assert (206, [*rest, ("RunComplete", "complete")]) == (reply.status, names(reply))
        assert ["a", "b", "c"] == reply.json[-1]["data"]
    else:
        assert (200, ["a", "b", "c"]) == (reply.status, reply.json)


def test_a_checkpoint_names_its_call_and_says_when_the_step_was_executed(colour: str) -> None:
    api = API()

    async def one(ctx: Any) -> Any:
        return await ctx.step.run("a", lambda: {"n": 1})

    call(colour, one, api)
    (sent,) = api.bodies
    (step,) = sent.pop("steps")
    timing = step.pop("timing")

    assert {**REFERENCE, "run_id": "01HRUN"} == {key: sent[key] for key in (*REFERENCE, "run_id")}
    assert sent["request_started_at"] * 1_000_000 - 1_000_000 <= timing["a"] <= (sent["ts"] + 1) * 1_000_000
    assert timing["b"] >= 0
    assert {
        "id": hashed("a"),
        "op": "StepRun",
        "name": "a",
        "displayName": "a",
        "data": {"n": 1},
        "opts": None,
        "userland": {"id": "a", "index": None},
    } == step


@pytest.mark.parametrize(("text", "generation"), [("7", 7), ("", 0), ("seven", 0), ("-1", 0), ("9" * 30, 0)])
def test_the_generation_of_a_call_may_be_a_header_and_is_whichever_it_is_where_that_is_no_number(
    colour: str, text: str, generation: int
) -> None:
    api = API()
    reference = {name: value for name, value in REFERENCE.items() if name != "generation_id"}
    reply = call(colour, three, api, reference=reference, headers={"x-inngest-generation-id": text})

    assert 200 == reply.status
    assert [generation] * 3 == [body["generation_id"] for body in api.bodies]


@pytest.mark.parametrize(
    "options",
    [
        {"target": hashed("a")},
        {"plan_only": True},
        {"reference": {**REFERENCE, "qi_id": ""}},
        {"reference": {"generation_id": 3}},
        {"settings": False},
        {"attempt": 1},
    ],
    ids=["targeted", "plans only", "no queue item", "no ids", "off", "second attempt"],
)
def test_without_the_preconditions_each_step_is_an_answer(colour: str, options: dict[str, Any]) -> None:
    api = API()
    reply = call(colour, three, api, **options)

    assert 1 == len(reply.json)
    assert [] == api.bodies


@pytest.mark.parametrize(
    ("attempt", "saved", "answered"), [(0, ["a"], [("StepPlanned", "b")]), (1, [], [("StepRun", "a")])]
)
def test_a_call_executes_the_step_that_it_was_made_for_however_late_it_is_reached(
    colour: str, attempt: int, saved: list[str], answered: list[tuple[str, str]]
) -> None:
    """A step that is left to another call gets its attempts anew; and that call may take as long to reach it."""

    async def body(ctx: Any) -> Any:
        ends_at = time.monotonic() + 0.002
        while time.monotonic() < ends_at:
            pass
        return await three(ctx)

    api = API()
    reply = call(colour, body, api, Checkpointing(max_runtime=1), attempt=attempt)

    assert (saved, answered) == (api.names, names(reply))


@pytest.mark.parametrize("answer", [REFUSED, Answer(200, b"<html>Log in</html>")], ids=["refused", "not the server"])
@pytest.mark.parametrize("settings", [True, BATCH])
def test_what_cannot_be_saved_is_the_answer(colour: str, settings: bool | Checkpointing, answer: Answer) -> None:
    executed: list[str] = []

    async def body(ctx: Any) -> Any:
        for name in "ab":
            await ctx.step.run(name, executed.append, name)
        await ctx.step.sleep("nap", 1000)

    reply = call(colour, body, API(answer), settings)
    done = executed[:1] if settings is True else executed

    assert (206, [("StepRun", name) for name in done]) == (reply.status, names(reply))


def test_an_error_waits_until_the_steps_before_it_are_saved(colour: str) -> None:
    async def body(ctx: Any) -> Any:
        await ctx.step.run("a", lambda: 1)
        await ctx.step.run("b", lambda: 1 / 0)

    saved, refused = API(), API(REFUSED)

    assert [("StepError", "b")] == names(call(colour, body, saved, BATCH))
    assert ["a"] == saved.names
    assert [("StepRun", "a")] == names(call(colour, body, refused, BATCH))


def test_a_failed_background_flush_loses_nothing(colour: str) -> None:
    executed: list[str] = []

    async def body(ctx: Any) -> Any:
        for name in "abcdefgh":
            await ctx.step.run(name, executed.append, name)

    reply = call(colour, body, API(REFUSED), Checkpointing(batch_steps=2))
    done = [("StepRun", name) for name in executed]

    assert done == [op for op in names(reply) if op[0] == "StepRun"]
    assert len(done) >= 2


@pytest.mark.parametrize("status", [503, 429])
def test_server_errors_are_tried_again(colour: str, status: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_checkpoint_api, "ATTEMPTS", 2)
    api = API(Answer(status), OK)
    reply = call(colour, three, api)

    assert (200, 4, ["a", "b", "c"]) == (reply.status, len(api.bodies), api.names)


def test_no_further_attempt_begins_when_a_step_has_waited_long_enough(
    colour: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_checkpoint_api, "PATIENCE", 0.0)
    api = API(Answer(503))
    reply = call(colour, three, api)

    assert ([("StepRun", "a")], 1) == (names(reply), len(api.bodies))


@pytest.mark.parametrize("answer", [Answer(404), Answer(drop=True)], ids=["not offered", "dead"])
def test_a_server_without_checkpoints_is_left_alone_for_a_while(
    colour: str, monkeypatch: pytest.MonkeyPatch, answer: Answer
) -> None:
    monkeypatch.setattr(_checkpoint_api, "ATTEMPTS", 1)
    api = API(answer)
    with api.server:
        client = dev_client(api_base_url=api.server.origin)
        handler = make_handler(client, define(client, colour, three, checkpointing=True))
        request = call_body()
        request["ctx"].update(REFERENCE)
        replies = [
            serve(
                handler, post("app-f", json.dumps(request).encode()), entry="handle" if colour == "sync" else "ahandle"
            )
            for _ in range(2)
        ]

    assert [[("StepRun", "a")]] * 2 == [names(reply) for reply in replies]
    assert 1 == len(api.server.requests)


@dataclasses.dataclass
class Order:
    number: int
    tags: list[str]


def test_a_typed_output_is_rebuilt_as_on_replay(colour: str) -> None:
    seen: list[object] = []

    def load() -> Order:
        return Order(1, ["x"])

    made: list[object] = []

    def load_noted() -> Order:
        made.append(load())
        return made[0]  # type: ignore[return-value]

    async def body(ctx: Any) -> Any:
        seen.append(await ctx.step.run("typed", load_noted))
        seen.append(await ctx.step.run("plain", lambda: (1, {2: "two"})))

    call(colour, body, API())

    assert [Order(1, ["x"]), [1, {"2": "two"}]] == seen
    assert seen[0] is not made[0]


@pytest.mark.parametrize("settings", [True, BATCH])
def test_an_output_that_json_cannot_carry_is_an_error_that_says_where(
    colour: str, settings: bool | Checkpointing
) -> None:
    async def body(ctx: Any) -> Any:
        await ctx.step.run("good", lambda: 1)
        await ctx.step.run("bad", lambda: {"x": float("nan")})

    api = API()
    reply = call(colour, body, api, settings)

    assert (500, "OutputUnserializableError", ["good"]) == (reply.status, reply.json["name"], api.names)
    assert "step 'bad'" in reply.json["message"]


def test_a_large_output_is_saved_at_once(colour: str) -> None:
    async def body(ctx: Any) -> Any:
        await ctx.step.run("small", lambda: 1)
        await ctx.step.run("large", lambda: "x" * 300_000)
        await ctx.step.sleep("nap", 1000)

    api = API()
    reply = call(colour, body, api, BATCH)

    assert [["small"], ["large"]] == [[step["displayName"] for step in body["steps"]] for body in api.bodies]
    assert [("Sleep", "nap")] == names(reply)


def test_no_more_waits_to_be_saved_than_an_answer_holds(colour: str) -> None:
    """What waits goes out with an answer where it cannot be saved; with a result, only a small rest does."""

    async def body(ctx: Any) -> Any:
        for name in "abcd":
            await ctx.step.run(name, lambda: "x" * 100_000)

    api = API()
    reply = call(colour, body, api, BATCH)

    assert [["a", "b", "c"], ["d"]] == [[step["displayName"] for step in body["steps"]] for body in api.bodies]
    assert (200, None) == (reply.status, reply.json)


def recording(trace: list[str]) -> Callable[..., core.Middleware]:
    class Recorder(core.Middleware):
        def transform_input(self, ctx: Any, function: Any, steps: Any) -> None:
            trace.append("ti")

        def before_execution(self) -> None:
            trace.append("be")

        def after_execution(self) -> None:
            trace.append("ae")

        def before_report(self, steps: Any) -> None:
            trace.append(f"report {[step.id for step in steps]}")

        def transform_output(self, result: Any) -> None:
            trace.append(f"to {result.step.id if result.step else None}")

        def before_response(self) -> None:
            trace.append("br")

    return Recorder


def test_hooks_run_once_for_each_step_and_once_for_the_call(colour: str) -> None:
    trace: list[str] = []

    async def body(ctx: Any) -> Any:
        await ctx.step.run("a", lambda: 1)
        await ctx.step.run("b", lambda: 2)

    call(colour, body, API(), BATCH, middleware=[recording(trace)])

    per_step = [[f"ae report ['{name}'] to {name}"] for name in "ab"]
    flat = " ".join(part for parts in per_step for part in parts)
    assert f"ti be {flat} ae to None br" == " ".join(trace)


class Wrapping(core.Middleware):
    """Changes outputs, and takes the change back from memos, as encryption does."""

    def transform_input(self, ctx: Any, function: Any, steps: Any) -> None:
        for memo in steps.values():
            memo.data = memo.data["wrapped"]

    def transform_output(self, result: Any) -> None:
        if result.step is not None and result.error is None:
            result.output = {"wrapped": result.output}


def test_outputs_are_saved_as_middleware_made_them_and_seen_as_it_gives_them_back(colour: str) -> None:
    seen: list[object] = []

    async def body(ctx: Any) -> Any:
        seen.append(await ctx.step.run("a", lambda: ("secret",)))

    api = API()
    call(colour, body, api, middleware=[Wrapping])

    assert [["secret"]] == seen
    assert {"wrapped": ["secret"]} == api.saved[0]["data"]


def test_an_error_of_a_hook_ends_the_call_after_the_steps_before_it_were_saved(colour: str) -> None:
    class Failing(core.Middleware):
        def transform_output(self, result: Any) -> None:
            if result.step is not None and result.step.id == "b":
                raise ValueError("no b")

    api = API()
    reply = call(colour, three, api, BATCH, middleware=[Failing])

    assert (500, "no b", ["a"]) == (reply.status, reply.json["message"], api.names)


def test_an_error_that_middleware_makes_of_a_step_is_the_answer(colour: str) -> None:
    class Refusing(core.Middleware):
        def transform_output(self, result: Any) -> None:
            if result.step is not None and result.step.id == "b":
                result.error = ValueError("no b")

    api = API()
    reply = call(colour, three, api, middleware=[Refusing])

    assert ([("StepError", "b")], ["a"]) == (names(reply), api.names)


def test_steps_of_parallel_groups_are_planned_after_what_came_before_was_saved(colour: str) -> None:
    async def body(ctx: Any) -> Any:
        await ctx.step.run("first", lambda: 1)
        await ctx.group.parallel((lambda: ctx.step.run("a", lambda: 1), lambda: ctx.step.run("b", lambda: 2)))

    api = API()
    reply = call(colour, body, api, BATCH)

    assert (["first"], [("StepPlanned", "a"), ("StepPlanned", "b")]) == (api.names, names(reply))


def test_a_failed_function_is_reported_after_its_steps_were_saved(colour: str) -> None:
    async def body(ctx: Any) -> Any:
        await ctx.step.run("a", lambda: 1)
        raise ValueError("boom")

    api = API()
    reply = call(colour, body, api, BATCH)

    assert (500, "boom", ["a"]) == (reply.status, reply.json["message"], api.names)


def test_nested_steps_are_refused_as_ever(colour: str) -> None:
    async def body(ctx: Any) -> Any:
        await ctx.step.run("a", lambda: 1)
        await ctx.step.run("outer", lambda: ctx.step.run("inner", lambda: 1))

    reply = call(colour, body, API())

    assert [("StepError", "outer")] == names(reply)
    assert "step_nested" == reply.json[0]["error"]["code"]

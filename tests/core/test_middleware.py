"""Hooks: which are called, in which order, with what, and what becomes of what they change (protocol.md section 9)."""

from __future__ import annotations

import functools
import json
from typing import Any

import pytest

import stepserve_core as core
from stepserve_core._opcodes import Opcode
from tests.core import local_server
from tests.core.calls import EVENT, Reply, call, call_body, define, dev_client, hashed, make_handler, post, serve
from tests.core.colours import hook

IDS = b'{"ids":["e1"],"status":200}'


def recording(colour: str, log: list[str], tag: str = "") -> type[core.Middleware]:
    """Return middleware that writes down which of its hooks are called."""

    def note(name: str) -> Any:
        def called(self: Any, *args: object) -> None:
            del self, args
            log.append(f"{tag}{name}")

        return hook(colour, called)

    short = {
        "transform_input": "ti",
        "before_execution": "be",
        "before_send_events": "bs",
        "after_send_events": "as",
        "after_execution": "ae",
        "transform_output": "to",
        "before_response": "br",
    }
    return type("Recording", (core.Middleware,), {name: note(text) for name, text in short.items()})


def traced(colour: str, body: Any, **fields: Any) -> tuple[Reply, list[str]]:
    """Call a function that has one recording middleware; return the order of its hooks."""
    log: list[str] = []
    return call(colour, body, client=dev_client(middleware=[recording(colour, log)]), **fields), log


async def returns(ctx: Any) -> str:
    """Return at once."""
    del ctx
    return "done"


async def raises(ctx: Any) -> None:
    """Fail at once."""
    del ctx
    raise ValueError("boom")


async def runs_a_step(ctx: Any) -> object:
    """Use a step."""
    return await ctx.step.run("a", lambda: 1)


async def fails_in_a_step(ctx: Any) -> object:
    """Fail in a step."""
    return await ctx.step.run("a", functools.partial(dict[str, str]().__getitem__, "key"))


async def plans(ctx: Any) -> object:
    """Use a group."""
    return await ctx.group.parallel((lambda: ctx.step.run("a", lambda: 1), lambda: ctx.step.run("b", lambda: 2)))


async def sleeps(ctx: Any) -> object:
    """Sleep."""
    return await ctx.step.sleep("a", 1000)


# Orders (9.2)


@pytest.mark.parametrize(
    ("body", "fields", "expected"),
    [
        (returns, {}, "ti be ae to br"),
        (raises, {}, "ti be to br"),
        (runs_a_step, {}, "ti be ae to br"),
        (fails_in_a_step, {}, "ti be ae to br"),
        (sleeps, {}, "ti be ae to br"),
        (plans, {}, "ti be ae br"),
        (plans, {"target": hashed("b"), "plan_only": True}, "ti be ae to br"),
        (runs_a_step, {"plan_only": True}, "ti be ae to br"),
        (runs_a_step, {"steps": {hashed("a"): {"data": 1}}}, "ti be ae to br"),
        (runs_a_step, {"steps": {hashed("gone"): {"data": 1}}}, "ti be ae to br"),
        (returns, {"steps": {hashed("gone"): {"data": 1}}}, "ti ae to br"),
        (runs_a_step, {"steps": {hashed("a"): {"error": {"name": "X", "message": "m"}}}}, "ti be to br"),
    ],
)
def test_the_order_of_hooks(colour: str, body: Any, fields: dict[str, Any], expected: str) -> None:
    assert expected.split() == traced(colour, body, **fields)[1]


def test_before_execution_comes_when_the_last_memo_has_been_seen(colour: str) -> None:
    log: list[str] = []

    async def body(ctx: Any) -> object:
        log.append("start")
        await ctx.step.run("a", lambda: 1)
        log.append("after a")
        await ctx.step.run("b", lambda: 1)
        log.append("after b")
        return await ctx.step.run("c", lambda: log.append("c"))

    steps = {hashed("a"): {"data": 1}, hashed("b"): {"data": 1}}
    call(colour, body, client=dev_client(middleware=[recording(colour, log)]), steps=steps)

    assert ["ti", "start", "after a", "be", "after b", "c", "ae", "to", "br"] == log


def test_middleware_of_the_client_stands_around_that_of_the_function(colour: str) -> None:
    log: list[str] = []
    client = dev_client(middleware=[recording(colour, log, "1")])
    client.add_middleware(recording(colour, log, "2"))

    call(colour, returns, client=client, options={"middleware": [recording(colour, log, "3")]})

    assert [
        "1ti",
        "2ti",
        "3ti",
        "1be",
        "2be",
        "3be",
        "3ae",
        "2ae",
        "1ae",
        "3to",
        "2to",
        "1to",
        "1br",
        "2br",
        "3br",
    ] == log


@pytest.mark.parametrize("how", ["step", "client"])
def test_the_hooks_around_sending_are_called_once(colour: str, how: str) -> None:
    log: list[str] = []
    with local_server.serving(local_server.Reply(200, IDS)) as server:
        client = dev_client(
            event_api_base_url=server.origin,
            middleware=[recording(colour, log, "1"), recording(colour, log, "2")],
        )

        async def body(ctx: Any) -> object:
            if how == "step":
                return await ctx.step.send_event("a", core.Event(name="x"))
            event = core.Event(name="x")
            return await client.send(event) if colour == "async" else client.send_sync(event)

        reply = call(colour, body, client=client)

    sending = "1bs 2bs 2as 1as"
    assert f"1ti 2ti 1be 2be {sending} 2ae 1ae 2to 1to 1br 2br".split() == log
    assert ["e1"] == (reply.json[0]["data"] if how == "step" else reply.json)
    assert 1 == len(server.requests)


def test_sending_may_skip_middleware() -> None:
    log: list[str] = []
    with local_server.serving(local_server.Reply(200, IDS)) as server:
        client = dev_client(event_api_base_url=server.origin, middleware=[recording("sync", log)])

        assert ["e1"] == client.send_sync(core.Event(name="x"), skip_middleware=True)

    assert [] == log


def test_the_failure_handler_has_the_same_middleware(colour: str) -> None:
    log: list[str] = []
    client = dev_client(middleware=[recording(colour, log)])
    from tests.core.colours import in_colour

    function = define(client, colour, returns, on_failure=in_colour(colour, runs_a_step))
    handler = make_handler(client, function)
    request = post("app-f-failure", json.dumps(call_body()).encode())

    reply = serve(handler, request, entry="handle" if colour == "sync" else "ahandle")

    assert (206, "a") == (reply.status, reply.json[0]["displayName"])
    assert ["ti", "be", "ae", "to", "br"] == log


# What hooks are given, and may change


def with_hook(colour: str, name: str, plain: Any) -> core.Inngest:
    """Return a client with middleware that has one hook."""
    return dev_client(middleware=[type("One", (core.Middleware,), {name: hook(colour, plain)})])


def test_middleware_is_made_for_each_request_and_knows_client_and_request(colour: str) -> None:
    made: list[Any] = []

    class Keeping(core.Middleware):
        def __init__(self, client: core.Inngest, raw_request: object) -> None:
            super().__init__(client, raw_request)
            made.append(self)

    client = dev_client(middleware=[Keeping])
    handler = make_handler(client, define(client, colour, returns))
    for raw in ("first", "second"):
        request = post("app-f", json.dumps(call_body()).encode())
        request.raw = raw
        serve(handler, request, entry="handle" if colour == "sync" else "ahandle")

    assert [(client, "first"), (client, "second")] == [(one.client, one.raw_request) for one in made]


def test_a_factory_does_as_well_as_a_class(colour: str) -> None:
    log: list[str] = []
    kind = recording(colour, log)

    call(colour, returns, client=dev_client(middleware=[functools.partial(kind)]))

    assert ["ti", "be", "ae", "to", "br"] == log


def test_transform_input_may_change_the_event(colour: str) -> None:
    def change(self: Any, ctx: Any, function: Any, steps: core.StepMemos) -> None:
        assert (function.local_id, steps.size) == ("f", 0)
        ctx.event.data["added"] = True
        ctx.events = [*ctx.events, core.Event(name="more")]

    async def body(ctx: Any) -> object:
        return [ctx.event.data, [event.name for event in ctx.events]]

    reply = call(colour, body, client=with_hook(colour, "transform_input", change))

    assert [{"n": 1, "added": True}, ["shop/order", "more"]] == reply.json


def test_transform_input_may_replace_the_event(colour: str) -> None:
    def change(self: Any, ctx: Any, function: Any, steps: core.StepMemos) -> None:
        ctx.event = core.Event(name="other", data={"x": 1})

    async def body(ctx: Any) -> object:
        return [ctx.event.name, ctx.event.data]

    assert ["other", {"x": 1}] == call(colour, body, client=with_hook(colour, "transform_input", change)).json


Seen = list[tuple[Any, ...]]


def seeing(colour: str, seen: Seen) -> core.Inngest:
    """Return a client with middleware that writes down what `transform_output` is given."""

    def see(self: Any, result: core.TransformOutputResult) -> None:
        step = result.step and (result.step.id, result.step.op, result.step.opts)
        seen.append((type(result.error).__name__, result.has_output(), result.has_output() and result.output, step))

    return with_hook(colour, "transform_output", see)


@pytest.mark.parametrize(
    ("body", "fields", "expected"),
    [
        (returns, {}, ("NoneType", True, "done", None)),
        (raises, {}, ("ValueError", False, False, None)),
        (runs_a_step, {}, ("NoneType", True, 1, ("a", Opcode.STEP_RUN, None))),
        (fails_in_a_step, {}, ("KeyError", True, None, ("a", Opcode.STEP_ERROR, None))),
        (fails_in_a_step, {"attempt": 3}, ("KeyError", True, None, ("a", Opcode.STEP_FAILED, None))),
        (sleeps, {}, ("NoneType", True, None, ("a", Opcode.SLEEP, None))),
        (runs_a_step, {"plan_only": True}, ("NoneType", True, None, ("a", Opcode.PLANNED, None))),
    ],
)
def test_what_transform_output_is_given(
    colour: str, body: Any, fields: dict[str, Any], expected: tuple[Any, ...]
) -> None:
    seen: Seen = []

    call(colour, body, client=seeing(colour, seen), **fields)

    assert [expected] == seen


def replacing(colour: str, **changes: Any) -> core.Inngest:
    """Return a client with middleware that sets fields of the result."""

    def change(self: Any, result: core.TransformOutputResult) -> None:
        for name, value in changes.items():
            setattr(result, name, value)

    return with_hook(colour, "transform_output", change)


def test_the_output_of_a_step_may_be_replaced(colour: str) -> None:
    reply = call(colour, runs_a_step, client=replacing(colour, output={"hidden": True}))

    assert (206, {"hidden": True}) == (reply.status, reply.json[0]["data"])


def test_the_output_of_a_function_may_be_replaced(colour: str) -> None:
    assert (200, {"hidden": True}) == call(colour, returns, client=replacing(colour, output={"hidden": True}))[:2]


def test_the_error_of_a_step_may_be_replaced_and_decides_about_retries(colour: str) -> None:
    reply = call(colour, fails_in_a_step, client=replacing(colour, error=core.NonRetriableError("never")))

    (op,) = reply.json
    assert ("StepError", "never", "non_retriable_error") == (op["op"], op["error"]["message"], op["error"]["code"])
    assert "true" == reply.headers["x-inngest-no-retry"]


def test_the_error_of_a_function_may_be_replaced_and_decides_about_retries(colour: str) -> None:
    reply = call(colour, raises, client=replacing(colour, error=core.NonRetriableError("never")))

    assert (500, "never", "true") == (reply.status, reply.json["message"], reply.headers["x-inngest-no-retry"])


def test_a_function_that_raised_may_be_made_to_return(colour: str) -> None:
    assert (200, "rescued") == call(colour, raises, client=replacing(colour, error=None, output="rescued"))[:2]


def test_a_function_whose_error_was_taken_away_returns_none(colour: str) -> None:
    assert (200, None) == call(colour, raises, client=replacing(colour, error=None))[:2]


def test_a_function_that_returned_may_be_made_to_fail(colour: str) -> None:
    reply = call(colour, returns, client=replacing(colour, error=ValueError("refused")))

    assert (500, "refused") == (reply.status, reply.json["message"])


def test_a_step_that_failed_may_be_made_to_succeed(colour: str) -> None:
    (op,) = call(colour, fails_in_a_step, client=replacing(colour, error=None, output="rescued")).json

    assert ("StepRun", "rescued", False) == (op["op"], op["data"], "error" in op)


@pytest.mark.parametrize(("attempt", "opcode"), [(0, "StepError"), (3, "StepFailed")])
def test_a_step_that_succeeded_may_be_made_to_fail(colour: str, attempt: int, opcode: str) -> None:
    client = replacing(colour, error=ValueError("refused"))

    (op,) = call(colour, runs_a_step, client=client, attempt=attempt, max_attempts=4).json

    assert (opcode, "refused", None) == (op["op"], op["error"]["message"], op["data"])


def test_an_output_that_middleware_made_unserializable_is_reported(colour: str) -> None:
    reply = call(colour, runs_a_step, client=replacing(colour, output=object()))

    assert (500, "output_unserializable") == (reply.status, reply.json["code"])


def test_the_data_of_an_invocation_may_be_changed(colour: str) -> None:
    def change(self: Any, result: core.TransformOutputResult) -> None:
        assert result.step is not None
        assert result.step.opts is not None
        result.step.opts["payload"]["data"] = "hidden"  # type: ignore[index] # the payload is a dict

    async def body(ctx: Any) -> object:
        return await ctx.step.invoke_by_id("a", function_id="g", data={"secret": 1})

    (op,) = call(colour, body, client=with_hook(colour, "transform_output", change)).json

    assert {"data": "hidden", "v": None} == op["opts"]["payload"]


def test_events_may_be_changed_before_they_are_sent(colour: str) -> None:
    def change(self: Any, events: list[core.Event]) -> None:
        events[0].data = {"hidden": True}
        events.append(core.Event(name="added"))

    async def body(ctx: Any) -> object:
        return await ctx.step.send_event("a", [core.Event(name="x", data={"secret": 1})])

    with local_server.serving(local_server.Reply(200, IDS)) as server:
        client = with_hook(colour, "before_send_events", change)
        sending = dev_client(event_api_base_url=server.origin, middleware=client.middleware)
        call(colour, body, client=sending)

    sent: Any = server.requests[0].json()
    assert [("x", {"hidden": True}), ("added", {})] == [(event["name"], event["data"]) for event in sent]


@pytest.mark.parametrize(
    ("answer", "ids", "error"),
    [
        (local_server.Reply(200, b'{"ids":["e1","e2"]}'), ["e1", "e2"], None),
        (local_server.Reply(400, b'{"ids":["e1"],"error":"bad event"}'), ["e1"], "bad event"),
    ],
)
def test_what_came_of_sending_is_told(
    colour: str, answer: local_server.Reply, ids: list[str], error: str | None
) -> None:
    seen: list[core.SendEventsResult] = []

    def see(self: Any, result: core.SendEventsResult) -> None:
        seen.append(result)

    async def body(ctx: Any) -> object:
        return await ctx.step.send_event("a", core.Event(name="x"))

    with local_server.serving(answer) as server:
        client = with_hook(colour, "after_send_events", see)
        call(colour, body, client=dev_client(event_api_base_url=server.origin, middleware=client.middleware))

    assert [(ids, error)] == [(result.ids, result.error) for result in seen]


# Before a report: a hook of ours


@pytest.mark.parametrize(("body", "expected"), [(returns, []), (sleeps, ["a"]), (plans, ["a", "b"])])
def test_every_step_that_is_reported_is_seen_also_those_of_a_group(colour: str, body: Any, expected: list[str]) -> None:
    seen: list[str] = []

    def see(self: Any, steps: list[core.TransformOutputStepInfo]) -> None:
        seen.extend(step.id for step in steps)

    call(colour, body, client=with_hook(colour, "before_report", see))

    assert expected == seen


def test_the_options_of_reported_steps_may_be_changed(colour: str) -> None:
    def change(self: Any, steps: list[core.TransformOutputStepInfo]) -> None:
        for step in steps:
            assert step.opts is not None
            step.opts["payload"] = {"data": {"hidden": step.id}}

    async def body(ctx: Any) -> object:
        invoke = ctx.step.invoke_by_id
        return await ctx.group.parallel((lambda: invoke("a", function_id="g"), lambda: invoke("b", function_id="g")))

    ops = call(colour, body, client=with_hook(colour, "before_report", change)).json

    assert [{"hidden": "a"}, {"hidden": "b"}] == [op["opts"]["payload"]["data"] for op in ops]


def test_middleware_of_the_official_package_needs_no_hook_of_ours(colour: str) -> None:
    log: list[str] = []
    hooks = {name: value for name, value in vars(recording(colour, log)).items() if not name.startswith("__")}
    foreign = type("Foreign", (), {"__init__": lambda self, client, raw: None, **hooks})

    assert 206 == call(colour, sleeps, client=dev_client(middleware=[foreign])).status
    assert ["ti", "be", "ae", "to", "br"] == log


# Errors in hooks (9.3)


@pytest.mark.parametrize(
    ("name", "body", "steps"),
    [
        ("transform_input", returns, {}),
        ("before_execution", returns, {}),
        ("before_execution", runs_a_step, {hashed("a"): {"data": 1}}),
        ("before_execution", runs_a_step, {hashed("gone"): {"data": 1}}),
        ("before_execution", plans, {hashed("gone"): {"data": 1}}),
        ("after_execution", returns, {}),
        ("after_execution", runs_a_step, {}),
        ("transform_output", returns, {}),
        ("transform_output", runs_a_step, {}),
        ("transform_output", raises, {}),
        ("before_response", returns, {}),
        ("before_response", plans, {}),
    ],
)
def test_an_error_in_a_hook_is_the_answer(colour: str, name: str, body: Any, steps: dict[str, Any]) -> None:
    def fail(self: Any, *args: object) -> None:
        raise RuntimeError(f"{name} failed")

    async def careful(ctx: Any) -> object:
        try:
            return await body(ctx)
        except RuntimeError:
            return "swallowed"

    reply = call(colour, careful, client=with_hook(colour, name, fail), steps=steps)

    assert (500, "RuntimeError", f"{name} failed") == (reply.status, reply.json["name"], reply.json["message"])
    assert "x-inngest-sdk" in reply.headers


@pytest.mark.parametrize(
    ("name", "expected"),
    [("transform_input", "ti to br"), ("before_execution", "ti be to br"), ("after_execution", "ti be ae to br")],
)
def test_transform_output_learns_of_an_error_in_a_hook_before_it(colour: str, name: str, expected: str) -> None:
    log: list[str] = []
    seen: list[core.TransformOutputResult] = []

    def fail(self: Any, *args: object) -> None:
        raise RuntimeError(name)

    failing = type("Failing", (core.Middleware,), {name: hook(colour, fail)})
    seeing = type(
        "Seeing", (core.Middleware,), {"transform_output": hook(colour, lambda self, result: seen.append(result))}
    )
    # Hooks after the function are called in reverse order, so the one that fails stands last or first.
    others = [recording(colour, log), seeing]
    order = [failing, *others] if name == "after_execution" else [*others, failing]
    call(colour, runs_a_step, client=dev_client(middleware=order))

    assert expected.split() == log
    assert [(name, None, False)] == [(str(result.error), result.step, result.has_output()) for result in seen]


def test_an_error_of_before_response_says_whether_to_retry_and_where_it_was_raised(colour: str) -> None:
    def fail(self: Any) -> None:
        raise core.NonRetriableError("too late")

    reply = call(colour, returns, client=with_hook(colour, "before_response", fail))

    assert (500, "too late", "true") == (reply.status, reply.json["message"], reply.headers["x-inngest-no-retry"])
    assert "in fail" in reply.json["stack"]


def test_the_other_hooks_are_called_when_one_fails(colour: str) -> None:
    log: list[str] = []

    class Failing(recording(colour, log)):  # type: ignore[misc] # a class made on the spot
        def fail(self, *args: object) -> None:
            raise RuntimeError

        transform_input = hook(colour, fail)

    call(colour, returns, client=dev_client(middleware=[Failing, recording(colour, log)]))

    assert "br" == log[-1]


@pytest.mark.parametrize(
    "name", ["transform_input", "before_execution", "after_execution", "transform_output", "before_response"]
)
def test_an_async_hook_under_a_sync_function_is_refused_by_name(name: str) -> None:
    async def waiting(self: Any, *args: object) -> None:
        raise AssertionError("ran")

    kind = type("One", (core.Middleware,), {name: waiting})

    reply = call("sync", returns, client=dev_client(middleware=[kind]))

    assert (500, "async_unsupported") == (reply.status, reply.json["code"])
    assert "waiting is async" in reply.json["message"]


def test_plain_hooks_serve_async_functions_too() -> None:
    log: list[str] = []

    call("async", returns, client=dev_client(middleware=[recording("sync", log)]))

    assert ["ti", "be", "ae", "to", "br"] == log


def test_a_hook_before_sending_may_stop_it(colour: str) -> None:
    def stop(self: Any, events: list[core.Event]) -> None:
        raise RuntimeError("stopped")

    async def body(ctx: Any) -> object:
        return await ctx.step.send_event("a", core.Event(name="x"))

    with local_server.serving(local_server.Reply(200, IDS)) as server:
        client = with_hook(colour, "before_send_events", stop)
        reply = call(colour, body, client=dev_client(event_api_base_url=server.origin, middleware=client.middleware))

    assert ("StepError", "stopped") == (reply.json[0]["op"], reply.json[0]["error"]["message"])
    assert [] == server.requests


def test_the_event_of_the_test_is_not_changed_by_others() -> None:
    assert {"n": 1} == EVENT["data"]


@pytest.mark.parametrize("base", [core.Middleware, core.MiddlewareSync])
def test_a_hook_may_call_that_of_its_base(colour: str, base: type[core.Middleware]) -> None:
    seen: list[str] = []

    class Plain(base):  # type: ignore[valid-type,misc] # both bases
        def before_response(self) -> Any:
            seen.append("def")
            return super().before_response()

    class Waiting(base):  # type: ignore[valid-type,misc] # both bases
        async def before_response(self) -> None:
            seen.append("async def")
            await super().before_response()

    async def body(ctx: Any) -> object:
        del ctx
        return None

    middleware = [Plain] if colour == "sync" else [Plain, Waiting]
    assert 200 == call(colour, body, client=dev_client(middleware=middleware)).status
    assert (["def"] if colour == "sync" else ["def", "async def"]) == seen


def test_the_time_that_each_part_took_is_told(colour: str) -> None:
    class Looking(core.Middleware):
        transform_input = hook(colour, lambda self, ctx, function, steps: None)
        transform_output = hook(colour, lambda self, result: None)

    async def body(ctx: Any) -> object:
        del ctx
        return None

    timing = call(colour, body, client=dev_client(middleware=[Looking])).headers["server-timing"]

    assert ["comm_handler", "mw.transform_input", "function", "mw.transform_output"] == [
        entry.partition(";dur=")[0] for entry in timing.split(", ")
    ]

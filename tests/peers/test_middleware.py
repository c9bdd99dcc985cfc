"""Middleware under both packages: ours and the official one are called alike, and must behave alike (protocol.md 9).

The official package is run as a black box. Where we differ on purpose, `INTENDED` says how and why.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, NamedTuple

import pytest

import stepserve
import stepserve.fastapi
import stepserve.flask
from tests.core import local_server
from tests.core.calls import call_body, hashed

inngest = pytest.importorskip("inngest", reason="the official package is not installed")
pytest.importorskip("inngest.flask", reason="Flask is not installed")
pytest.importorskip("inngest.fast_api", reason="FastAPI is not installed")

# The official client never closes its connections.
pytestmark = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")

SDKS: dict[str, Any] = {"official": inngest, "ours": stepserve}
COLOURS = ("sync", "async")
HOOKS = (
    "transform_input",
    "before_execution",
    "before_send_events",
    "after_send_events",
    "after_execution",
    "transform_output",
    "before_response",
)

# Functions, written once: AWAIT and DEF stand for the words of the colour.
RETURNS = "DEF f(ctx):\n return 'done'\n"
RAISES = "DEF f(ctx):\n raise ValueError('boom')\n"
STEP = "DEF one(): return 1\nDEF f(ctx):\n return AWAIT ctx.step.run('a', one)\n"
FAILING_STEP = "DEF one(): raise KeyError('k')\nDEF f(ctx):\n return AWAIT ctx.step.run('a', one)\n"
TWO_STEPS = (
    "DEF one(): return 1\nDEF f(ctx):\n log.append('start')\n AWAIT ctx.step.run('a', one)\n log.append('after a')\n"
    " AWAIT ctx.step.run('b', one)\n log.append('after b')\n return 2\n"
)
CAUGHT = (
    "DEF one(): raise KeyError('k')\nDEF f(ctx):\n try:\n  return AWAIT ctx.step.run('a', one)\n"
    " except Exception as error:\n  return type(error).__name__\n"
)
WAITS = (
    "DEF f(ctx):\n event = AWAIT ctx.step.wait_for_event('a', event='x', timeout=2000)\n return event and event.data\n"
)
INVOKES = "DEF f(ctx):\n return AWAIT ctx.step.invoke_by_id('a', function_id='g', data={'k': 1})\n"
PARALLEL = (
    "DEF one(): return 1\nDEF f(ctx):\n return AWAIT ctx.group.parallel(\n"
    "  (lambda: ctx.step.run('a', one), lambda: ctx.step.run('b', one)))\n"
)
SENDS = "DEF f(ctx):\n return AWAIT ctx.step.send_event('a', sdk.Event(name='x', data={'k': 1}))\n"
CLIENT_SENDS = "DEF f(ctx):\n return AWAIT client.SEND(sdk.Event(name='x', data={'k': 1}))\n"
CLIENT_SENDS_BARE = "DEF f(ctx):\n return AWAIT client.SEND(sdk.Event(name='x'), skip_middleware=True)\n"
NEVER_AGAIN = "DEF one(): raise sdk.NonRetriableError('no')\nDEF f(ctx):\n return AWAIT ctx.step.run('a', one)\n"
SEES_INPUT = "DEF one(): return 1\nDEF f(ctx):\n return [ctx.event.data, ctx.run_id, AWAIT ctx.step.run('a', one)]\n"
SEES_MORE = "DEF f(ctx):\n return ctx.database\n"

DONE_A = {hashed("a"): {"data": 1}}
FAILED_A = {hashed("a"): {"error": {"name": "X", "message": "m", "stack": "s"}}}
EVENT_A = {hashed("a"): {"data": {"z": 1}, "id": "1", "name": "x", "ts": 1}}


class Seen(NamedTuple):
    """What can be seen of a call from outside, and what its hooks were given."""

    status: int
    body: Any
    no_retry: str | None
    hooks: list[Any]
    sent: list[Any]


class Case(NamedTuple):
    """A function, what its middleware does, and how it is called."""

    source: str
    changes: Mapping[str, Callable[..., None]] = MappingProxyType({})
    steps: Mapping[str, Any] = MappingProxyType({})
    middleware: int = 1
    target: str = "step"
    plan_only: bool = False
    attempt: int = 0
    answer: local_server.Reply = local_server.Reply(200, b'{"ids":["e1"],"status":200}')


def _fail(self: Any, *args: object) -> None:
    raise RuntimeError("hook failed")


def _set(**values: Any) -> dict[str, Callable[..., None]]:
    def change(self: Any, result: Any) -> None:
        for name, value in values.items():
            setattr(result, name, value)

    return {"transform_output": change}


def _change_input(self: Any, ctx: Any, function: Any, steps: Any) -> None:
    ctx.event.data["added"] = True
    ctx.run_id = "other"
    for memo in steps.values():
        memo.data = {"changed": memo.data}


def _add_to_context(self: Any, ctx: Any, function: Any, steps: Any) -> None:
    ctx.database = "main"


def _rename_step(self: Any, result: Any) -> None:
    result.step.id = "other"


def _change_payload(self: Any, result: Any) -> None:
    result.step.opts["payload"]["data"] = "hidden"


def _change_events(self: Any, events: list[Any]) -> None:
    events[0].data = {"hidden": 1}


CASES = {
    "returns": Case(RETURNS),
    "raises": Case(RAISES),
    "a step": Case(STEP),
    "a step, two middleware": Case(STEP, middleware=2),
    "raises, two middleware": Case(RAISES, middleware=2),
    "a failing step": Case(FAILING_STEP),
    "a failing step, last attempt": Case(FAILING_STEP, attempt=3),
    "a failing step, caught": Case(CAUGHT),
    "a failed step, caught": Case(CAUGHT, steps=FAILED_A),
    "a failed step": Case(STEP, steps=FAILED_A),
    "a memo": Case(TWO_STEPS, steps=DONE_A),
    "all memos": Case(TWO_STEPS, steps={**DONE_A, hashed("b"): {"data": 1}}),
    "no memo": Case(TWO_STEPS),
    "a memo of no step": Case(STEP, steps={hashed("gone"): {"data": 1}}),
    "only a memo of no step": Case(RETURNS, steps={hashed("gone"): {"data": 1}}),
    "a wait": Case(WAITS),
    "an event that came": Case(WAITS, steps=EVENT_A),
    "an invocation": Case(INVOKES),
    "a group": Case(PARALLEL),
    "a group, targeted": Case(PARALLEL, target=hashed("b"), plan_only=True),
    "a plan": Case(STEP, plan_only=True),
    "another target": Case(STEP, target=hashed("other")),
    "a target in no branch": Case(PARALLEL, target=hashed("other")),
    "never again": Case(NEVER_AGAIN),
    "a step that sends": Case(SENDS, middleware=2),
    "a client that sends": Case(CLIENT_SENDS, middleware=2),
    "a client that sends without middleware": Case(CLIENT_SENDS_BARE),
    "a step that sends in vain": Case(SENDS, answer=local_server.Reply(400, b'{"ids":["e1"],"error":"bad"}')),
    "a client that sends in vain": Case(CLIENT_SENDS, answer=local_server.Reply(400, b'{"ids":[],"error":"bad"}')),
    "changed input": Case(SEES_INPUT, {"transform_input": _change_input}, steps=DONE_A),
    "something more in the context": Case(SEES_MORE, {"transform_input": _add_to_context}),
    "changed output": Case(RETURNS, _set(output="new")),
    "changed output of a step": Case(STEP, _set(output="new")),
    "changed output of a failing step": Case(FAILING_STEP, _set(output="new")),
    "changed output of a plan": Case(STEP, _set(output="new"), plan_only=True),
    "an error instead": Case(RETURNS, _set(error=ValueError("new"))),
    "another error": Case(RAISES, _set(error=ValueError("new"))),
    "an error instead, of a step": Case(STEP, _set(error=ValueError("new"))),
    "another error of a step": Case(FAILING_STEP, _set(error=ValueError("new"))),
    "no error": Case(RAISES, _set(error=None)),
    "an output instead": Case(RAISES, _set(error=None, output="new")),
    "no error of a step": Case(FAILING_STEP, _set(error=None)),
    "another name for the step": Case(STEP, {"transform_output": _rename_step}),
    "another payload": Case(INVOKES, {"transform_output": _change_payload}),
    "another event, from a step": Case(SENDS, {"before_send_events": _change_events}),
    "another event, from the client": Case(CLIENT_SENDS, {"before_send_events": _change_events}),
    **{
        f"{hook} fails: {name}": Case(source, {hook: _fail}, steps=steps)
        for hook in HOOKS
        for name, source, steps in (
            ("returns", RETURNS, {}),
            ("raises", RAISES, {}),
            ("step", STEP, {}),
            ("memo", TWO_STEPS, DONE_A),
            ("send", SENDS, {}),
            ("group", PARALLEL, {}),
        )
    },
}

RUNS_ALL = "`before_response` releases what a call used, so it is called whatever failed before it"
SAYS_WHAT_BECAME = "the opcode agrees with the error that the hook set, and a failed step has no data beside its error"
NO_DATA = "only steps that were executed have data; the server ignores it elsewhere"

INTENDED = {
    "a memo of no step": "`before_execution` announces new code, even when memos are left over",
    "a failed step": "the error of a memo is a `StepError` for hooks too",
    "a failed step, caught": "the error of a memo is a `StepError` for hooks too",
    "a target in no branch": "the function must not complete (protocol.md 6.3)",
    "changed output of a failing step": SAYS_WHAT_BECAME,
    "changed output of a plan": NO_DATA,
    "an error instead, of a step": SAYS_WHAT_BECAME,
    "no error of a step": SAYS_WHAT_BECAME,
    "before_execution fails: memo": "an error in a hook is never swallowed (protocol.md 15.1, 11)",
    **{f"transform_output fails: {name}": RUNS_ALL for name in ("returns", "raises", "step", "memo", "send")},
}


def _described(hook: str, args: tuple[Any, ...]) -> Any:
    if hook == "transform_input":
        _, function, steps = args
        return [function.local_id, steps.size, [[memo.data, type(memo.error).__name__] for memo in steps.values()]]
    if hook == "transform_output":
        (result,) = args
        step = result.step and [result.step.id, result.step.op.value, result.step.opts]
        return [type(result.error).__name__, result.output if result.has_output() else "no output", step]
    if hook == "before_send_events":
        return [[event.name, event.data] for event in args[0]]
    return [args[0].error, args[0].ids] if args else None


def _middleware(
    sdk: Any, colour: str, log: list[Any], tag: str, changes: Mapping[str, Callable[..., None]]
) -> type[Any]:
    """Return middleware that writes down its hooks, and changes what it is told to."""

    def make(hook: str) -> Any:
        def plain(self: Any, *args: Any) -> None:
            log.append([f"{tag}{hook}", json.loads(json.dumps(_described(hook, args), default=repr))])
            if hook in changes:
                changes[hook](self, *args)

        async def waiting(self: Any, *args: Any) -> None:
            plain(self, *args)

        return waiting if colour == "async" else plain

    base = sdk.Middleware if colour == "async" else sdk.MiddlewareSync
    return type("Recording", (base,), {hook: make(hook) for hook in HOOKS})


def _function(source: str, colour: str, names: dict[str, Any]) -> Any:
    words = {"AWAIT ": "await ", "DEF": "async def", "SEND": "send"}
    if colour == "sync":
        words = {"AWAIT ": "", "DEF": "def", "SEND": "send_sync"}
    for word, replacement in words.items():
        source = source.replace(word, replacement)
    exec(source, names)
    return names["f"]


def _post(sdk: Any, colour: str, client: Any, function: Any, case: Case) -> tuple[int, bytes, Any]:
    url = f"/api/inngest?fnId=app-f&stepId={case.target}"
    body = json.dumps(call_body(steps=dict(case.steps), attempt=case.attempt, plan_only=case.plan_only))
    if colour == "sync":
        from flask import Flask

        app = Flask("app")
        (inngest.flask if sdk is inngest else stepserve.flask).serve(app, client, [function])
        reply = app.test_client().post(url, data=body, content_type="application/json")
        return reply.status_code, reply.data, reply.headers
    import httpx
    from fastapi import FastAPI

    served = FastAPI()
    (inngest.fast_api if sdk is inngest else stepserve.fastapi).serve(served, client, [function])

    async def post() -> httpx.Response:
        transport = httpx.ASGITransport(served)
        async with httpx.AsyncClient(transport=transport, base_url="http://app.test") as http:
            return await http.post(url, content=body)

    answer = asyncio.run(post())
    return answer.status_code, answer.content, answer.headers


def _without_stack(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: bool(item) if key == "stack" else _without_stack(item) for key, item in value.items()}
    return [_without_stack(item) for item in value] if isinstance(value, list) else value


def _serving(case: Case) -> contextlib.AbstractContextManager[local_server.LocalServer | None]:
    """Start an event API for functions that send."""
    return local_server.serving(case.answer) if "send" in case.source.lower() else contextlib.nullcontext()


def see(sdk: Any, colour: str, case: Case) -> Seen:
    """Call a case under one package."""
    log: list[Any] = []
    with _serving(case) as server:
        tags = [str(number) if case.middleware > 1 else "" for number in range(case.middleware)]
        client = sdk.Inngest(
            app_id="app",
            is_production=False,
            event_api_base_url=server.origin if server else None,
            middleware=[_middleware(sdk, colour, log, tag, case.changes) for tag in tags],
        )
        handler = _function(case.source, colour, {"sdk": sdk, "client": client, "log": log})
        function = client.create_function(fn_id="f", trigger=sdk.TriggerEvent(event="shop/order"))(handler)
        status, body, headers = _post(sdk, colour, client, function, case)
    requests = server.requests if server else []
    sent = [[event["name"], event["data"]] for request in requests for event in json.loads(request.body)]
    return Seen(status, _without_stack(json.loads(body)), headers.get("x-inngest-no-retry"), log, sent)


@pytest.mark.parametrize("colour", COLOURS)
@pytest.mark.parametrize("name", sorted(CASES.keys() - INTENDED.keys()))
def test_both_packages_behave_alike(name: str, colour: str) -> None:
    official, ours = (see(sdk, colour, CASES[name]) for sdk in SDKS.values())

    assert official == ours


@pytest.mark.parametrize("colour", COLOURS)
@pytest.mark.parametrize("name", sorted(INTENDED))
def test_an_intended_difference_is_still_one(name: str, colour: str) -> None:
    official, ours = (see(sdk, colour, CASES[name]) for sdk in SDKS.values())

    assert official != ours
    assert len(INTENDED[name]) > 20


ANSWERS = {
    "taken": local_server.Reply(200, b'{"ids":["e1"],"status":200}'),
    "refused": local_server.Reply(400, b'{"ids":["e1"],"error":"bad","status":400}'),
}


def see_sending(sdk: Any, how: str, colour: str, failing: str | None, answer: local_server.Reply) -> list[Any]:
    """Send an event from outside of functions; return what came of it, and the hooks."""
    log: list[Any] = []
    changes = {failing: _fail} if failing else {}
    with local_server.serving(answer) as server:
        client = sdk.Inngest(
            app_id="app",
            is_production=False,
            event_api_base_url=server.origin,
            middleware=[_middleware(sdk, colour, log, "1", changes), _middleware(sdk, colour, log, "2", {})],
        )
        event = sdk.Event(name="x", data={"k": 1})
        came: object
        try:
            came = asyncio.run(client.send(event)) if how == "send" else client.send_sync(event)
        except Exception as error:  # whatever it is, both must raise it
            came = [type(error).__name__, "" if colour == "async" and how == "send_sync" else str(error)]
    return [came, log, len(server.requests)]


@pytest.mark.parametrize("answer", sorted(ANSWERS))
@pytest.mark.parametrize("failing", [None, "before_send_events", "after_send_events"])
@pytest.mark.parametrize("colour", COLOURS)
@pytest.mark.parametrize("how", ["send", "send_sync"])
def test_sending_calls_the_same_hooks(how: str, colour: str, failing: str | None, answer: str) -> None:
    official, ours = (see_sending(sdk, how, colour, failing, ANSWERS[answer]) for sdk in SDKS.values())

    assert official == ours


def test_both_refuse_async_hooks_in_sync_code() -> None:
    official, ours = (see_sending(sdk, "send_sync", "async", None, ANSWERS["taken"])[0][0] for sdk in SDKS.values())

    assert "AsyncUnsupportedError" == official == ours

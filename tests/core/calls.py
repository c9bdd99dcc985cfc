"""Make requests as a server makes them, and read the answers."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import json
import time
from typing import Any, NamedTuple

import stepserve_core as core
from stepserve_core._protocol import Request, Response
from stepserve_core.handler import Handler
from tests.core.colours import Body, in_colour

KEY = "signkey-test-8ee2262a15e8d3c42d6a840db7af3de2aab08ef632b32a37a687f24b34dba3ff"
OTHER_KEY = "signkey-prod-12345678"
EVENT = {"data": {"n": 1}, "id": "01HEVENT", "name": "shop/order", "ts": 1_700_000_000_123, "user": {}}
HANGING = 20
"""Seconds after which a call that does not come back fails its test."""

TRIGGER = core.TriggerEvent(event="shop/order")


def hashed(step_id: str) -> str:
    """Return the id of a step on the wire."""
    return hashlib.sha1(step_id.encode()).hexdigest()


def sign(body: bytes, key: str = KEY, *, at: float | None = None) -> str:
    """Return a signature header, made without the code under test."""
    timestamp = str(round(time.time() if at is None else at))
    text = key.rpartition("-")[2]
    return f"t={timestamp}&s={hmac.new(text.encode(), body + timestamp.encode(), hashlib.sha256).hexdigest()}"


def dev_client(**options: Any) -> core.Inngest:
    """Return a client in dev mode."""
    return core.Inngest(app_id="app", is_production=False, **options)


def cloud_client(**options: Any) -> core.Inngest:
    """Return a client in production mode."""
    settings: dict[str, Any] = {"is_production": True, "signing_key": KEY, "event_key": "ek", **options}
    return core.Inngest(app_id="app", **settings)


def make_handler(client: core.Inngest, *functions: core.Function[Any], **options: Any) -> Handler:
    """Return a handler that serves `functions`."""
    return Handler(client, functions, framework="flask", **options)


def define(client: core.Inngest, colour: str, body: Body, **options: Any) -> core.Function[Any]:
    """Return `body` as a function `f` of the wanted colour."""
    options = {"fn_id": "f", "trigger": TRIGGER, **options}
    return client.create_function(**options)(in_colour(colour, body))


class Reply(NamedTuple):
    """A response, with its body decoded."""

    status: int
    json: Any
    headers: dict[str, str]


def read(response: Response) -> Reply:
    """Decode a response, and refuse what is not JSON by the letter."""

    def refuse(constant: str) -> None:
        raise AssertionError(f"{constant} is not JSON")

    return Reply(response.status, json.loads(response.body, parse_constant=refuse), response.headers)


def call_body(
    *,
    steps: dict[str, Any] | None = None,
    stack: list[str] | None = None,
    attempt: int = 0,
    max_attempts: int | None = 4,
    plan_only: bool = False,
    event: Any = EVENT,
    events: list[Any] | None = None,
    use_api: bool = False,
    run_id: str = "01HRUN",
) -> dict[str, Any]:
    """Return the body of a call (protocol.md 5.2)."""
    steps = steps or {}
    stack = list(steps) if stack is None else stack
    ctx = {
        "attempt": attempt,
        "disable_immediate_execution": plan_only,
        "env": "",
        "fn_id": "00000000-0000-0000-0000-000000000000",
        "run_id": run_id,
        "stack": {"current": len(stack), "stack": stack},
        "step_id": "step",
        "use_api": use_api,
    }
    if max_attempts is not None:
        ctx["max_attempts"] = max_attempts
    return {
        "ctx": ctx,
        "defers": {},
        "event": event,
        "events": [event] if events is None else events,
        "steps": steps,
        "use_api": use_api,
        "version": 2,
    }


def post(function_id: str, body: bytes, *, target: str = "step", headers: dict[str, str] | None = None) -> Request:
    """Return the request of a call."""
    url = f"http://app.test/api/inngest?fnId={function_id}&stepId={target}"
    return Request("POST", url, headers or {}, body)


def serve(handler: Handler, request: Request, *, entry: str = "handle") -> Reply:
    """Serve a request through `handle`, or through `ahandle` on a fresh loop that must be clean afterwards."""
    return read(handler.handle(request)) if entry == "handle" else read(asyncio.run(_clean_ahandle(handler, request)))


async def _clean_ahandle(handler: Handler, request: Request) -> Response:
    complaints: list[dict[str, Any]] = []
    asyncio.get_running_loop().set_exception_handler(lambda loop, context: complaints.append(context))
    response = await asyncio.wait_for(handler.ahandle(request), HANGING)
    left = asyncio.all_tasks() - {asyncio.current_task()}
    if left:  # tasks of the user's own unwind one turn after the other, or end at their next step
        _, left = await asyncio.wait(left, timeout=1)

    assert set() == left
    assert [] == complaints
    return response


def call(colour: str, body: Body, *, target: str = "step", client: core.Inngest | None = None, **fields: Any) -> Reply:
    """Call `body` once as a function of `colour`, through the entry that fits it."""
    client = client or dev_client()
    options, headers = fields.pop("options", {}), fields.pop("headers", None)
    handler = make_handler(client, define(client, colour, body, **options))
    request = post("app-f", json.dumps(call_body(**fields)).encode(), target=target, headers=headers)
    return serve(handler, request, entry="handle" if colour == "sync" else "ahandle")

"""A small app that speaks the SDK side of the protocol, for tests: written apart from our SDK on purpose.

A function is a generator that yields steps (or a list of them, as a parallel group) and returns its result. Every
call replays it from the start against the memos, as SDKs do.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import json
import socket
from collections.abc import AsyncGenerator, Callable, Generator
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx
import uvicorn

from stepserve_core._protocol import Request, Response
from stepserve_core.executor.listening import QuietServer
from tests.asgi_body import read_body

SDK_HEADERS = {"content-type": "application/json", "x-inngest-sdk": "raw:v1", "x-inngest-req-version": "2"}


def hash_id(step_id: str) -> str:
    """Return the id of a step on the wire."""
    return hashlib.sha1(step_id.encode()).hexdigest()


class StepFailedError(Exception):
    """A memo that holds an error; thrown into the function where the step's result was expected."""

    def __init__(self, error: dict[str, Any]) -> None:
        super().__init__(error["message"])
        self.error = error


class RaisedError(Exception):
    """Raised by a step or a function: becomes an error on the wire."""

    def __init__(self, message: str, *, no_retry: bool = False, retry_after: str | None = None) -> None:
        super().__init__(message)
        self.no_retry = no_retry
        self.retry_after = retry_after


@dataclass
class Step:
    """A step that a function yields."""

    op: str
    id: str
    action: Callable[[], Any] | None = None
    name: str | None = None
    opts: dict[str, Any] | None = None

    @property
    def hash(self) -> str:
        return hash_id(self.id)


def run(step_id: str, action: Any = None, *, race: bool = False) -> Step:
    """A step that runs code."""
    call = action if callable(action) else lambda: action
    return Step("StepRun", step_id, call, opts={"parallelMode": "race"} if race else None)


def sleep(step_id: str, duration: str) -> Step:
    return Step("Sleep", step_id, name=duration)


def wait(step_id: str, event: str, timeout: str, expression: str | None = None) -> Step:
    return Step("WaitForEvent", step_id, name=event, opts={"timeout": timeout, "if": expression})


def invoke(step_id: str, function: str, data: Any = None, timeout: str | None = None) -> Step:
    opts = {"function_id": function, "payload": {"data": data or {}}, "timeout": timeout}
    return Step("InvokeFunction", step_id, opts=opts)


@dataclass
class Call:
    """A call as the app got it."""

    function: str
    target: str | None
    body: dict[str, Any]
    headers: dict[str, str]

    @property
    def event(self) -> dict[str, Any]:
        event: dict[str, Any] = self.body["event"]
        return event

    @property
    def attempt(self) -> int:
        attempt: int = self.body["ctx"]["attempt"]
        return attempt

    @property
    def memos(self) -> dict[str, Any]:
        memos: dict[str, Any] = self.body["steps"]
        return memos

    @property
    def state(self) -> tuple[object, ...]:
        """What the app is asked, and with which memos: all but what tells two deliveries of a call apart."""
        ctx = {name: value for name, value in self.body["ctx"].items() if name not in ("generation_id", "request_id")}
        return self.function, self.target, ctx, self.memos


Script = Callable[[Call], Generator[Any, Any, Any]]


@dataclass
class Fn:
    """A function of the app; `options` are merged into its registered configuration."""

    id: str
    script: Script
    triggers: list[dict[str, Any]] = field(default_factory=list)
    retries: int | None = None
    options: dict[str, Any] = field(default_factory=dict)


@dataclass
class RawApp:
    """The app. `calls` has every call, in order. `replies` replaces the answers of a function by id.

    With `counts_once`, a call that is made again because its answer was lost is in `calls` once.
    """

    functions: list[Fn]
    name: str = "app"
    api: str = ""
    url: str = ""
    signing_token: str | None = None
    calls: list[Call] = field(default_factory=list)
    replies: dict[str, Callable[[Call], Any]] = field(default_factory=dict)
    syncs: int = 0
    counts_once: bool = False

    def calls_of(self, function: str) -> list[Call]:
        return [call for call in self.calls if call.function == f"{self.name}-{function}"]

    def registration(self) -> dict[str, Any]:
        configs = []
        for fn in self.functions:
            fn_id = f"{self.name}-{fn.id}"
            step: dict[str, Any] = {
                "id": "step",
                "name": "step",
                "runtime": {"type": "http", "url": f"{self.url}?fnId={fn_id}&stepId=step"},
            }
            if fn.retries is not None:
                step["retries"] = {"attempts": fn.retries}
            configs.append({"id": fn_id, "name": fn.id, "triggers": fn.triggers, "steps": {"step": step}, **fn.options})
        return {"appname": self.name, "url": self.url, "sdk": "raw:v1", "framework": "raw", "functions": configs}

    async def ahandle(self, request: Request) -> Response:
        """Answer a request, as an SDK's handler does."""
        if request.method == "PUT":
            self.syncs += 1
            return await self._sync()
        if request.method == "GET":
            return Response(200, SDK_HEADERS, b"{}")
        query = parse_qs(urlsplit(request.url).query)
        target = query["stepId"][0]
        call = Call(
            query["fnId"][0],
            None if target == "step" else target,
            json.loads(request.body),
            {name.lower(): request.headers.get(name) or "" for name in ("x-inngest-signature", "x-run-id")},
        )
        if not (self.counts_once and call.state in [one.state for one in self.calls]):
            self.calls.append(call)
        fn = next(fn for fn in self.functions if f"{self.name}-{fn.id}" == call.function)
        if fn.id in self.replies:
            reply: Response = await _awaited(self.replies[fn.id](call))
            return reply
        return replay(fn.script, call)

    async def _sync(self) -> Response:
        headers = {"x-inngest-sdk": "raw:v1"}
        if self.signing_token is not None:
            headers["authorization"] = f"Bearer {self.signing_token}"
        async with httpx.AsyncClient() as client:
            answer = await client.post(f"{self.api}/fn/register", json=self.registration(), headers=headers)
        return Response(answer.status_code, SDK_HEADERS, answer.content)

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Speak ASGI."""
        body = await read_body(receive)
        headers = {name.decode(): value.decode() for name, value in scope["headers"]}
        url = f"{self.url}?{scope['query_string'].decode()}"
        response = await self.ahandle(Request(scope["method"], url, headers, body))
        raw = [(name.encode(), value.encode()) for name, value in response.headers.items()]
        await send({"type": "http.response.start", "status": response.status, "headers": raw})
        await send({"type": "http.response.body", "body": response.body})


async def _awaited(value: Any) -> Any:
    return await value if hasattr(value, "__await__") else value


def reply(status: int, body: Any, **headers: str) -> Response:
    """An answer with the headers of an SDK."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return Response(status, {**SDK_HEADERS, **named}, json.dumps(body).encode())


def replay(script: Script, call: Call) -> Response:
    """Run a function against the memos until it ends or meets steps that have none."""
    generator = script(call)
    try:
        value: Any = None
        error: StepFailedError | None = None
        while True:
            yielded = generator.throw(error) if error is not None else generator.send(value)
            steps = yielded if isinstance(yielded, list) else [yielded]
            unknown = [step for step in steps if step.hash not in call.memos]
            if unknown:
                return _report(call, unknown, parallel=isinstance(yielded, list))
            outcomes = [_outcome(call.memos[step.hash]) for step in steps]
            error = next((outcome for outcome in outcomes if isinstance(outcome, StepFailedError)), None)
            value = outcomes if isinstance(yielded, list) else outcomes[0]
    except StopIteration as stop:
        return reply(200, stop.value)
    except StepFailedError as failed:
        return _error(RaisedError(str(failed), no_retry=True), name=failed.error.get("name", "Error"))
    except RaisedError as raised:
        return _error(raised)


def _outcome(memo: Any) -> Any:
    if isinstance(memo, dict) and set(memo) <= {"data", "error"}:
        return StepFailedError(memo["error"]) if "error" in memo else memo.get("data")
    return memo


def _report(call: Call, steps: list[Step], *, parallel: bool) -> Response:
    if call.target is not None:
        wanted = next((step for step in steps if step.hash == call.target), None)
        if wanted is None:
            return _error(RaisedError(f'found step "{steps[0].id}" when targeting a different step'))
        return _execute(call, wanted)
    if parallel or (call.body["ctx"]["disable_immediate_execution"] and steps[0].action):
        return reply(206, [_op(step, "StepPlanned" if step.action else step.op) for step in steps])
    return _execute(call, steps[0])


def _execute(call: Call, step: Step) -> Response:
    if step.action is None:
        return reply(206, [_op(step, step.op)])
    try:
        return reply(206, [{**_op(step, "StepRun"), "data": step.action()}])
    except RaisedError as raised:
        last = call.attempt + 1 >= call.body["ctx"]["max_attempts"]
        error = {"name": "RaisedError", "message": str(raised), "stack": "trace", "code": "unknown"}
        return reply(206, [{**_op(step, "StepFailed" if last else "StepError"), "error": error}], **_control(raised))


def _op(step: Step, op: str) -> dict[str, Any]:
    return {"op": op, "id": step.hash, "name": step.name or step.id, "displayName": step.id, "opts": step.opts}


def _control(raised: RaisedError) -> dict[str, str]:
    headers = {"x_inngest_no_retry": "true"} if raised.no_retry else {}
    return {**headers, "retry_after": raised.retry_after} if raised.retry_after else headers


def _error(raised: RaisedError, name: str = "RaisedError") -> Response:
    body = {"code": "unknown", "message": str(raised), "name": name, "stack": None}
    return reply(500, body, **_control(raised))


@contextlib.asynccontextmanager
async def served(app: Any) -> AsyncGenerator[str, None]:
    """Serve an ASGI app on a free port; yield its origin."""
    listener = socket.socket()
    listener.bind(("127.0.0.1", 0))
    server = QuietServer(uvicorn.Config(app, log_config=None, lifespan="off", timeout_graceful_shutdown=1))
    task = asyncio.create_task(server.serve(sockets=[listener]))
    await server.listening.wait()
    try:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    finally:
        server.stop()
        await task

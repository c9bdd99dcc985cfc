"""The measured subjects: ours, the official package, and the floor (a bare route: read, check, parse, answer).

Ours and the official package have the same public names (protocol.md 10), so one builder serves both.
"""

import asyncio
import functools
import hmac
import importlib
import json
import logging
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import fastapi
import flask

from benchmarks.sdk.calls import APP_ID, EVENT_KEY, SERVE_PATH, SIGNING_KEY, signature
from benchmarks.sdk.in_process import AsgiEndpoint, Endpoint, WsgiEndpoint

Framework = Literal["flask", "fastapi", "fastapi-sync"]
FRAMEWORKS: tuple[Framework, ...] = ("flask", "fastapi", "fastapi-sync")
FRAMEWORK_TITLES = {"flask": "Flask, def", "fastapi": "FastAPI, async def", "fastapi-sync": "FastAPI, def"}

FLOOR, OFFICIAL, OURS = "floor", "official", "ours"
SUBJECTS = (FLOOR, OFFICIAL, OURS)

_PACKAGES = {
    OFFICIAL: ("inngest", "inngest.flask", "inngest.fast_api"),
    OURS: ("stepserve", "stepserve.flask", "stepserve.fastapi"),
}


Handlers = dict[str, Callable[[Any], object]]


@dataclass(frozen=True)
class Failure:
    """Why a subject has no number in a row."""

    reason: str

    @classmethod
    def of(cls, error: Exception) -> "Failure":
        """Shorten what a subject raised, so that it fits in a cell of the table."""
        return cls(f"{type(error).__name__}: {error}"[:48])


def mount(
    subjects: tuple[str, ...], framework: Framework, *, signed: bool
) -> tuple[dict[str, Endpoint], dict[str, Failure]]:
    """Mount the subjects in the framework. Returns those that can be called, and why the others cannot."""
    mounted: dict[str, Endpoint] = {}
    failures: dict[str, Failure] = {}
    for subject in subjects:
        try:
            mounted[subject] = endpoint(subject, framework, signed=signed)
        except Exception as error:  # whatever a subject raises is its result
            failures[subject] = Failure.of(error)
    return mounted, failures


def endpoint(subject: str, framework: Framework, *, signed: bool) -> Endpoint:
    """Mount the subject in the framework and return something to call."""
    app = application(subject, framework, signed=signed)
    return WsgiEndpoint(app) if framework == "flask" else AsgiEndpoint(app)


def application(subject: str, framework: Framework, *, signed: bool) -> Any:
    """Return the subject's WSGI (flask) or ASGI (fastapi) application."""
    if subject == FLOOR:
        return _bare_flask(signed=signed) if framework == "flask" else _bare_fastapi(signed=signed)
    package, flask_module, fastapi_module = _PACKAGES[subject]
    sdk = importlib.import_module(package)
    client = sdk_client(subject, signed=signed)
    app: Any
    if framework == "flask":
        app = flask.Flask("bench")
        importlib.import_module(flask_module).serve(app, client, functions(sdk, client, SYNC_HANDLERS))
    else:
        app = fastapi.FastAPI()
        handlers = ASYNC_HANDLERS if framework == "fastapi" else SYNC_HANDLERS
        importlib.import_module(fastapi_module).serve(app, client, functions(sdk, client, handlers))
    return app


def sdk_client(subject: str, *, signed: bool = True, event_api_base_url: str | None = None) -> Any:
    """Return a client of ours or of the official package: in production mode with keys when `signed`, else in dev."""
    logger = logging.getLogger(f"bench.{subject}")
    logger.addHandler(logging.NullHandler())
    logger.propagate = False
    return importlib.import_module(_PACKAGES[subject][0]).Inngest(
        app_id=APP_ID,
        is_production=signed,
        signing_key=SIGNING_KEY if signed else None,
        event_key=EVENT_KEY,
        event_api_base_url=event_api_base_url,
        logger=logger,
    )


def _work() -> dict[str, object]:
    return {"number": 1, "ok": True}


async def _async_work() -> dict[str, object]:
    return {"number": 1, "ok": True}


def _steps(ctx: Any) -> object:
    done = 0
    for number in range(ctx.event.data["count"]):
        ctx.step.run(f"step-{number}", _work)
        done += 1
    return {"done": done}


def _field(ctx: Any) -> object:
    return {"last": ctx.event.data["records"][-1]["id"]}


def _parallel(ctx: Any) -> object:
    numbers = range(ctx.event.data["count"])
    steps = (functools.partial(ctx.step.run, f"step-{number}", _work) for number in numbers)
    return {"done": len(ctx.group.parallel(tuple(steps)))}


async def _async_steps(ctx: Any) -> object:
    done = 0
    for number in range(ctx.event.data["count"]):
        await ctx.step.run(f"step-{number}", _async_work)
        done += 1
    return {"done": done}


async def _async_field(ctx: Any) -> object:
    return {"last": ctx.event.data["records"][-1]["id"]}


async def _async_parallel(ctx: Any) -> object:
    steps = (
        functools.partial(ctx.step.run, f"step-{number}", _async_work) for number in range(ctx.event.data["count"])
    )
    return {"done": len(await ctx.group.parallel(tuple(steps)))}


async def _async_gather(ctx: Any) -> object:
    steps = (ctx.step.run(f"step-{number}", _async_work) for number in range(ctx.event.data["count"]))
    return {"done": len(await asyncio.gather(*steps))}


SYNC_HANDLERS: Handlers = {"steps": _steps, "field": _field, "parallel": _parallel}
ASYNC_HANDLERS: Handlers = {
    "steps": _async_steps,
    "field": _async_field,
    "parallel": _async_parallel,
    "gather": _async_gather,
}


def functions(sdk: Any, client: Any, handlers: Handlers) -> list[Any]:
    """Define the measured functions, each triggered by its own event."""
    return [
        client.create_function(fn_id=name, trigger=sdk.TriggerEvent(event=f"bench/{name}"))(handler)
        for name, handler in handlers.items()
    ]


def bare_answer(body: bytes, header: str | None, *, signed: bool) -> tuple[int, bytes, dict[str, str]]:
    """Do the least that any endpoint must do: check, parse, encode, sign."""
    if signed:
        sent_at = int((header or "t=0").partition("&")[0].removeprefix("t="))
        if not hmac.compare_digest(signature(body, sent_at), header or ""):
            return 401, b'{"message":"Unauthorized"}', {}
    call = json.loads(body)
    answer = json.dumps({"done": call["ctx"]["attempt"], "event": call["event"]["name"]}).encode()
    return 200, answer, {"x-inngest-signature": signature(answer, int(time.time()))} if signed else {}


def _bare_flask(*, signed: bool) -> flask.Flask:
    app = flask.Flask("floor")

    @app.post(SERVE_PATH)
    def call() -> flask.Response:
        header = flask.request.headers.get("x-inngest-signature")
        status, body, headers = bare_answer(flask.request.get_data(), header, signed=signed)
        return flask.Response(body, status, headers, content_type="application/json")

    return app


def _bare_fastapi(*, signed: bool) -> fastapi.FastAPI:
    app = fastapi.FastAPI()

    @app.post(SERVE_PATH)
    async def call(request: fastapi.Request) -> fastapi.Response:
        header = request.headers.get("x-inngest-signature")
        status, body, headers = bare_answer(await request.body(), header, signed=signed)
        return fastapi.Response(body, status, headers, "application/json")

    return app

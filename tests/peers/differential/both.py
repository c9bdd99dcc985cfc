"""One app of each package, served by the same framework, and the answers of both to one request."""

from __future__ import annotations

import asyncio
import importlib
import json
import logging
import re
import warnings
from typing import Any, NamedTuple

import fastapi
import flask
import httpx

from tests.peers.differential.programs import Do, Interpreter

QUIET = logging.getLogger("tests.peers.differential")
QUIET.setLevel(logging.CRITICAL + 1)
KEY, FALLBACK = "signkey-test-0123456789abcdef", "signkey-test-fedcba9876543210"


class Answer(NamedTuple):
    """An answer without what differs from call to call."""

    status: int
    headers: dict[str, str]
    body: Any


class Served:
    """One package behind one framework."""

    def __init__(self, package: str, framework: str, *, is_production: bool, event_api: str) -> None:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)
            module: Any = importlib.import_module(package)
            adapter: Any = importlib.import_module(f"{package}.{framework}")
        client = module.Inngest(
            app_id="app",
            is_production=is_production,
            signing_key=KEY,
            event_key="key",
            event_api_base_url=event_api,
            logger=QUIET,
        )
        self._interpreter = Interpreter(module)
        handler = self._interpreter.run if framework == "flask" else self._interpreter.arun
        define = client.create_function(fn_id="f", trigger=module.TriggerEvent(event="start"), retries=3)
        functions = [define(_as_function(handler, is_async=framework != "flask"))]
        app: Any = flask.Flask(__name__) if framework == "flask" else fastapi.FastAPI()
        adapter.serve(app, client, functions)
        self._is_flask = framework == "flask"
        if self._is_flask:
            self._http: Any = app.test_client()
        else:
            self._loop = asyncio.new_event_loop()
            transport = httpx.ASGITransport(app, raise_app_exceptions=False)
            self._http = httpx.AsyncClient(transport=transport, base_url="http://localhost")

    def close(self) -> None:
        """Close what the operating system would miss."""
        if not self._is_flask:
            self._loop.run_until_complete(self._http.aclose())
            self._loop.run_until_complete(self._loop.shutdown_asyncgens())
            self._loop.close()

    def answer(
        self, program: tuple[Do, ...], method: str, query: str, headers: dict[str, str], body: bytes | None
    ) -> Answer:
        """Return the answer to a request, for a function that runs `program`."""
        self._interpreter.program = program
        url = f"/api/inngest{query}"
        if self._is_flask:
            reply = self._http.open(url, method=method, headers=headers, data=body)
            return _comparable(reply.status_code, dict(reply.headers), reply.data)
        request = self._http.request(method, url, headers=headers, content=body)
        reply = self._loop.run_until_complete(request)
        return _comparable(reply.status_code, dict(reply.headers), reply.content)


def _as_function(handler: Any, *, is_async: bool) -> Any:
    if is_async:

        async def afunction(ctx: Any) -> Any:
            return await handler(ctx)

        return afunction

    def function(ctx: Any) -> Any:
        return handler(ctx)

    return function


def _comparable(status: int, headers: dict[str, str], body: bytes) -> Answer:
    kept = {
        name.lower(): value
        for name, value in headers.items()
        if name.lower().startswith("x-inngest") or name.lower() in ("content-type", "retry-after", "user-agent")
    }
    if "x-inngest-signature" in kept:
        kept["x-inngest-signature"] = "present"
    for name in ("x-inngest-sdk", "user-agent"):
        if name in kept:
            kept[name] = re.sub(r"v[0-9.]+$", "v?", kept[name])
    try:
        decoded = json.loads(body)
    except ValueError:
        decoded = body.decode("utf-8", "replace")
    return Answer(status, kept, _without_chance(decoded))


def _without_chance(value: Any) -> Any:
    """Return JSON without tracebacks, versions, and the moments that sleeps of some length end."""
    if isinstance(value, list):
        return [_without_chance(item) for item in value]
    if not isinstance(value, dict):
        return value
    value = {name: _without_chance(item) for name, item in value.items()}
    if isinstance(value.get("stack"), str) and "code" in value:
        value["stack"] = "a traceback"
    if value.get("op") == "Sleep" and not str(value.get("name")).startswith("2031-05-06"):
        value["name"] = "some moment"
    if "sdk_version" in value:
        value["sdk_version"] = "?"
    return value

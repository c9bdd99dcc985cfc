"""What the core offers, and what importing it costs."""

from __future__ import annotations

import subprocess
import sys

import pytest

import stepserve_core

PUBLIC = {
    "JSON",
    "Batch",
    "CallInfo",
    "Cancel",
    "Concurrency",
    "Context",
    "ContextSync",
    "Debounce",
    "Deferred",
    "Event",
    "EventType",
    "FetchResponse",
    "Function",
    "Group",
    "GroupSync",
    "Inngest",
    "Middleware",
    "MiddlewareSync",
    "NonRetriableError",
    "ParallelMode",
    "Priority",
    "PydanticSerializer",
    "RateLimit",
    "RetryAfterError",
    "SendEventsError",
    "SendEventsResult",
    "Serializer",
    "Signal",
    "Singleton",
    "Step",
    "StepError",
    "StepMemos",
    "StepSync",
    "Streaming",
    "Throttle",
    "Timeouts",
    "TransformOutputResult",
    "TransformOutputStepInfo",
    "TriggerCron",
    "TriggerDeferred",
    "TriggerEvent",
    "__version__",
    "errors",
    "install_as_inngest",
    "fetch_transport",
    "providing",
}


def test_the_public_names_are_these() -> None:
    assert PUBLIC == set(stepserve_core.__all__)


def test_the_list_of_public_names_is_sorted_and_has_no_name_twice() -> None:
    assert sorted(set(stepserve_core.__all__)) == sorted(stepserve_core.__all__)


@pytest.mark.parametrize("name", sorted(PUBLIC))
def test_every_public_name_exists(name: str) -> None:
    assert getattr(stepserve_core, name) is not None


def loaded_after(program: str) -> set[str]:
    """Return the top-level modules that a fresh interpreter has loaded after `program`."""
    listing = f"{program}\nimport sys\nprint(*sorted(sys.modules))"
    ran = subprocess.run([sys.executable, "-W", "error", "-c", listing], capture_output=True, text=True, check=True)
    return set(ran.stdout.split())


HEAVY = {
    "aiohttp",
    "django",
    "fastapi",
    "flask",
    "httpx",
    "pydantic",
    "starlette",
    "tornado",
    "typer",
    "uvicorn",
    "rich",
}


def test_importing_the_core_loads_no_framework_no_http_client_and_no_executor() -> None:
    loaded = loaded_after("import stepserve_core")

    assert set() == loaded & HEAVY
    assert [] == [name for name in loaded if name.startswith(("stepserve_core.executor", "stepserve_core.cli"))]


SERVING = """
import json
from stepserve_core import Inngest, TriggerEvent
from stepserve_core.handler import Handler
from stepserve_core._protocol import Request
client = Inngest(app_id="app", is_production=False)
@client.create_function(fn_id="f", trigger=TriggerEvent(event="x"))
def f(ctx):
    return ctx.step.run("a", lambda: 1)
ctx = {"attempt": 0, "disable_immediate_execution": False, "run_id": "r", "stack": {"stack": []}}
body = json.dumps({"ctx": ctx, "event": {"name": "x"}, "steps": {}, "use_api": False}).encode()
answer = Handler(client, [f], framework="flask").handle(Request("POST", "http://h/?fnId=app-f&stepId=step", {}, body))
assert answer.status == 206, answer
"""


def test_serving_a_sync_function_loads_neither_asyncio_nor_an_http_client() -> None:
    loaded = loaded_after(SERVING)

    assert set() == loaded & (HEAVY | {"asyncio"})

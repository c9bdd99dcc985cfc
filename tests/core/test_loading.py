"""What importing the core and serving with it load."""

from __future__ import annotations

import subprocess
import sys


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

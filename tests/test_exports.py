"""What users import, and what that loads."""

from __future__ import annotations

import importlib.util
import os
import pkgutil
import subprocess
import sys

import pytest

import stepserve
import stepserve_core

NAMES = [
    "JSON",
    "Batch",
    "Cancel",
    "Concurrency",
    "Context",
    "ContextSync",
    "Debounce",
    "Event",
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
    "TriggerEvent",
    "__version__",
    "errors",
]

FRAMEWORKS = {"fastapi", "flask", "starlette", "werkzeug"}
HEAVY = {"aiohttp", "asyncio", "httpx", "pydantic", "rich", "typer", "uvicorn"}
"""What takes long to import, and is not needed before it is used."""

ADAPTERS = {
    "stepserve.asgi": set[str](),
    "stepserve.fastapi": {"fastapi", "starlette"},
    "stepserve.flask": {"flask", "werkzeug"},
    "stepserve.wsgi": set[str](),
}


def _loaded_by(module: str) -> set[str]:
    """Return the names of all modules that a fresh interpreter has loaded after importing `module`."""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
    code = f"import {module}, sys; print(*sys.modules)"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=environment)
    return set(run.stdout.split())


def test_the_public_names_are_these() -> None:
    assert NAMES == stepserve_core.__all__
    assert NAMES == stepserve.__all__


@pytest.mark.parametrize("name", NAMES)
def test_every_public_name_is_the_one_of_the_core(name: str) -> None:
    assert getattr(stepserve, name) is getattr(stepserve_core, name)


def test_the_package_loads_nothing_that_it_does_not_need() -> None:
    loaded = _loaded_by("stepserve")

    assert "stepserve_core._client" in loaded
    assert loaded & (FRAMEWORKS | HEAVY) == set()
    assert [name for name in loaded if name.startswith(("stepserve_core.executor", "stepserve_core.cli"))] == []


def test_every_adapter_is_listed_here() -> None:
    modules = {f"stepserve.{module.name}" for module in pkgutil.iter_modules(stepserve.__path__)}

    assert set(ADAPTERS) == modules - {"stepserve.__main__"}


@pytest.mark.parametrize("adapter", ADAPTERS)
def test_an_adapter_loads_its_own_framework_only(adapter: str) -> None:
    missing = [name for name in ADAPTERS[adapter] if importlib.util.find_spec(name) is None]
    if missing:
        pytest.skip(f"not installed: {', '.join(missing)}")
    loaded = _loaded_by(adapter)

    assert ADAPTERS[adapter] == loaded & FRAMEWORKS
    assert [name for name in loaded if name.startswith(("stepserve_core.executor", "stepserve_core.cli"))] == []
    assert "httpx" not in loaded

"""What users import, and what that loads."""

from __future__ import annotations

import pytest

import stepserve
import stepserve_core
from tests.loaded import loaded_by

NAMES = [
    "JSON",
    "Batch",
    "CallInfo",
    "Cancel",
    "Checkpointing",
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
    "fetch_transport",
    "install_as_inngest",
    "providing",
]

FRAMEWORKS = {"fastapi", "flask", "starlette", "werkzeug"}
HEAVY = {"aiohttp", "asyncio", "httpx", "pydantic", "rich", "typer", "uvicorn"}
"""What takes long to import, and is not needed before it is used."""


def test_the_public_names_are_these() -> None:
    assert NAMES == stepserve_core.__all__
    assert ["endpoint", *NAMES] == stepserve.__all__


@pytest.mark.parametrize("name", NAMES)
def test_every_public_name_is_the_one_of_the_core(name: str) -> None:
    assert getattr(stepserve, name) is getattr(stepserve_core, name)


def test_the_package_loads_nothing_that_it_does_not_need() -> None:
    loaded = loaded_by("stepserve")

    assert "stepserve_core._client" in loaded
    assert loaded & (FRAMEWORKS | HEAVY) == set()
    assert [name for name in loaded if name.startswith(("stepserve_core.executor", "stepserve_core.cli"))] == []


RARE = {"_conversion", "_experiment", "_kept_connections", "_realtime", "endpoint", "experiment", "realtime"}
"""Modules of the core that few programs need."""


def test_the_package_loads_nothing_that_few_programs_need() -> None:
    loaded = loaded_by("stepserve")

    assert set() == loaded & {f"stepserve_core.{name}" for name in RARE}

"""What users import, and what that loads."""

from __future__ import annotations

import dataclasses
import typing
from types import ModuleType
from typing import Any

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
HEAVY = {"aiohttp", "h11", "httpx", "pydantic", "rich", "typer", "uvicorn"}
"""What takes long to import, and is not needed before it is used."""

STANDARD = {
    *("asyncio", "base64", "concurrent", "copy", "dataclasses", "email", "hashlib", "hmac", "html", "http", "json"),
    *("logging", "multiprocessing", "queue", "random", "secrets", "selectors", "socket", "sqlite3", "ssl", "string"),
    *("struct", "subprocess", "tempfile", "traceback", "urllib", "zoneinfo"),
}
"""The same, of the standard library."""

NEEDED = {"_contextvars", "_weakrefset", "contextvars", "math", "threading"}
"""Modules of the standard library that the package needs at once, and `msgspec` does not bring on every Python."""


def test_the_public_names_are_these() -> None:
    assert NAMES == stepserve_core.__all__
    assert ["endpoint", *NAMES] == stepserve.__all__


@pytest.mark.parametrize("name", NAMES)
def test_every_public_name_is_the_one_of_the_core(name: str) -> None:
    assert getattr(stepserve, name) is getattr(stepserve_core, name)


def test_all_names_are_listed_for_those_who_look_at_the_package() -> None:
    assert {"endpoint", *NAMES} <= set(dir(stepserve))
    assert set(NAMES) <= set(dir(stepserve_core))


@pytest.mark.parametrize("package", [stepserve, stepserve_core])
def test_a_name_that_there_is_not_is_refused_as_by_any_module(package: ModuleType) -> None:
    with pytest.raises(AttributeError, match=f"module '{package.__name__}' has no attribute 'Evnet'"):
        _ = package.Evnet


@pytest.mark.parametrize(
    "cls",
    [stepserve.Context, stepserve.ContextSync, stepserve.TransformOutputResult, stepserve.TransformOutputStepInfo],
    ids=lambda cls: cls.__name__,
)
def test_annotations_of_dataclasses_can_be_resolved(cls: type[Any]) -> None:
    assert {field.name for field in dataclasses.fields(cls)} == typing.get_type_hints(cls).keys()


@pytest.fixture(scope="module")
def loaded() -> set[str]:
    """Return what importing the package loads, and importing msgspec does not."""
    return loaded_by("stepserve") - loaded_by("msgspec")


def test_the_package_loads_nothing_that_it_does_not_need(loaded: set[str]) -> None:
    assert "stepserve_core._client" in loaded
    assert set() == loaded & (FRAMEWORKS | HEAVY | STANDARD)
    assert [] == [name for name in loaded if name.startswith(("stepserve_core.executor", "stepserve_core.cli"))]


def test_the_package_loads_no_foreign_module_but_these(loaded: set[str]) -> None:
    foreign = {name for name in loaded if name.partition(".")[0] not in ("stepserve", "stepserve_core")}

    assert set() == foreign - NEEDED


RARE = {
    *("_ai", "_conversion", "_defer", "_dependencies", "_experiment", "_fetch", "_install", "_kept_connections"),
    *("_metadata", "_race", "_realtime", "_signals", "ai", "endpoint", "experiment", "realtime"),
}
"""Modules of the core that few programs need."""

SERVING = {
    *("_call", "_canonical", "_checkpoint_api", "_context", "_determinism", "_engine", "_event_api", "_group", "_http"),
    *("_logger", "_opcodes", "_outputs", "_registration", "_rest", "_signature", "_step", "_streaming", "handler"),
}
"""Modules of the core that are needed to serve, or to talk to a server, and not to define functions."""


def test_the_package_loads_none_of_its_modules_that_few_programs_need_or_that_are_for_later(loaded: set[str]) -> None:
    assert set() == loaded & {f"stepserve_core.{name}" for name in RARE | SERVING}

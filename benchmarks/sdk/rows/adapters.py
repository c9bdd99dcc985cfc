"""Rows about one signed call through each adapter: CPU per call, beside its bare route and the official adapter."""

import importlib
import importlib.util
from collections.abc import Iterator
from typing import Any

from benchmarks.sdk import calls, subjects
from benchmarks.sdk.adapter import Adapter
from benchmarks.sdk.adapters import ADAPTERS
from benchmarks.sdk.in_process import Endpoint
from benchmarks.sdk.measure import progress
from benchmarks.sdk.rows.calls import executed, measured, returned
from benchmarks.sdk.subjects import FLOOR, OFFICIAL, Failure
from benchmarks.sdk.table import Goal, Row

MEMOS = 10


def adapter_rows(chosen: tuple[str, ...], rounds: int) -> Iterator[Row]:
    """Measure a call with 10 memos that returns (200), and one that executes one more step (206)."""
    for status, reached in ((200, MEMOS), (206, MEMOS + 1)):
        body = calls.call_body("bench/steps", calls.event_data(calls.EVENT_KB, reached), calls.memos(MEMOS))
        request = calls.request("steps", body, signed=True)
        check = returned({"done": reached}) if status == 200 else executed(f"step-{MEMOS}")
        ending = "the function returns" if status == 200 else "one step executed"
        group = f"signed call, {MEMOS} memos, 1 KB event, {ending} ({status}): CPU per call"
        for adapter in ADAPTERS:
            what = f"{adapter.title}, {'async def' if adapter.is_async else 'def'}"
            missing = [name for name in adapter.packages if importlib.util.find_spec(name) is None]
            if missing:
                progress(f"{what}: left out, not installed: {', '.join(missing)}")
                continue
            progress(f"{what} ({status})")
            results = measured(_mounted(adapter, chosen), request, check, rounds, signed=True)
            yield Row(group, what, "µs", results, Goal(times_floor=1.5))


def _mounted(adapter: Adapter, chosen: tuple[str, ...]) -> tuple[dict[str, Endpoint], dict[str, Failure]]:
    mounted: dict[str, Endpoint] = {}
    failures: dict[str, Failure] = {}
    for subject in chosen:
        if subject == OFFICIAL and adapter.official is None:
            continue
        try:
            mounted[subject] = adapter.endpoint(_application(adapter, subject))
        except Exception as error:  # whatever a subject raises is its result
            failures[subject] = Failure.of(error)
    return mounted, failures


def _application(adapter: Adapter, subject: str) -> Any:
    if subject == FLOOR:
        return adapter.bare()
    package, below = ("inngest", adapter.official) if subject == OFFICIAL else ("stepserve", adapter.module)
    module = importlib.import_module(f"{package}.{below}")
    client = subjects.sdk_client(subject)
    handlers = subjects.ASYNC_HANDLERS if adapter.is_async else subjects.SYNC_HANDLERS
    return adapter.mount(module, client, subjects.functions(importlib.import_module(package), client, handlers))

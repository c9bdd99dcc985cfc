"""Runs of our examples that earlier versions recorded are replayed by every version since."""

from __future__ import annotations

import importlib.util
import pathlib

import pytest

from stepserve.testing import assert_replays
from stepserve_core.history import read_history
from tests.testing.record_histories import HISTORIES, RECORDED, load

GOLDEN = sorted(HISTORIES.glob("*/*.json"))


@pytest.mark.parametrize("path", GOLDEN, ids=lambda path: f"{path.parent.name}/{path.stem}")
def test_a_recorded_run_of_an_example_replays(path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if importlib.util.find_spec(path.parent.name) is None:
        pytest.skip(f"not installed: {path.parent.name}")
    monkeypatch.setenv("INNGEST_DEV", "1")
    client, functions = load(path.parent.name)
    history = read_history(path)
    wanted = history.function.removesuffix("-failure")
    (function,) = [function for function in functions if function.id == wanted]

    assert len(history.steps) == sum(step.is_finished for step in history.steps)
    assert_replays(function, history, client=client)


@pytest.mark.parametrize("example", RECORDED)
def test_every_kind_of_function_of_an_example_is_recorded(example: str) -> None:
    recorded = {path.stem for path in GOLDEN if path.parent.name == example}

    assert {"process-order", "parallel-report", "gather-quotes", "refund", "refund-failure"} <= recorded

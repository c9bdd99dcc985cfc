"""The fault regime of a test run, of executors and of calls of the contract: `pytest --stepserve-faults drop_answer=1`.

What a correct function comes to is the same under every one. A test whose facts are others, because it counts what
happens on the way, says so: `@pytest.mark.not_under("drop_answer", reason="…")`; without kinds it is for all of them.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

from stepserve_core.faults import KINDS, Faults

if TYPE_CHECKING:  # the contract is run without the executor and what that needs
    from stepserve_core.executor.server import ServerConfig

REPEATS = ("kill_between_steps", "duplicate_delivery", "drop_answer")
"""The kinds under which a step may be executed more than once, and an app asked the same thing again."""

current: Faults | None = None
"""The regime of the test that runs."""


def chosen(config: pytest.Config) -> Faults | None:
    """Return the regime that the command line asks for."""
    text: str | None = config.getoption("--stepserve-faults", None)
    return None if text is None else Faults.parse(text)


def kinds_of(faults: Faults | None) -> set[str]:
    """Return the kinds of faults that happen."""
    return {kind for kind in KINDS if faults is not None and getattr(faults, kind)}


def latest_answer() -> float:
    """Return within how many seconds late answers come: what is due by then is part of what a test waits for."""
    return 2 * current.late_seconds if current is not None and current.late_answer else 0.0


def under_regime(config: ServerConfig) -> ServerConfig:
    """Return how to serve under the regime; a test with faults of its own keeps them."""
    return config if current is None or config.faults is not None else dataclasses.replace(config, faults=current)


@pytest.fixture(autouse=True)
def regime(request: pytest.FixtureRequest) -> Iterator[None]:
    """Set the regime for a test, or skip the test with the reason for which it has none."""
    global current  # noqa: PLW0603 - systems are started by functions, which no fixture reaches
    faults = chosen(request.config)
    kinds = kinds_of(faults)
    for marker in request.node.iter_markers("not_under"):
        if kinds and (not marker.args or kinds.intersection(marker.args)):
            pytest.skip(f"not under {', '.join(sorted(kinds))}: {marker.kwargs['reason']}")
    current = faults
    yield
    current = None

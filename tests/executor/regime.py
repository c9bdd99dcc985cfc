"""The fault regime under which executors of tests run: `pytest --stepserve-faults drop_answer=1`; usually none.

What a correct function comes to is the same under every one. A test whose facts are others, because it counts what
happens on the way, says so: `@pytest.mark.not_under("drop_answer", reason="…")`; without kinds it is for all of them.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator

import pytest

from stepserve_core.executor.server import ServerConfig
from stepserve_core.faults import KINDS, Faults

AT_ONCE = 0.1
"""Seconds: what is due within them is part of what a test waits for, where answers come late."""

current: Faults | None = None
"""The regime of the test that runs."""


def under_regime(config: ServerConfig) -> ServerConfig:
    """Return how to serve under the regime; a test with faults of its own keeps them."""
    return config if current is None or config.faults is not None else dataclasses.replace(config, faults=current)


@pytest.fixture(autouse=True)
def regime(request: pytest.FixtureRequest) -> Iterator[None]:
    """Set the regime for a test, or skip the test with the reason for which it has none."""
    global current  # noqa: PLW0603 - systems are started by functions, which no fixture reaches
    text: str | None = request.config.getoption("--stepserve-faults", None)
    faults = None if text is None else Faults.parse(text)
    kinds = {kind for kind in KINDS if faults is not None and getattr(faults, kind)}
    for marker in request.node.iter_markers("not_under"):
        if kinds and (not marker.args or kinds.intersection(marker.args)):
            pytest.skip(f"not under {', '.join(sorted(kinds))}: {marker.kwargs['reason']}")
    current = faults
    yield
    current = None

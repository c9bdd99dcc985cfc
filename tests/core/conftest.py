"""What all core tests stand on: no settings from the machine, and both colours."""

from __future__ import annotations

import os

import pytest

from tests.core.colours import COLOURS

_PLATFORM_VARIABLES = ("RAILWAY_GIT_BRANCH", "RENDER_GIT_BRANCH", "VERCEL_GIT_COMMIT_REF")


@pytest.fixture(autouse=True)
def clean_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Hide the settings of the machine that runs the tests."""
    for name in os.environ:
        if name.startswith("INNGEST_") or name in _PLATFORM_VARIABLES:
            monkeypatch.delenv(name)


@pytest.fixture(params=COLOURS)
def colour(request: pytest.FixtureRequest) -> str:
    """Run a test once for `def` functions and once for `async def` functions."""
    value: str = request.param
    return value

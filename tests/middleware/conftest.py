"""Both colours, for middleware that needs a library of its own."""

from __future__ import annotations

import pytest

from tests.core.colours import COLOURS


@pytest.fixture(params=COLOURS)
def colour(request: pytest.FixtureRequest) -> str:
    """Run a test once for `def` functions and once for `async def` functions."""
    value: str = request.param
    return value

"""What tests of the executor share: systems of an executor and an app, over sockets, on files."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from stepserve_core.executor.clock import Clock
from stepserve_core.executor.server import ServerConfig
from tests.executor.raw_app import Fn
from tests.executor.system import System, running_system
from tests.regime import regime  # noqa: F401 # pyright: ignore[reportUnusedImport] - a fixture

StartSystem = Callable[..., AbstractAsyncContextManager[System]]


@pytest.fixture
def anyio_backend() -> str:
    """Async tests run on asyncio."""
    return "asyncio"


@pytest.fixture
def start(tmp_path: Path) -> StartSystem:
    """Start an app and an executor that calls it over HTTP, on a database file."""

    @asynccontextmanager
    async def start_system(*functions: Fn, clock: Clock | None = None, **settings: Any) -> AsyncGenerator[System, None]:
        defaults: dict[str, Any] = {
            "port": 0,
            "database": str(tmp_path / "runs.db"),
            "poll": False,
            "retry_interval": 0.0,
        }
        async with running_system(list(functions), ServerConfig(**{**defaults, **settings}), clock) as system:
            yield system

    return start_system

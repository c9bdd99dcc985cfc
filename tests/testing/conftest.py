"""What tests of the harness share: both colours of it, behind one way to wait."""

from __future__ import annotations

import inspect
import logging
from collections.abc import AsyncGenerator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any

import pytest

from stepserve import Function, Inngest
from stepserve.testing import Harness, HarnessSync

Open = Callable[..., AbstractAsyncContextManager["Either"]]


class Either:
    """A harness of either colour, all of whose methods are awaited."""

    def __init__(self, harness: Harness | HarnessSync) -> None:
        self.harness = harness

    def __getattr__(self, name: str) -> Any:
        return getattr(self.harness, name)

    async def send(self, *args: Any) -> Any:
        """Send and let run."""
        run = await settled(self.harness.send(*args))
        await settled(self.harness.run_until_idle())
        return run

    async def advance(self, duration: Any) -> None:
        """Move the clock on."""
        await settled(self.harness.clock.advance(duration))

    async def skip_time(self) -> None:
        """Run until nothing waits for time."""
        await settled(self.harness.run_until_idle(skip_time=True))


async def settled(value: Any) -> Any:
    """Await what has to be awaited."""
    return await value if inspect.isawaitable(value) else value


@pytest.fixture
def anyio_backend() -> str:
    """Async tests run on asyncio."""
    return "asyncio"


@pytest.fixture
def client() -> Inngest:
    """Return a client in production mode, without keys, that logs to nobody."""
    logger = logging.getLogger("tests.testing")
    logger.propagate = False
    return Inngest(app_id="shop", is_production=True, logger=logger)


@pytest.fixture(params=[Harness, HarnessSync])
def open_(request: pytest.FixtureRequest, client: Inngest) -> Open:
    """Open a harness of either colour."""

    @asynccontextmanager
    async def opened(*functions: Function[Any], **options: Any) -> AsyncGenerator[Either, None]:
        harness = request.param(client, functions, **options)
        if isinstance(harness, Harness):
            async with harness:
                yield Either(harness)
        else:
            with harness:
                yield Either(harness)

    return opened

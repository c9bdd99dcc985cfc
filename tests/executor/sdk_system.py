"""Our own SDK and the executor, each behind a socket of its own, with functions of either colour."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from typing import Any

import httpx

import stepserve.asgi
from stepserve import Function, Inngest
from stepserve_core.executor.clock import Clock
from stepserve_core.executor.gateway_policy import DEV_ENTRIES
from stepserve_core.executor.server import ServerConfig, serving
from tests import regime
from tests.executor.raw_app import RawApp, served
from tests.executor.system import System

KEY = "signkey-test-8ee2262a15e8d3c42d6a840db7af3de2aab08ef632b32a37a687f24b34dba3ff"


@asynccontextmanager
async def sdk_system(
    define: Callable[[Inngest], list[Function[Any]]], *, clock: Clock | None = None, **settings: Any
) -> AsyncGenerator[System, None]:
    """Run an executor, and an app that serves what `define` makes of a client that knows the executor.

    The client is `system.client`. With a signing key both are in production mode; so they are where clocks differ,
    which nobody would notice without signatures; but what development allows is allowed then too.
    """
    defaults: dict[str, Any] = {"port": 0, "poll": False, "retry_interval": 0.0}
    is_skewed = regime.current is not None and regime.current.clock_skew > 0
    if is_skewed:
        defaults |= {"kind": "cloud", "signing_key": KEY, "event_keys": ["key"], "gateway_allow": DEV_ENTRIES}
    config = regime.under_regime(ServerConfig(**{**defaults, **settings}))
    headers = {"authorization": f"Bearer {config.signing_key}"} if config.signing_key else {}
    async with serving(config, clock=clock) as server:
        client = Inngest(
            app_id="app",
            api_base_url=server.url,
            event_api_base_url=server.url,
            is_production=config.kind == "cloud",
            signing_key=config.signing_key,
            event_key="key",
            step_inputs=is_skewed or None,
        )
        async with (
            served(stepserve.asgi.serve(client, define(client))) as origin,
            httpx.AsyncClient(base_url=server.url, headers=headers) as http,
        ):
            answer = await http.put(f"{origin}/api/inngest", timeout=30)

            assert 200 == answer.status_code, answer.text
            system = System(RawApp([]), server.executor, http, clock, config.database)
            system.client = client
            yield system

"""The routes of the API, and what is added to every response."""

from __future__ import annotations

import sqlite3

from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.middleware.cors import CORSMiddleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route, WebSocketRoute
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from stepserve_core import _protocol
from stepserve_core.executor.api import (
    apps,
    cancellations,
    checkpoints,
    connect,
    endpoints,
    history,
    intake,
    live,
    metadata,
    metrics,
    overrides,
    overview,
    reads,
    realtime,
    signals,
)
from stepserve_core.executor.api.http import (
    Access,
    HttpError,
    database_response,
    error_response,
    require_bearer,
    require_key,
)
from stepserve_core.executor.api.openapi import openapi
from stepserve_core.executor.api.v2.routes import V2_ROUTES
from stepserve_core.executor.apps import AppSync
from stepserve_core.executor.connect.gateway import Gateway
from stepserve_core.executor.dashboard.assets import ASSET_ROUTES
from stepserve_core.executor.dashboard.guard import LocalOnlyMiddleware
from stepserve_core.executor.dashboard.login import LOGIN_ROUTES
from stepserve_core.executor.dashboard.sessions import Guesses, Sessions
from stepserve_core.executor.executor import Executor
from stepserve_core.executor.live import LiveFeed


async def gql(request: Request) -> Response:
    """`POST /v0/gql`. The library is imported when it is first needed: most servers never are asked."""
    require_key(request)
    from stepserve_core.executor.api.graphql.endpoint import respond  # noqa: PLC0415 - see above

    return await respond(request)


async def mcp(request: Request) -> Response:
    """`POST /mcp`: tools for assistants. Imported when it is first asked for: most servers never are."""
    require_bearer(request)
    from stepserve_core.executor.mcp.endpoint import respond  # noqa: PLC0415 - see above

    return await respond(request)


CHECKPOINT_PREFIXES = ("/v1/checkpoint", "/v1/http/runs")

ROUTES = [
    Route("/e/{key:path}", intake.send_events, methods=["POST"]),
    Route("/invoke/{slug:path}", intake.invoke, methods=["POST"]),
    Route("/fn/register", apps.register, methods=["POST"]),
    Route("/fn/remove", apps.remove, methods=["DELETE"]),
    Route("/fn/step-limit", overrides.limit_steps, methods=["POST"]),
    Route("/fn/step-limit", overrides.reset_steps, methods=["DELETE"]),
    Route("/fn/state-size-limit", overrides.limit_state, methods=["POST"]),
    Route("/fn/state-size-limit", overrides.reset_state, methods=["DELETE"]),
    Route("/health", apps.health, methods=["GET"]),
    Route("/metrics", metrics.get_metrics, methods=["GET"]),
    Route("/dev", apps.dev, methods=["GET"]),
    Route("/openapi.json", openapi, methods=["GET"]),
    Route("/mcp", mcp, methods=["POST"]),
    Route("/v0/gql", gql, methods=["POST"]),
    Route("/v0/telemetry", intake.take_telemetry, methods=["POST"]),
    Route("/v1/traces/userland", intake.take_spans, methods=["POST"]),
    Route("/dev/traces", intake.take_spans, methods=["POST"]),
    Route("/v0/runs/{id}", reads.cancel_run_silently, methods=["DELETE"]),
    Route("/v0/runs/{id}/batch", reads.get_batch, methods=["GET"]),
    Route("/v0/runs/{id}/actions", reads.get_actions, methods=["GET"]),
    Route("/v0/connect/start", connect.start, methods=["POST"]),
    Route("/v0/connect/flush", connect.flush, methods=["POST"]),
    Route("/v0/connect/envs/{env}/conns", connect.list_connections, methods=["GET"]),
    Route("/v1/events", reads.list_events, methods=["GET"]),
    Route("/v1/events/{id}", reads.get_event, methods=["GET"]),
    Route("/v1/events/{id}/runs", reads.list_event_runs, methods=["GET"]),
    Route("/v1/runs/{id}", reads.get_run, methods=["GET"]),
    Route("/v1/runs/{id}", reads.cancel_run, methods=["DELETE"]),
    Route("/v1/runs/{id}/history", history.get_history, methods=["GET"]),
    Route("/v1/runs/{id}/jobs", reads.list_jobs, methods=["GET"]),
    Route("/v1/apps/{name}/functions", apps.list_functions, methods=["GET"]),
    Route("/v1/functions/{slug:path}/tick", apps.tick, methods=["POST"]),
    Route("/v1/functions/{slug:path}/pause", apps.pause, methods=["POST"]),
    Route("/v1/functions/{slug:path}/resume", apps.resume, methods=["POST"]),
    Route("/v1/cancellations", cancellations.create, methods=["POST"]),
    Route("/v1/cancellations", cancellations.list_all, methods=["GET"]),
    Route("/v1/cancellations/{id}", cancellations.remove, methods=["DELETE"]),
    Route("/v1/runs/{id}/metadata", metadata.add_metadata, methods=["POST"]),
    Route("/v1/realtime/token", realtime.create_token, methods=["POST"]),
    Route("/v1/realtime/publish", realtime.publish, methods=["POST"]),
    Route("/v1/realtime/publish/tee", realtime.tee, methods=["POST"]),
    Route("/v1/realtime/sse", realtime.stream, methods=["GET"]),
    *(Route(f"{prefix}/{{id}}/async", checkpoints.save, methods=["POST"]) for prefix in CHECKPOINT_PREFIXES),
    *(Route(prefix, endpoints.begin, methods=["POST"]) for prefix in CHECKPOINT_PREFIXES),
    *(Route(f"{prefix}/{{id}}/steps", endpoints.save, methods=["POST"]) for prefix in CHECKPOINT_PREFIXES),
    *(Route(f"{prefix}/{{id}}/output", endpoints.get_output, methods=["GET"]) for prefix in CHECKPOINT_PREFIXES),
    WebSocketRoute("/v1/realtime/connect", realtime.connect),
    Route("/v1/overview", overview.get_overview, methods=["GET"]),
    Route("/v1/live", live.follow, methods=["GET"]),
    Route("/v1/signals", signals.send_signal, methods=["POST"]),
    *V2_ROUTES,
]


class ServerKindMiddleware:
    """Says on every response what kind of server this is (executor.md 1.5)."""

    def __init__(self, app: ASGIApp, kind: str) -> None:
        self._app = app
        self._header = (_protocol.SERVER_KIND.encode(), kind.encode())

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on and add the header to the response."""

        async def send_with_header(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message["headers"], self._header]
            await send(message)

        await self._app(scope, receive, send_with_header)


def build_api(
    executor: Executor,
    access: Access,
    sync: AppSync | None = None,
    gateway: Gateway | None = None,
    *,
    dashboard: bool = True,
) -> Starlette:
    """Return the API of an executor as an ASGI application, with the dashboard or without.

    `sync` is asked to sync apps by URL, `gateway` is where workers are sent.
    """
    guard = [] if access.signing_keys else [Middleware(LocalOnlyMiddleware, allowed=access.hosts)]
    app = Starlette(
        # Files last: their routes are open.
        routes=[*ROUTES, *LOGIN_ROUTES, *ASSET_ROUTES] if dashboard else ROUTES,
        middleware=[
            Middleware(ServerKindMiddleware, kind=access.kind),
            *guard,
            Middleware(
                CORSMiddleware,
                allow_origins=["*"],
                allow_methods=["GET", "POST", "PUT", "DELETE", "OPTIONS"],
                allow_headers=["*"],
                expose_headers=["Link", "Mcp-Session-Id"],
                max_age=3600,
            ),
        ],
        exception_handlers={HttpError: error_response, sqlite3.Error: database_response},
    )
    app.state.executor = executor
    app.state.access = access
    app.state.sync = sync
    app.state.gateway = gateway
    app.state.live = LiveFeed(executor.store)
    app.state.sessions = Sessions(access.signing_keys, access.dashboard_token) if access.signing_keys else None
    app.state.start_options = {}
    app.state.guesses = Guesses()
    return app

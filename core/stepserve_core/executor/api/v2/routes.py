"""The routes of `/v2`, which answer under `/api/v2` too."""

from __future__ import annotations

from starlette.routing import Route

from stepserve_core.executor.api.v2 import apps, runs, scores, server, trace

_ENDPOINTS = (
    ("GET", "/health", server.health),
    ("GET", "/account", server.account),
    ("GET", "/envs", server.environments),
    ("GET", "/keys/events", server.event_keys),
    ("GET", "/keys/signing", server.signing_keys),
    ("POST", "/events", server.send_event),
    ("POST", "/events/{id}/resend", server.resend_event),
    ("GET", "/events/{id}/runs", runs.event_runs),
    ("GET", "/runs", runs.search_runs),
    ("GET", "/runs/{id}", runs.get_run),
    ("GET", "/runs/{id}/trace", trace.get_trace),
    ("POST", "/runs/{id}/scores", scores.add_score),
    ("POST", "/runs/{id}/cancel", runs.cancel_run),
    ("POST", "/runs/{id}/rerun", runs.rerun),
    ("GET", "/functions", apps.list_functions),
    ("GET", "/apps", apps.list_apps),
    ("POST", "/apps", apps.add_app),
    ("GET", "/apps/{app}", apps.get_app),
    ("POST", "/apps/{app}/sync", apps.sync_app),
    ("GET", "/apps/{app}/functions", apps.list_functions),
    ("GET", "/apps/{app}/functions/{function}", apps.get_function),
    ("GET", "/apps/{app}/functions/{function}/runs", runs.search_runs),
    ("POST", "/apps/{app}/functions/{function}/invoke", apps.invoke),
)
_ANY = ["GET", "POST", "PUT", "PATCH", "DELETE"]

V2_ROUTES = [
    *(
        Route(prefix + path, handle, methods=[method])
        for prefix in ("/v2", "/api/v2")
        for method, path, handle in _ENDPOINTS
    ),
    *(Route(f"{prefix}/{{rest:path}}", server.not_implemented, methods=_ANY) for prefix in ("/v2", "/api/v2")),
]

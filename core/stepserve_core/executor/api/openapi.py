"""The API's OpenAPI document: paths, methods and summaries come from the routes, the rest from the tables here."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterable
from typing import Any

import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from stepserve_core._version import VERSION
from stepserve_core.executor.api.http import json_response, require_key

_Schema = dict[str, Any]

_TEXT: _Schema = {"type": "string"}
_MOMENT: _Schema = {"type": "string", "format": "date-time"}
_FLAG: _Schema = {"type": "boolean"}
_OBJECT: _Schema = {"type": "object"}
_EVENT: _Schema = {
    "type": "object",
    "required": ["name"],
    "properties": {
        "name": _TEXT,
        "data": _OBJECT,
        "id": _TEXT,
        "ts": {"type": "integer", "description": "Unix milliseconds"},
        "user": _OBJECT,
        "v": _TEXT,
    },
}
_RUN_SEARCH: dict[str, _Schema] = {
    "from": _MOMENT,
    "until": _MOMENT,
    "timeField": {"enum": ["queued_at", "started_at", "ended_at"]},
    "status": {
        "type": "array",
        "items": {"enum": ["QUEUED", "RUNNING", "COMPLETED", "FAILED", "CANCELLED", "SKIPPED"]},
    },
    "appId": _TEXT,
    "functionId": _TEXT,
    "query": {"type": "string", "description": "an expression on each line, over event, output and error"},
    "order": {"enum": ["asc", "desc"]},
    "cursor": _TEXT,
    "limit": {"type": "integer", "minimum": 1, "maximum": 100, "default": 20},
    "includeOutput": _FLAG,
    "includePreview": _FLAG,
}

QUERIES: dict[str, dict[str, _Schema]] = {
    "/fn/remove": {"url": _TEXT},
    "/fn/step-limit": {"functionId": _TEXT, "limit": {"type": "integer", "minimum": 1, "maximum": 10_000}},
    "/fn/state-size-limit": {"functionId": _TEXT, "limit": {"type": "integer", "minimum": 1, "maximum": 33_554_432}},
    "/v0/connect/envs/{env}/conns": {"app_id": _TEXT},
    "/v1/events": {
        "name": _TEXT,
        "received_after": _MOMENT,
        "received_before": _MOMENT,
        "cursor": _TEXT,
        "limit": {"type": "integer", "minimum": 1, "maximum": 51, "default": 20},
    },
    "/v1/realtime/publish": {"channel": _TEXT, "topic": {"type": "array", "items": _TEXT}, "run_id": _TEXT},
    "/v1/realtime/publish/tee": {"channel": _TEXT},
    "/v1/realtime/sse": {"token": _TEXT},
    "/v2/runs": _RUN_SEARCH,
    "/v2/apps/{app}/functions/{function}/runs": _RUN_SEARCH,
    "/v2/events/{id}/runs": {name: _RUN_SEARCH[name] for name in ("cursor", "limit", "includeOutput")},
}
"""Query parameters by path; none of them is required."""

BODIES: dict[str, _Schema] = {
    "/e/{key}": {"anyOf": [_EVENT, {"type": "array", "items": _EVENT, "maxItems": 5000}]},
    "/invoke/{slug}": {"type": "object", "properties": {"data": _OBJECT, "user": _OBJECT, "id": _TEXT}},
    "/fn/register": {
        "type": "object",
        "required": ["appName", "url", "functions"],
        "properties": {
            "appName": _TEXT,
            "url": _TEXT,
            "sdk": _TEXT,
            "framework": _TEXT,
            "functions": {"type": "array", "items": _OBJECT},
        },
    },
    "/v0/gql": {
        "type": "object",
        "required": ["query"],
        "properties": {"query": _TEXT, "variables": _OBJECT, "operationName": _TEXT},
    },
    "/v1/functions/{slug}/pause": {"type": "object", "properties": {"mode": {"enum": ["hold", "skip"]}}},
    "/v1/cancellations": {
        "type": "object",
        "required": ["function_id", "started_before"],
        "properties": {
            "app_id": _TEXT,
            "function_id": _TEXT,
            "started_after": _MOMENT,
            "started_before": _MOMENT,
            "if": _TEXT,
        },
    },
    "/v1/runs/{id}/metadata": {
        "type": "object",
        "required": ["metadata"],
        "properties": {
            "metadata": {
                "type": "array",
                "items": {"type": "object", "properties": {"kind": _TEXT, "op": _TEXT, "values": _OBJECT}},
            },
            "target": {"type": "object", "properties": {"step_id": _TEXT}},
        },
    },
    "/v1/realtime/token": {
        "type": "array",
        "items": {"type": "object", "properties": {"channel": _TEXT, "name": _TEXT}},
    },
    "/v1/realtime/publish": {},
    "/v1/realtime/publish/tee": {},
    "/v1/signals": {"type": "object", "required": ["signal"], "properties": {"signal": _TEXT, "data": {}}},
    "/mcp": {
        "type": "object",
        "required": ["jsonrpc", "method"],
        "properties": {
            "jsonrpc": {"const": "2.0"},
            "id": {"type": ["string", "integer"]},
            "method": {"enum": ["initialize", "ping", "tools/list", "tools/call"]},
            "params": {"type": "object", "properties": {"name": _TEXT, "arguments": _OBJECT}},
        },
    },
    "/v2/events": _EVENT,
    "/v2/runs/{id}/scores": {
        "type": "object",
        "required": ["name", "value"],
        "properties": {"name": _TEXT, "value": {"type": ["number", "boolean"]}, "stepId": _TEXT},
    },
    "/v2/runs/{id}/rerun": {
        "type": "object",
        "properties": {
            "fromStep": {
                "type": "object",
                "required": ["stepId"],
                "properties": {"stepId": _TEXT, "input": {"type": "array"}},
            }
        },
    },
    "/v2/apps/{app}/functions/{function}/invoke": {
        "type": "object",
        "properties": {"data": _OBJECT, "idempotencyKey": _TEXT},
    },
}
"""Bodies of POST requests by path; a path that is missing here takes none."""

_UNLISTED = re.compile(r"^/api/v2/|\{rest:path\}")
"""The second prefix of `/v2`, and what is there only to say that there is nothing."""


async def openapi(request: Request) -> Response:
    """`GET /openapi.json`: this document."""
    require_key(request)
    state = request.app.state
    if not hasattr(state, "openapi"):
        state.openapi = msgspec.Raw(msgspec.json.encode(describe(request.app.routes)))
    return json_response(state.openapi)


def describe(routes: Iterable[BaseRoute]) -> dict[str, Any]:
    """Return the OpenAPI document of HTTP routes."""
    paths: dict[str, dict[str, Any]] = {}
    for route in routes:
        if isinstance(route, Route) and not _UNLISTED.search(route.path):
            path = route.path.replace(":path", "")
            for method in sorted((route.methods or set()) - {"HEAD"}):
                paths.setdefault(path, {})[method.lower()] = _operation(path, method, route)
    return {
        "openapi": "3.1.0",
        "info": {"title": "stepserve", "version": VERSION, "description": "The embedded executor's API."},
        "components": {"securitySchemes": {"signingKey": {"type": "http", "scheme": "bearer"}}},
        "security": [{"signingKey": []}],
        "paths": paths,
    }


def _operation(path: str, method: str, route: Route) -> dict[str, Any]:
    summary = re.sub(r"\s+", " ", inspect.getdoc(route.endpoint) or "")
    parameters = [{"name": name, "in": "path", "required": True, "schema": _TEXT} for name in _names(path)]
    parameters += [{"name": name, "in": "query", "schema": schema} for name, schema in QUERIES.get(path, {}).items()]
    described: dict[str, Any] = {
        "summary": summary.partition(": ")[2].partition(". ")[0].rstrip(".") or summary.rstrip("."),
        "parameters": parameters,
        "responses": {"default": {"description": "JSON; an error says what to do"}},
    }
    if method == "POST" and path in BODIES:
        described["requestBody"] = {"required": True, "content": {"application/json": {"schema": BODIES[path]}}}
    return described


def _names(path: str) -> list[str]:
    return re.findall(r"\{(\w+)\}", path)

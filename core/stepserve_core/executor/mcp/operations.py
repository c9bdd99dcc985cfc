"""Operations of `/v2` as tools: their arguments are those of the path, the query and the body (executor.md 1.6)."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, NamedTuple
from urllib.parse import urlencode

import msgspec
from starlette.requests import Request
from starlette.routing import Route
from starlette.types import Message

from stepserve_core.executor.api.openapi import BODIES, QUERIES
from stepserve_core.executor.api.v2.routes import V2_ROUTES

_IN_PATH = re.compile(r"\{(\w+)\}")
_KEPT_HEADERS = frozenset({b"authorization", b"host"})


class Operation(NamedTuple):
    """A tool that is one request. `changes` says that it does something, `destroys` that it ends something."""

    name: str
    description: str
    method: str
    path: str
    changes: bool = False
    destroys: bool = False

    @property
    def schema(self) -> dict[str, Any]:
        """The JSON Schema of the arguments."""
        body = BODIES.get(self.path, {}) if self.method == "POST" else {}
        in_path = {name: {"type": "string"} for name in self.path_names}
        properties = {**in_path, **QUERIES.get(self.path, {}), **body.get("properties", {})}
        return {
            "type": "object",
            "properties": properties,
            "required": [*in_path, *body.get("required", ())],
            "additionalProperties": False,
        }

    @property
    def path_names(self) -> list[str]:
        """The arguments that stand in the path."""
        return _IN_PATH.findall(self.path)

    async def call(self, request: Request, arguments: Mapping[str, Any]) -> dict[str, Any]:
        """Make the request, with the headers of `request`; return the JSON of the answer, `errors` where it failed."""
        query = QUERIES.get(self.path, {})
        given = {name: value for name, value in arguments.items() if value is not None}
        body = {name: value for name, value in given.items() if name not in query and name not in self.path_names}
        content = msgspec.json.encode(body) if self.method == "POST" and body else b""
        asked = {name: given[name] for name in query if name in given}
        scope = {
            **request.scope,
            "method": self.method,
            "path_params": {name: str(given[name]) for name in self.path_names},
            "query_string": urlencode(_texts(asked), doseq=True).encode(),
            "headers": [pair for pair in request.scope["headers"] if pair[0] in _KEPT_HEADERS],
        }
        response = await _endpoint_of(self)(Request(scope, _body_of(content)))
        answer: dict[str, Any] = msgspec.json.decode(response.body)
        return answer


def _texts(query: dict[str, Any]) -> dict[str, Any]:
    """Return values as queries write them."""
    return {name: str(value).lower() if isinstance(value, bool) else value for name, value in query.items()}


def _body_of(content: bytes) -> Any:
    async def receive() -> Message:
        return {"type": "http.request", "body": content, "more_body": False}

    return receive


def _endpoint_of(operation: Operation) -> Any:
    for route in V2_ROUTES:
        if isinstance(route, Route) and route.path == operation.path and operation.method in (route.methods or ()):
            return route.endpoint
    raise LookupError(f"there is no {operation.method} {operation.path}")


SEND_EVENT = Operation(
    "send_event", "Send an event; it starts the functions whose triggers match.", "POST", "/v2/events", True
)
EVENT_RUNS = Operation("list_event_runs", "List the runs that an event started.", "GET", "/v2/events/{id}/runs")
GET_RUN = Operation("get_run", "Get a run: its status and its times.", "GET", "/v2/runs/{id}")
INVOKE = Operation(
    "invoke_function",
    "Start one function, whatever its triggers, and return the id of the run.",
    "POST",
    "/v2/apps/{app}/functions/{function}/invoke",
    changes=True,
)
OPERATIONS = (
    Operation("list_apps", "List the apps that registered, with what is wrong with them.", "GET", "/v2/apps"),
    Operation("list_functions", "List all functions: triggers, schedules, options.", "GET", "/v2/functions"),
    Operation("list_runs", "List runs, the newest first, by time, status, function or expression.", "GET", "/v2/runs"),
    EVENT_RUNS,
    GET_RUN,
    Operation("get_run_trace", "Get what a run did: steps, attempts, outputs, errors.", "GET", "/v2/runs/{id}/trace"),
    INVOKE,
    Operation(
        "cancel_run", "Cancel a run that has not ended.", "POST", "/v2/runs/{id}/cancel", changes=True, destroys=True
    ),
    Operation(
        "rerun",
        "Start a run again with the same event, perhaps from a step.",
        "POST",
        "/v2/runs/{id}/rerun",
        changes=True,
    ),
)

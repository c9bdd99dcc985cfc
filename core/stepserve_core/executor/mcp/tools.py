"""The tools: operations of `/v2`, and what the official server's tools do (executor.md 1.6)."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, NamedTuple

from starlette.requests import Request

from stepserve_core.executor.api.http import executor_of
from stepserve_core.executor.mcp import operations
from stepserve_core.executor.mcp.guides import GuideError, list_guides, read_guide, search_guides
from stepserve_core.executor.mcp.operations import EVENT_RUNS, GET_RUN, INVOKE, OPERATIONS, SEND_EVENT

_TEXT = {"type": "string"}
_SECONDS = {"type": "number", "minimum": 0, "maximum": 600, "default": 30}
_ENDED = frozenset({"COMPLETED", "FAILED", "CANCELLED", "SKIPPED"})
_FIRST_PAUSE, _LONGEST_PAUSE = 0.1, 1.0
"""Seconds between two looks at a run that is waited for: more and more."""

LONGEST_WAIT, DEFAULT_WAIT = 600.0, 30.0
"""Seconds."""

MOST_RUNS = 20
"""Runs that are waited for at once."""

Handler = Callable[[Request, Mapping[str, Any]], Awaitable[Any]]


class ToolError(Exception):
    """Why a tool did nothing: told to the assistant, which can try otherwise."""


class Tool(NamedTuple):
    """A tool; `schema` is that of its arguments."""

    name: str
    description: str
    schema: dict[str, Any]
    handle: Handler
    changes: bool = False
    destroys: bool = False

    def describe(self) -> dict[str, Any]:
        """Return the tool as `tools/list` shows it."""
        hints = {"readOnlyHint": not self.changes, "destructiveHint": self.destroys, "openWorldHint": False}
        return {
            "name": self.name,
            "description": self.description,
            "inputSchema": self.schema,
            "annotations": hints,
        }

    def check(self, arguments: Mapping[str, Any]) -> None:
        """Refuse arguments that are missing or not known; the rest is checked where it is used.

        Raises:
            ToolError: it is so.
        """
        missing = [name for name in self.schema.get("required", ()) if arguments.get(name) in (None, "")]
        unknown = [name for name in arguments if name not in self.schema["properties"]]
        if missing or unknown:
            problem = f"the argument {missing[0]!r} is missing" if missing else f"there is no argument {unknown[0]!r}"
            raise ToolError(f"{problem}; {self.name} takes {', '.join(self.schema['properties']) or 'none'}")


def _schema(required: tuple[str, ...] = (), **properties: Any) -> dict[str, Any]:
    return {"type": "object", "properties": properties, "required": list(required), "additionalProperties": False}


async def _ask(operation: operations.Operation, request: Request, arguments: Mapping[str, Any]) -> Any:
    """Return the data of an operation, with the next page where there is one."""
    answer = await operation.call(request, arguments)
    if "errors" in answer:
        raise ToolError("; ".join(error["message"] for error in answer["errors"]))
    page = answer.get("page")
    return {"data": answer["data"], "page": page} if page and page.get("hasMore") else answer["data"]


def _tool_of(operation: operations.Operation) -> Tool:
    async def handle(request: Request, arguments: Mapping[str, Any]) -> Any:
        return await _ask(operation, request, arguments)

    return Tool(operation.name, operation.description, operation.schema, handle, operation.changes, operation.destroys)


async def _send_event(request: Request, arguments: Mapping[str, Any]) -> Any:
    """Send an event and say which runs it started; those are committed with it."""
    sent = await _ask(SEND_EVENT, request, arguments)
    runs = await _ask(EVENT_RUNS, request, {"id": sent["eventId"]})
    listed = runs["data"] if isinstance(runs, dict) else runs
    return {**sent, "runIds": [run["id"] for run in listed]}


async def _get_status(request: Request, arguments: Mapping[str, Any]) -> Any:
    return await _ask(GET_RUN, request, {"id": arguments["runId"], "includeOutput": True})


async def _poll_status(request: Request, arguments: Mapping[str, Any]) -> Any:
    run_ids = arguments["runIds"]
    if not isinstance(run_ids, list) or not 0 < len(run_ids) <= MOST_RUNS:
        raise ToolError(f"runIds must be a list of 1 to {MOST_RUNS} ids")
    return await _wait_for(request, [str(run_id) for run_id in run_ids], _seconds(arguments))


async def _invoke_and_wait(request: Request, arguments: Mapping[str, Any]) -> Any:
    wait = _seconds(arguments)
    function = executor_of(request).registry.find(str(arguments["functionId"]))
    if function is None:
        raise ToolError(f"there is no function {str(arguments['functionId'])[:80]!r}; list_functions names them")
    names = {"app": function.app_id, "function": function.id}
    started = await _ask(INVOKE, request, {**names, "data": arguments.get("data")})
    return (await _wait_for(request, [started["runId"]], wait))[0]


def _seconds(arguments: Mapping[str, Any]) -> float:
    given = arguments.get("timeout")
    if given is None:
        return DEFAULT_WAIT
    if isinstance(given, bool) or not isinstance(given, (int, float)) or not 0 <= given <= LONGEST_WAIT:
        raise ToolError(f"timeout must be a number of seconds from 0 to {LONGEST_WAIT:g}")
    return float(given)


async def _wait_for(request: Request, run_ids: list[str], seconds: float) -> list[Any]:
    """Return the runs as they are when all have ended, or the time is over."""
    loop = asyncio.get_running_loop()
    end, pause = loop.time() + seconds, _FIRST_PAUSE
    while True:
        runs = [await _ask(GET_RUN, request, {"id": run_id}) for run_id in run_ids]
        if loop.time() >= end or all(run["status"] in _ENDED for run in runs):
            return [await _get_status(request, {"runId": run_id}) for run_id in run_ids]
        await asyncio.sleep(min(pause, max(end - loop.time(), 0)))
        pause = min(pause * 1.5, _LONGEST_PAUSE)


async def _list_docs(_request: Request, _arguments: Mapping[str, Any]) -> Any:
    return list_guides()


async def _read_doc(_request: Request, arguments: Mapping[str, Any]) -> Any:
    try:
        return read_guide(str(arguments["name"]))
    except GuideError as error:
        raise ToolError(str(error)) from None


async def _grep_docs(_request: Request, arguments: Mapping[str, Any]) -> Any:
    limit = arguments.get("limit", 20)
    if isinstance(limit, bool) or not isinstance(limit, int):
        raise ToolError("limit must be a whole number")
    try:
        return search_guides(str(arguments["pattern"]), limit)
    except GuideError as error:
        raise ToolError(str(error)) from None


_RUN_IDS = {"type": "array", "items": _TEXT, "minItems": 1, "maxItems": MOST_RUNS}
TOOLS = {
    tool.name: tool
    for tool in (
        Tool("send_event", SEND_EVENT.description, SEND_EVENT.schema, _send_event, changes=True),
        Tool("get_run_status", "Get the status and output of a run.", _schema(("runId",), runId=_TEXT), _get_status),
        Tool(
            "poll_run_status",
            "Wait until runs have ended, or the time is over; return their status and output.",
            _schema(("runIds",), runIds=_RUN_IDS, timeout=_SECONDS),
            _poll_status,
        ),
        Tool(
            "invoke_function_sync",
            "Start one function by its slug or id, and wait for its result.",
            _schema(("functionId",), functionId=_TEXT, data={"type": "object"}, timeout=_SECONDS),
            _invoke_and_wait,
            changes=True,
        ),
        *(_tool_of(operation) for operation in OPERATIONS),
        Tool("list_docs", "List the guides of stepserve.", _schema(), _list_docs),
        Tool("read_doc", "Read a guide of stepserve.", _schema(("name",), name=_TEXT), _read_doc),
        Tool(
            "grep_docs",
            "Find a text in the guides of stepserve.",
            _schema(("pattern",), pattern=_TEXT, limit={"type": "integer", "default": 20}),
            _grep_docs,
        ),
    )
}

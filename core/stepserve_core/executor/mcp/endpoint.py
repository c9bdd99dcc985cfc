"""`/mcp`: one message in, one answer out; no sessions and no streams, so that nothing has to be kept."""

from __future__ import annotations

from typing import Any

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from stepserve_core._version import VERSION
from stepserve_core.executor import limits
from stepserve_core.executor.api.http import json_response, read_body
from stepserve_core.executor.mcp.messages import (
    INVALID_PARAMS,
    METHOD_NOT_FOUND,
    Message,
    MessageError,
    choose_version,
    read_message,
    write_error,
    write_result,
)
from stepserve_core.executor.mcp.tools import TOOLS, ToolError

_INSTRUCTIONS = (
    "stepserve runs durable step functions. send_event and invoke_function_sync start them; get_run_trace says what a"
    " run did and why it failed; list_docs and read_doc explain how functions are written."
)


async def respond(request: Request) -> Response:
    """Answer a message (executor.md 1.6). GET, which would open a stream, is not there; the protocol allows that."""
    try:
        message = read_message(await read_body(request, limits.EVENT_SIZE))
    except MessageError as error:
        return json_response(write_error(None, error), 400)
    if message is None or message.id is None:
        return Response(status_code=202)
    try:
        return json_response(write_result(message.id, await _carry_out(request, message)))
    except MessageError as error:
        return json_response(write_error(message.id, error))


async def _carry_out(request: Request, message: Message) -> dict[str, Any]:
    match message.method:
        case "initialize":
            return {
                "protocolVersion": choose_version(message.params.get("protocolVersion")),
                "capabilities": {"tools": {}},
                "serverInfo": {"name": "stepserve", "version": VERSION},
                "instructions": _INSTRUCTIONS,
            }
        case "ping":
            return {}
        case "tools/list":
            return {"tools": [tool.describe() for tool in TOOLS.values()]}
        case "tools/call":
            return await _call_tool(request, message.params)
        case _:
            raise MessageError(METHOD_NOT_FOUND, f"there is no method {message.method[:80]!r}")


async def _call_tool(request: Request, params: dict[str, Any]) -> dict[str, Any]:
    """Return what a tool answers, as text; what it refuses is an answer too, for the assistant to read."""
    tool, arguments = TOOLS.get(str(params.get("name"))), params.get("arguments") or {}
    if tool is None:
        raise MessageError(INVALID_PARAMS, f"there is no tool {str(params.get('name'))[:80]!r}")
    if not isinstance(arguments, dict):
        raise MessageError(INVALID_PARAMS, "arguments must be an object")
    try:
        tool.check(arguments)  # pyright: ignore[reportUnknownArgumentType] - JSON
        found = await tool.handle(request, arguments)  # pyright: ignore[reportUnknownArgumentType] - JSON
    except ToolError as error:
        return {"content": [{"type": "text", "text": str(error)}], "isError": True}
    text = found if isinstance(found, str) else msgspec.json.format(msgspec.json.encode(found)).decode()
    return {"content": [{"type": "text", "text": text}], "isError": False}

"""The official client of the Model Context Protocol on `stepserve dev`."""

from __future__ import annotations

import json
from collections.abc import Generator

import pytest

from tests.cli.command import running

mcp = pytest.importorskip("mcp", reason="the official client of MCP is not installed: pip install mcp")


@pytest.fixture(scope="module")
def server() -> Generator[str]:
    """Return the URL of a development server without apps."""
    with running("dev", "--port", "0") as started:
        yield started.url


@pytest.mark.anyio
async def test_the_official_client_connects_and_uses_tools(server: str) -> None:
    async with mcp.Client(f"{server}/mcp") as client:
        name = client.server_info.name
        tools = [tool.name for tool in (await client.list_tools()).tools]
        sent = await client.call_tool("send_event", {"name": "shop/nobody.listens", "data": {"n": 1}})
        refused = await client.call_tool("get_run_status", {"runId": "none"})

    assert "stepserve" == name
    assert {"send_event", "get_run_status", "grep_docs"} < set(tools)
    assert (False, []) == (sent.is_error, json.loads(sent.content[0].text)["runIds"])
    assert (True, "'none' is not the id of a run") == (refused.is_error, refused.content[0].text)

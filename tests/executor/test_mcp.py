"""`/mcp`: the messages and tools, spoken by hand; tests/peers/test_mcp_client.py has the official client."""

from __future__ import annotations

import json
from typing import Any

import pytest

from stepserve_core.executor.mcp.guides import guides
from stepserve_core.executor.mcp.messages import VERSIONS, MessageError, choose_version, read_message
from tests.executor.conftest import StartSystem
from tests.executor.raw_app import Call, Fn, RaisedError, run
from tests.executor.system import System

pytestmark = pytest.mark.anyio


def greet(call: Call) -> Any:
    yield run("write", call.event["data"].get("name"))
    return "done"


def fail(_: Call) -> Any:
    yield run("fine", 1)
    raise RaisedError("no good", no_retry=True)


def park(_: Call) -> Any:
    yield [run("a", 1), run("b", 2)]
    raise RaisedError("later", retry_after="3600")


FUNCTIONS = (
    Fn("greet", greet, triggers=[{"event": "test/greet"}]),
    Fn("fail", fail, triggers=[{"event": "test/greet"}]),
    Fn("park", park, triggers=[{"event": "test/park"}]),
)


async def ask(system: System, method: str, **params: Any) -> Any:
    """Return the result of a message."""
    message = {"jsonrpc": "2.0", "id": 1, "method": method, "params": params}
    answer = await system.http.post("/mcp", json=message)

    assert (200, "2.0", 1) == (answer.status_code, answer.json()["jsonrpc"], answer.json()["id"]), answer.text
    return answer.json()["result"]


async def use(system: System, tool: str, **arguments: Any) -> Any:
    """Return what a tool answers: JSON, or text where it is none."""
    result = await ask(system, "tools/call", name=tool, arguments=arguments)

    assert result["isError"] is False, result
    text = result["content"][0]["text"]
    return json.loads(text) if text[0] in "[{" else text


async def refusal(system: System, tool: str, **arguments: Any) -> str:
    """Return why a tool does nothing."""
    result = await ask(system, "tools/call", name=tool, arguments=arguments)

    assert result["isError"] is True, result
    text: str = result["content"][0]["text"]
    return text


async def test_a_client_is_greeted_in_its_version_and_told_of_the_tools(start: StartSystem) -> None:
    async with start(*FUNCTIONS) as system:
        hello = await ask(system, "initialize", protocolVersion="2025-06-18", capabilities={}, clientInfo={})
        note = await system.http.post("/mcp", json={"jsonrpc": "2.0", "method": "notifications/initialized"})
        pong = await ask(system, "ping")
        tools = {tool["name"]: tool for tool in (await ask(system, "tools/list"))["tools"]}

    assert ("2025-06-18", {"tools": {}}, "stepserve") == (
        hello["protocolVersion"],
        hello["capabilities"],
        hello["serverInfo"]["name"],
    )
    assert (202, b"", {}) == (note.status_code, note.content, pong)
    assert {"send_event", "get_run_status", "poll_run_status", "invoke_function_sync", "grep_docs", "read_doc"} < {
        *tools
    }
    assert {"list_docs", "invoke_function", "get_run", "get_run_trace"} < {*tools}
    assert ["app", "function"] == tools["invoke_function"]["inputSchema"]["required"]
    assert {"name", "data", "id"} < {*tools["send_event"]["inputSchema"]["properties"]}
    hints = {
        name: (tool["annotations"]["readOnlyHint"], tool["annotations"]["destructiveHint"])
        for name, tool in tools.items()
    }
    assert ((True, False), (False, True)) == (hints["list_runs"], hints["cancel_run"])


async def test_an_assistant_sends_an_event_and_learns_what_became_of_it(start: StartSystem) -> None:
    async with start(*FUNCTIONS) as system:
        sent = await use(system, "send_event", name="test/greet", data={"name": "ada"})
        runs = await use(system, "poll_run_status", runIds=sent["runIds"], timeout=30)
        failed = next(one for one in runs if one["status"] == "FAILED")
        trace = await use(system, "get_run_trace", id=failed["id"])
        listed = await use(system, "list_runs", status=["FAILED"], includeOutput=True, query="event.data.name == 'ada'")

    assert ["COMPLETED", "FAILED"] == sorted(one["status"] for one in runs)
    assert "no good" == failed["output"]["message"]
    assert ["fine", "Finalization"] == [step["name"] for step in trace["steps"]]
    assert [failed["id"]] == [one["id"] for one in listed]


async def test_an_assistant_invokes_a_function_and_waits_for_it(start: StartSystem) -> None:
    async with start(*FUNCTIONS) as system:
        done = await use(system, "invoke_function_sync", functionId="app-greet", data={"name": "x"}, timeout=30)
        waiting = await use(system, "invoke_function_sync", functionId="app-park", timeout=0)
        cancelled = await use(system, "cancel_run", id=waiting["id"])
        again = await use(system, "rerun", id=done["id"])
        rerun = await use(system, "poll_run_status", runIds=[again["runId"]])

    assert ("COMPLETED", "done") == (done["status"], done["output"])
    assert waiting["status"] in ("QUEUED", "RUNNING")
    assert waiting["id"] in str(cancelled)
    assert "COMPLETED" == rerun[0]["status"]


@pytest.mark.parametrize(
    ("tool", "arguments", "message"),
    [
        ("get_run_status", {}, "the argument 'runId' is missing; get_run_status takes runId"),
        ("get_run_status", {"runId": "x"}, "'x' is not the id of a run"),
        ("get_run", {"id": "x", "limit": 1}, "there is no argument 'limit'"),
        ("list_runs", {"limit": 1000}, "limit must be a number from 1 to 100"),
        ("list_runs", {"query": "event..x"}, "expected"),
        ("send_event", {"name": "inngest/own"}, "reserved"),
        ("invoke_function_sync", {"functionId": "none"}, "there is no function 'none'"),
        ("invoke_function_sync", {"functionId": "app-greet", "timeout": 6000}, "timeout must be a number of seconds"),
        ("poll_run_status", {"runIds": []}, "runIds must be a list of 1 to 20 ids"),
        ("read_doc", {"name": "../CHANGELOG"}, "there is no guide '../CHANGELOG'"),
        ("grep_docs", {"pattern": " "}, "pattern must have 1 to 200 characters"),
        ("grep_docs", {"pattern": "x", "limit": "2"}, "limit must be a whole number"),
    ],
)
async def test_what_a_tool_cannot_do_is_told_to_the_assistant(
    start: StartSystem, tool: str, arguments: dict[str, Any], message: str
) -> None:
    async with start(*FUNCTIONS) as system:
        found = await refusal(system, tool, **arguments)

    assert message in found


async def test_the_guides_are_listed_read_and_searched(start: StartSystem) -> None:
    async with start(*FUNCTIONS) as system:
        listed = await use(system, "list_docs")
        text = await use(system, "read_doc", name="executor.md")
        hits = await use(system, "grep_docs", pattern="RETENTION", limit=2)

    assert sorted(guides()) == [one["name"] for one in listed]
    assert "Running the executor" == next(one["title"] for one in listed if one["name"] == "executor")
    assert text.startswith("# Running the executor")
    assert (2, True) == (len(hits), all("retention" in hit["text"].lower() for hit in hits))


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        (b"{", 400, -32700),
        (b"[" * 100_000, 400, -32700),
        (b"[]", 400, -32600),
        (b'{"jsonrpc":"1.0","id":1,"method":"ping"}', 400, -32600),
        (b'{"jsonrpc":"2.0","id":1,"method":"server/discover"}', 200, -32601),
        (b'{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"none"}}', 200, -32602),
        (b'{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"ping","arguments":[1]}}', 200, -32602),
    ],
)
async def test_what_is_no_request_is_answered_with_an_error(
    start: StartSystem, body: bytes, status: int, code: int
) -> None:
    async with start(*FUNCTIONS) as system:
        answer = await system.http.post("/mcp", content=body)

    assert (status, code) == (answer.status_code, answer.json()["error"]["code"])


async def test_there_is_no_stream_and_no_session(start: StartSystem) -> None:
    async with start(*FUNCTIONS) as system:
        codes = [(await system.http.request(method, "/mcp")).status_code for method in ("GET", "DELETE")]

    assert [405, 405] == codes


async def test_the_signing_key_is_asked_for_and_passed_on_to_the_tools(start: StartSystem) -> None:
    cloud = {"kind": "cloud", "signing_key": "signkey-prod-0123456789abcdef", "event_keys": ["k"]}
    async with start(*FUNCTIONS, **cloud) as system:
        message = {"jsonrpc": "2.0", "id": 1, "method": "tools/list"}
        refused = await system.http.post("/mcp", json=message, headers={"authorization": ""})
        functions = await use(system, "list_functions")

    assert 401 == refused.status_code
    assert ["app-fail", "app-greet", "app-park"] == [one["slug"] for one in functions]


async def test_an_unknown_version_is_answered_with_our_newest() -> None:
    assert [VERSIONS[0], "2025-03-26"] == [choose_version("2099-01-01"), choose_version("2025-03-26")]


async def test_an_answer_asks_for_nothing_and_a_message_without_id_is_a_notification() -> None:
    assert read_message(b'{"jsonrpc":"2.0","id":1,"result":{}}') is None
    note = read_message(b'{"jsonrpc":"2.0","method":"notifications/cancelled"}')

    assert note is not None
    assert (None, {}) == (note.id, note.params)
    with pytest.raises(MessageError, match="one message"):
        read_message(b'{"jsonrpc":"2.0","id":[],"method":"ping"}')

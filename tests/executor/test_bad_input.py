"""What must not bring the server down, lose anything, or be answered without saying what to do: over real sockets."""

from __future__ import annotations

import json
import os
import sqlite3
from collections.abc import Callable, Generator
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from stepserve_core._protocol import Response
from stepserve_core.errors import ConfigurationError
from stepserve_core.executor.events import Event
from stepserve_core.executor.server import ServerConfig, serving
from stepserve_core.executor.store import damage as store_damage
from stepserve_core.executor.store.store import Store
from tests import regime
from tests.executor.conftest import StartSystem
from tests.executor.raw_app import SDK_HEADERS, Call, Fn, hash_id, reply
from tests.executor.system import System

pytestmark = pytest.mark.anyio

Steps = Generator[Any, Any, Any]
ON_X = [{"event": "test/x"}]
KEY = "signkey-prod-5ec4e7"
LIST, OBJECT = (b"[" * 100_000 + b"]" * 100_000, b'{"a":' * 100_000 + b"1" + b"}" * 100_000)


def nested(levels: int) -> bytes:
    return b"[" * levels + b"]" * levels


def fine(_: Call) -> Steps:
    return "fine"
    yield


async def is_well(system: System) -> bool:
    """Say whether a run still succeeds."""
    system.app.replies.clear()
    return await system.outcome(await system.send("test/x")) == ("Completed", "fine")


@pytest.mark.parametrize("database", [True, False], ids=["file", "memory"])
async def test_events_are_nested_as_deep_as_is_said_and_no_deeper(start: StartSystem, database: bool) -> None:
    """In both kinds of store, whose code runs on stacks of different depth."""
    keyed = {"concurrency": [{"limit": 5, "key": "event.data.a"}], "debounce": {"period": "1s", "key": "event.data.a"}}
    settings = {} if database else {"database": None}
    functions = [Fn("f", fine, ON_X), Fn("keyed", fine, ON_X, options=keyed), Fn("on", fine, [{"event": "test/*"}])]
    async with start(*functions, **settings) as system:
        # Two levels are the event and its data.
        body = b'{"name":"test/x","data":{"a":%s}}'
        taken = await system.http.post("/e/key", content=body % nested(398))
        refused = await system.http.post("/e/key", content=body % nested(399))
        await system.idle()

        assert (200, 400) == (taken.status_code, refused.status_code)
        assert "the event is nested deeper than 400 levels" == refused.json()["error"]
        runs = await system.runs(taken.json()["ids"][0])
        assert {"Completed"} == {run["status"] for run in runs}


BODIES = {
    "/e/key": [b'{"name":"x","data":%s}' % OBJECT, LIST, b"[" * 100_000],
    "/invoke/app-f": [OBJECT, b'{"data":{"a":%s}}' % LIST],
    "/fn/register": [OBJECT, b'{"appName":"app","functions":%s}' % LIST],
    "/v0/gql": [
        OBJECT,
        b'{"query":"{ apps { id } }","variables":{"a":%s}}' % LIST,
    ],
    "/v1/cancellations": [OBJECT],
    "/v1/signals": [b'{"signal":"s","data":%s}' % LIST],
    "/v1/realtime/token": [LIST],
    "/v2/events": [b'{"name":"x","data":%s}' % OBJECT],
    "/v2/apps/app/functions/f/invoke": [b'{"data":{"a":%s}}' % LIST],
    "/v1/runs/01ARZ3NDEKTSV4RRFFQ69G5FAV/metadata": [b'{"metadata":%s}' % LIST],
    "/v2/runs/01ARZ3NDEKTSV4RRFFQ69G5FAV/rerun": [b'{"fromStep":{"stepId":"a","input":%s}}' % LIST],
    "/v1/functions/app-f/pause": [OBJECT],
}


async def test_bodies_of_100_000_levels_are_refused_everywhere(start: StartSystem) -> None:
    async with start(Fn("f", fine, ON_X)) as system:
        answers = [
            (path, (await system.http.post(path, content=body)).status_code)
            for path, bodies in BODIES.items()
            for body in bodies
        ]
        query = await system.http.post("/v0/gql", json={"query": "{a" * 100_000})

        assert [] == [answer for answer in answers if answer[1] != 400]
        assert "nested too deeply" in query.json()["errors"][0]["message"]
        assert await is_well(system)


STEP = b'[{"op":"%s","id":"%s",%s}]'
ID = hash_id("a").encode()
ANSWERS = {
    "a result": (200, LIST),
    "a result as envelope": (201, b'{"status":200,"body":%s}' % LIST),
    "an error": (500, OBJECT),
    "the list of steps": (206, LIST),
    "the data of a step": (206, STEP % (b"StepRun", ID, b'"data":' + LIST)),
    "the error of a step": (206, STEP % (b"StepFailed", ID, b'"error":' + OBJECT)),
    "the payload of an invocation": (
        206,
        STEP % (b"InvokeFunction", ID, b'"opts":{"function_id":"app-f","payload":{"data":%s}}' % OBJECT),
    ),
    "the body of a request": (206, STEP % (b"AIGateway", ID, b'"opts":{"url":"http://127.0.0.1:1","body":%s}' % LIST)),
    "metadata": (206, STEP % (b"StepRun", ID, b'"data":1,"metadata":[{"kind":"a","values":%s}]' % OBJECT)),
    "one level too many": (200, nested(401)),
}


@pytest.mark.parametrize("answer", ANSWERS)
async def test_answers_that_are_nested_too_deeply_are_failed_attempts(start: StartSystem, answer: str) -> None:
    status, body = ANSWERS[answer]
    async with start(Fn("f", fine, ON_X, retries=0)) as system:
        system.app.replies["f"] = lambda _: Response(status, SDK_HEADERS, body)
        outcome = await system.outcome(await system.send("test/x"))

        assert ("Failed", "the answer is nested deeper than 400 levels") == (outcome[0], outcome[1]["message"])
        assert await is_well(system)


async def test_an_answer_that_is_nested_as_deep_as_is_allowed_is_kept_and_shown(start: StartSystem) -> None:
    functions = [Fn("f", fine, ON_X), Fn("after", fine, [{"event": "inngest/function.finished"}])]
    async with start(*functions) as system:
        system.app.replies["f"] = lambda _: Response(200, SDK_HEADERS, nested(400))
        run = await system.run_of(await system.send("test/x"))

        assert nested(400).decode() == json.dumps(run["output"])
        assert ["Completed"] == [step["status"] for step in (await system.trace(run["run_id"]))["steps"]]
        assert 1 == len(system.app.calls_of("after"))


async def test_10_000_events_in_one_request_are_refused_whole_and_5_000_are_taken(start: StartSystem) -> None:
    async with start(Fn("f", fine, ON_X)) as system:
        refused = await system.http.post("/e/key", json=[{"name": "test/y"}] * 10_000)
        stored = await system.events("test/y")
        taken = await system.http.post("/e/key", json=[{"name": "test/y"}] * 5_000)

        assert (400, []) == (refused.status_code, refused.json()["ids"])
        assert "10000 events in one request; at most 5000 are taken" == refused.json()["error"]
        assert [] == stored
        assert 5_000 == len(set(taken.json()["ids"]))
        assert await is_well(system)


@pytest.mark.not_under(*regime.REPEATS, reason="its app answers otherwise when it is asked again")
async def test_an_answer_over_the_limit_fails_its_attempt_and_the_next_one_is_taken(start: StartSystem) -> None:
    async with start(Fn("f", fine, ON_X, retries=1)) as system:

        def large_once(_: Call) -> Response:
            system.app.replies.clear()
            return reply(200, "x" * 9_000_000)

        system.app.replies["f"] = large_once
        run = await system.run_of(await system.send("test/x"))
        attempts = (await system.trace(run["run_id"]))["steps"][0]["attempts"]

        assert ("Completed", "fine") == (run["status"], run["output"])
        assert "the answer is larger than 8388608 bytes" == attempts[0]["error"]["message"]


BOMBS = {
    "a regular expression": "event.data.text.matches('(x|xx)+y') && event.data.text.matches('(?:x{500}){2}y')",
    "a comprehension": "event.data.all.all(a, event.data.all.all(b, event.data.all.exists(c, a + b + c < 0) || true))",
}


@pytest.mark.parametrize("bomb", ["a regular expression", "a comprehension"])
async def test_an_expression_that_takes_too_long_counts_as_no_match(
    start: StartSystem, bomb: str, caplog: pytest.LogCaptureFixture
) -> None:
    bombed = Fn("bombed", fine, [{"event": "test/x", "expression": BOMBS[bomb]}])
    async with start(Fn("f", fine, ON_X), bombed) as system:
        event_id = await system.send("test/x", {"text": "x" * 500_000, "all": list(range(1000))})
        await system.idle()

        assert ["Completed"] == [run["status"] for run in await system.runs(event_id)]
        assert await is_well(system)
    assert bomb == "a regular expression" or "takes too long" in caplog.text


@pytest.mark.parametrize(
    "options",
    [
        {"triggers": [{"event": "test/y", "expression": "event.data.a =="}]},
        {"concurrency": [{"limit": 1, "key": "event.data.a["}]},
        {"cancel": [{"event": "test/z", "if": "event.data.a = 1"}]},
        {"debounce": {"period": "1s", "key": "matches(event.data.a, '(')) +"}},
        {"priority": {"run": "event.data.a ? 1"}},
    ],
)
async def test_a_registration_with_an_expression_that_does_not_compile_changes_nothing(
    start: StartSystem, options: dict[str, Any]
) -> None:
    async with start(Fn("f", fine, ON_X)) as system:
        system.app.functions.append(Fn("bad", fine, options=options))
        answer = await system.http.post("/fn/register", json=system.app.registration())

        assert (400, "At least one function is invalid") == (answer.status_code, answer.json()["error"])
        assert "function 'app-bad': " in answer.json()["data"][0]
        assert ["app-f"] == [function.slug for function in system.executor.registry.active()]
        assert await is_well(system)


async def test_a_server_with_another_key_is_told_so_and_its_run_fails_after_its_retries(start: StartSystem) -> None:
    settings: dict[str, Any] = {"kind": "cloud", "signing_key": KEY, "event_keys": ["key"]}
    async with start(Fn("f", fine, ON_X, retries=1), **settings) as system:
        unauthorized = {"code": "sig_verification_failed", "message": "the signature is wrong", "name": "Error"}
        system.app.replies["f"] = lambda _: reply(401, unauthorized)
        status, output = await system.outcome(await system.send("test/x"))
        other = await system.http.get("/v1/events", headers={"authorization": "Bearer signkey-prod-abcd"})

        assert ("Failed", "the signature is wrong") == (status, output["message"])
        assert 2 == len(system.app.calls)
        assert (401, "Authentication failed") == (other.status_code, other.text)
        assert await is_well(system)


def _damage(path: Path, table: str) -> None:
    """Overwrite the page where a table begins; the first page says what tables there are."""
    connection = sqlite3.connect(path)
    (size,) = connection.execute("PRAGMA page_size").fetchone()
    (page,) = connection.execute("SELECT rootpage FROM sqlite_master WHERE name = ?", (table,)).fetchone()
    connection.close()
    content = bytearray(path.read_bytes())
    content[(page - 1) * size : page * size] = b"\xa5" * size
    path.write_bytes(bytes(content))


def _shorten(path: Path, size: int) -> None:
    """Cut a file to `size` bytes, a negative one from its end."""
    os.truncate(path, size if size > 0 else path.stat().st_size + size)


DAMAGES: dict[str, Callable[[Path], None]] = {
    **{f"the table {table}": partial(_damage, table=table) for table in ("functions", "queue", "pauses")},
    "a table of what is stored": partial(_damage, table="steps"),
    "the last page": partial(_shorten, size=-4096),
    "a part of a page": partial(_shorten, size=-100),
    "most of it": partial(_shorten, size=20_000),
    "nearly all of it": partial(_shorten, size=100),
}


@pytest.mark.parametrize("damage", DAMAGES)
async def test_a_damaged_database_is_refused_and_left_as_it_is(start: StartSystem, tmp_path: Path, damage: str) -> None:
    async with start(Fn("f", fine, ON_X)) as system:
        await system.send("test/x")
        await system.idle()
    path = tmp_path / "runs.db"
    DAMAGES[damage](path)
    before = path.read_bytes()
    with pytest.raises(ConfigurationError) as refused:
        async with serving(ServerConfig(port=0, database=str(path))):
            raise AssertionError("must not start")

    assert before == path.read_bytes()
    assert str(refused.value).startswith(f"{path} is damaged (")
    advice = f"restore a backup (stepserve backup makes them): copy it to {path} and delete {path}-wal and {path}-shm"
    assert advice in str(refused.value)


async def test_of_a_large_file_only_what_is_needed_to_go_on_is_checked_at_the_start(
    start: StartSystem, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(store_damage, "CHECKED_WHOLE", 0)
    async with start(Fn("f", fine, ON_X)) as system:
        run = await system.run_of(await system.send("test/x"))
    _damage(tmp_path / "runs.db", "defers")
    async with start(Fn("f", fine, ON_X)) as system:
        answer = await system.http.get(f"/v2/runs/{run['run_id']}/trace")
        health = await system.http.get("/health")

        assert (503, 200) == (answer.status_code, health.status_code)
        assert "the database cannot be used: database disk image is malformed; restore a backup" in answer.text
        assert await is_well(system)
    _damage(tmp_path / "runs.db", "queue")
    with pytest.raises(ConfigurationError, match="is damaged"):
        async with serving(ServerConfig(port=0, database=str(tmp_path / "runs.db"))):
            raise AssertionError("must not start")


@pytest.mark.parametrize("kept", [1.0, 0.7, 0.3, 0.0])
async def test_a_log_that_was_cut_off_loses_the_last_commits_and_nothing_before_them(
    tmp_path: Path, kept: float
) -> None:
    source, copy = tmp_path / "source.db", tmp_path / "copy.db"
    store = Store(str(source))
    for number in range(40):
        body = b'{"data":{"n":%d},"id":"","name":"test/x","ts":0}' % number
        await store.write(lambda tables: tables.events.add(Event("i", "i", "test/x", 0, body, 0.0)))  # noqa: B023
    log = Path(f"{source}-wal").read_bytes()
    copy.write_bytes(source.read_bytes())
    Path(f"{copy}-wal").write_bytes(log[: round(len(log) * kept)])
    store.close()
    cut = Store(str(copy))
    last = await cut.read(lambda tables: tables.events.last())
    bodies = [await cut.read(lambda tables: tables.events.body(seq)) for seq in range(1, last + 1)]  # noqa: B023
    cut.close()

    assert [b'{"data":{"n":%d},"id":"","name":"test/x","ts":0}' % number for number in range(last)] == bodies
    assert (last == 40) == (kept == 1.0)


async def test_a_database_of_another_program_or_a_later_version_is_left_as_it_is(tmp_path: Path) -> None:
    path = tmp_path / "other.db"
    connection = sqlite3.connect(path)
    connection.execute("CREATE TABLE theirs (a)")
    connection.close()
    before = path.read_bytes()
    with pytest.raises(ConfigurationError, match=r"other.db is a database of another program; choose another .*--db"):
        async with serving(ServerConfig(port=0, database=str(path))):
            raise AssertionError("must not start")
    assert before == path.read_bytes()

    async with serving(ServerConfig(port=0, database=str(tmp_path / "new.db"))):
        pass
    connection = sqlite3.connect(tmp_path / "new.db")
    connection.execute("PRAGMA user_version = 999")
    connection.close()
    with pytest.raises(ConfigurationError, match=r"newer version of stepserve \(schema 999\); upgrade stepserve"):
        async with serving(ServerConfig(port=0, database=str(tmp_path / "new.db"))):
            raise AssertionError("must not start")

"""`stepserve dev` and `stepserve start` serve, and `send` and `runs` talk to them."""

from __future__ import annotations

import json
import re
import socket
import sys
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.cli.command import child, environment, run_stepserve, running

START = ("start", "--port", "0", "--signing-key", "signkey-test-abcd", "--event-key", "first", "--event-key", "second")
KEY = {"INNGEST_SIGNING_KEY": "signkey-test-abcd"}
LOOPBACK = "127.0.0.1"


def test_the_version_is_shown() -> None:
    """By the module and therefore by the console script, which is the same function."""
    ended = run_stepserve("--version")

    assert (0, "stepserve 0.1.0\n") == (ended.returncode, ended.stdout)


def test_dev_takes_any_key_and_says_that_it_keeps_nothing(tmp_path: Path) -> None:
    """No file appears where it runs."""
    with running("dev", "--port", "0", folder=tmp_path) as server:
        sent = run_stepserve("send", "shop/order.created", "--url", server.url, "--key", "whatever")
        shown = run_stepserve("runs", "show", sent.stdout.strip(), "--url", server.url)

        assert "nothing is kept after it ends (--persist or --db keeps it)" in server.log[-1]
    assert (0, "The event started no runs.\n") == (shown.returncode, shown.stdout)
    assert [] == list(tmp_path.iterdir())


def test_dev_keeps_runs_where_asked(tmp_path: Path) -> None:
    """`--persist` is short for a file in the working directory."""
    with running("dev", "--port", "0", "--persist", folder=tmp_path) as server:
        assert "runs are kept in stepserve.db" in server.log[-1]
    assert (tmp_path / "stepserve.db").is_file()


def test_dev_moves_to_the_next_port_and_says_so() -> None:
    """Apps must be told where it is then."""
    with socket.create_server((LOOPBACK, 0)) as taken:
        port = taken.getsockname()[1]
        with running("dev", "--port", str(port)) as server:
            assert f"http://{LOOPBACK}:{port}" != server.url
            assert (
                f"port {port} is in use; apps find the server only with INNGEST_BASE_URL={server.url}" in server.log[0]
            )


def test_start_keeps_events_and_asks_for_keys(tmp_path: Path) -> None:
    """An event is known after a restart; neither sending nor looking up works without a key."""
    start = (*START, "--db", str(tmp_path / "runs.db"))
    with running(*start) as server:
        taken = run_stepserve("send", "a", "--data", '{"b": 1}', "--url", server.url, "--key", "second", "--json")
        refused = run_stepserve("send", "a", "--url", server.url, "--key", "third")
    event_id = json.loads(taken.stdout)["id"]
    with running(*start) as server:
        known = run_stepserve("runs", "show", event_id, "--url", server.url, variables=KEY)
        unknown = run_stepserve("runs", "show", "a" * 26, "--url", server.url, variables=KEY)
        locked = run_stepserve("runs", "show", event_id, "--url", server.url)

    assert (0, "The event started no runs.\n") == (known.returncode, known.stdout)
    assert (1, 1, 1) == (refused.returncode, unknown.returncode, locked.returncode)
    assert "refused the key" in refused.stderr
    assert "refused the key" in locked.stderr
    assert f"knows neither an event nor a run with the id {'a' * 26}" in unknown.stderr


def test_the_keys_may_come_from_the_environment(tmp_path: Path) -> None:
    """Several event keys are separated by commas, there and where they are used for sending."""
    variables = {**KEY, "INNGEST_EVENT_KEY": "first, second", "INNGEST_DB": str(tmp_path / "runs.db")}
    with running("start", "--port", "0", variables=variables) as server:
        answers = [
            httpx.post(f"{server.url}/e/{key}", json={"name": "a"}).status_code for key in ("first", "second", "x")
        ]
        sent = run_stepserve("send", "a", "--url", server.url, variables=variables)

    assert [200, 200, 401] == answers
    assert 0 == sent.returncode
    assert (tmp_path / "runs.db").is_file()


def test_the_log_can_be_json(tmp_path: Path) -> None:
    """Every line is an object."""
    with running(*START, "--db", str(tmp_path / "runs.db"), "--json", "-u", f"{LOOPBACK}:1/api/inngest") as server:
        server.wait_for(re.compile("could not be synced"))
    lines = [json.loads(line) for line in server.log]

    assert {"time", "level", "logger", "message"} == set(lines[0])
    assert ["info", "warning"] == [line["level"] for line in lines]


def test_an_app_is_synced_and_its_runs_are_shown() -> None:
    """The whole way of a developer: dev -u, send, runs."""
    with socket.create_server((LOOPBACK, 0)) as probe:
        port = probe.getsockname()[1]
    url = f"http://{LOOPBACK}:{port}/api/inngest"
    app = [sys.executable, "-m", "uvicorn", "--port", str(port), "--log-level", "warning", "tests.cli.shop:app"]
    with running("dev", "--port", "0", "--poll-interval", "0.1", "--retry-interval", "0.05", "-u", url) as server:
        with child(app, environment(INNGEST_BASE_URL=server.url), Path(__file__).parents[2]):
            _wait_for_functions(server.url)
            event_id = run_stepserve("send", "shop/order.created", "--url", server.url, "--json").stdout
            event_id = json.loads(event_id)["id"]
            run = _wait_for_end(server.url, event_id)
        table = run_stepserve("runs", "show", run["run_id"], "--url", server.url).stdout

    assert ("shop-ship", "shop/order.created", "Completed", "packed") == (
        run["function"],
        run["event"],
        run["status"],
        run["output"],
    )
    assert [("pack", ["Failed", "Completed"]), ("rest", [])] == [
        (step["name"], [attempt["status"] for attempt in step["attempts"]]) for step in run["steps"]
    ]
    assert re.search(r"pack +step\.run +1 +\d+ ms +ConnectionError: the packer is asleep", table)
    assert re.search(r" 2 +\d+ ms +\"packed\"", table)
    assert re.search(r"rest +step\.sleep +\d+ ms", table)


def _wait_for_functions(url: str) -> None:
    for _ in range(300):
        if httpx.get(f"{url}/dev").json()["functions"]:
            return
    pytest.fail("the app was not synced")


def _wait_for_end(url: str, event_id: str) -> dict[str, Any]:
    for _ in range(200):
        ended = run_stepserve("runs", "show", event_id, "--url", url, "--json")

        assert 0 == ended.returncode, ended.stderr
        runs: list[dict[str, Any]] = json.loads(ended.stdout)
        if runs and runs[0]["status"] not in ("Scheduled", "Running"):
            return runs[0]
    return pytest.fail("the run did not end")

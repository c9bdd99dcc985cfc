"""`stepserve dev --faults`: a real app, and everything that goes wrong on the way to it."""

from __future__ import annotations

import json
import re
import socket
import sys
from pathlib import Path

from tests.cli.command import child, environment, run_stepserve, running, wait_for_app

FAULTS = (
    "kill_between_steps=0.5,duplicate_delivery=0.5,reorder=0.5,drop_answer=0.5,corrupt_body=0.5,clock_skew=0.9,seed=7"
)


def test_a_run_of_a_real_app_ends_as_it_does_without_faults() -> None:
    """And the server says in the end what it did, and which steps ran more than once."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    app = [sys.executable, "-m", "uvicorn", "--port", str(port), "--log-level", "critical", "tests.cli.shop:app"]
    options = ("--port", "0", "--retry-interval", "0.05", "--faults", FAULTS)
    with running("dev", *options) as server:
        variables = environment(INNGEST_BASE_URL=server.url, INNGEST_DEV=server.url)
        with child(app, variables, Path(__file__).parents[2]):
            wait_for_app(port)
            run_stepserve("apps", "sync", f"http://127.0.0.1:{port}/api/inngest", "--url", server.url)
            sent = run_stepserve("send", "shop/order.created", "--url", server.url)
            watched = run_stepserve("runs", "watch", sent.stdout.strip(), "--url", server.url)
            shown = run_stepserve("runs", "show", sent.stdout.strip(), "--url", server.url, "--json")
    report = server.wait_for(re.compile("faults with seed 7: (.*)"))

    assert 0 == watched.returncode, watched.stdout + watched.stderr
    assert [("COMPLETED", "packed")] == [(run["status"].upper(), run["output"]) for run in json.loads(shown.stdout)]
    assert re.search("[a-z] [1-9]", report[1])
    assert "clock_skew 0, " in report[1]
    assert re.search(r"\([1-9]\d* more had no effect: without a signing key, ", report[1])


def test_faults_that_cannot_be_are_refused() -> None:
    """With the flag that named them."""
    ended = run_stepserve("dev", "--faults", "drop_answer=2")

    assert 2 == ended.returncode
    assert "--faults" in ended.stderr
    assert "Faults(drop_answer=…) is a probability from 0 to 1, not 2.0" in ended.stderr

"""The demo from end to end, as users run it."""

from __future__ import annotations

import json
import re
import signal
import socket
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.cli.command import environment, stepserve_command
from tests.demo.installation import Installation


def run_demo(*arguments: str, temporary: Path, **variables: str) -> subprocess.CompletedProcess[str]:
    """Run the demo with its temporary files below `temporary`."""
    temporary.mkdir(exist_ok=True)
    return subprocess.run(
        stepserve_command("demo", *arguments),
        env=environment(TMPDIR=str(temporary), **variables),
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def by_function(outcome: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {function["function"]: function for function in outcome["functions"]}


def test_every_run_of_both_frameworks_ends_as_declared(tmp_path: Path) -> None:
    """Variables of this shell that would send apps or server elsewhere are left out."""
    ended = run_demo(
        "--json", temporary=tmp_path, INNGEST_DEV="1", INNGEST_PORT="1", INNGEST_API_BASE_URL="http://a.example"
    )

    assert 0 == ended.returncode, ended.stderr + ended.stdout
    outcome = json.loads(ended.stdout)
    assert (True, ["flask", "fastapi"], []) == (outcome["ok"], outcome["frameworks"], outcome["not_as_declared"])
    functions = by_function(outcome)
    assert {
        f"{app}-{name}": status
        for app in ("flask-shop", "fastapi-shop")
        for name, status in {
            "process-order": {"Completed"},
            "big-order": set[str](),
            "make-invoice": {"Completed"},
            "order-completed": {"Completed"},
            "parallel-report": {"Completed"},
            "gather-quotes": {"Completed"},
            "refund": {"Failed"},
            "refund-failure": {"Completed"},
            "nightly-cleanup": {"Completed"},
        }.items()
    } == {name: {run["status"] for run in function["runs"]} for name, function in functions.items()}
    for app in ("flask-shop", "fastapi-shop"):
        (order,) = functions[f"{app}-process-order"]["runs"]
        assert [
            ("reserve-stock", "step.run", ["Completed"]),
            ("charge-card", "step.run", ["Failed", "Completed"]),
            ("ship", "step.run", ["Completed"]),
            ("cooling-off", "step.sleep", []),
            ("payment", "step.wait_for_event", []),
            ("invoice", "step.invoke", []),
            ("announce", "step.run", ["Completed"]),
        ] == [(step["name"], step["kind"], [try_["status"] for try_ in step["attempts"]]) for step in order["steps"]]
        assert 5 == len(functions[f"{app}-parallel-report"]["runs"][0]["steps"])
    assert re.search(r"\d s  the orders wait for shop/payment\.settled: sent it as", ended.stderr)
    assert [] == list(tmp_path.iterdir())


def test_an_app_that_misbehaves_is_found_out(tmp_path: Path) -> None:
    """It says which runs did not end as declared, and why; the others did."""
    installation = Installation(tmp_path / "site")
    installation.change_app("flask", '"deleted 12 carts"', '"deleted 13 carts"')
    installation.change_app("flask", "if attempt == 0:", "if attempt < 2:")
    installation.change_app("flask", '"event.data.total > 1000"', '"event.data.total > 100"')

    ended = run_demo("--framework", "flask", temporary=tmp_path / "temporary", PYTHONPATH=str(installation.folder))

    assert 1 == ended.returncode, ended.stderr
    verdicts = ended.stdout[ended.stdout.index("✗") :]
    assert "✗ flask-shop-process-order: 1 run\n    step charge-card: tried 3 times, declared twice\n" in verdicts
    assert "✗ flask-shop-big-order: 1 run\n    it must not run, but did once\n" in verdicts
    assert '    output "deleted 13 carts", declared "deleted 12 carts"\n' in verdicts
    assert "✓ flask-shop-refund: 1 run\n" in verdicts
    assert re.search(
        r"\nNot as declared: flask-shop-process-order, flask-shop-big-order, flask-shop-nightly-cleanup \(.*\)\.\n$",
        verdicts,
    )


def test_a_run_that_does_not_end_is_found_out(tmp_path: Path) -> None:
    """When the time is up; a payment for another order settles nothing. The declaration counts, not the app."""
    installation = Installation(tmp_path / "site")
    installation.change_declaration(
        'SETTLEMENT: tuple[str, dict[str, Any]] = (PAYMENT_SETTLED, {"order_id": "A-1001"})',
        'SETTLEMENT: tuple[str, dict[str, Any]] = (PAYMENT_SETTLED, {"order_id": "B-2"})',
    )

    ended = run_demo(
        "--framework", "fastapi", "--json", "--timeout", "5",
        temporary=tmp_path / "temporary", PYTHONPATH=str(installation.folder),
    )  # fmt: skip

    assert 1 == ended.returncode, ended.stderr
    assert "the time is up" in ended.stderr
    problems = json.loads(ended.stdout)["not_as_declared"]
    assert "fastapi-shop-process-order: status Running, declared Completed: it did not end in time" in problems
    assert "fastapi-shop-process-order: step payment: status Waiting, declared Completed" in problems
    assert "fastapi-shop-make-invoice: it ran not at all, declared once" in problems


def test_an_app_that_does_not_start_is_shown(tmp_path: Path) -> None:
    """With the end of its log, and everything else is stopped."""
    installation = Installation(tmp_path / "site")
    installation.change_app("fastapi", 'Inngest(app_id="fastapi-shop")', 'Inngest(app_id="")')

    ended = run_demo("--json", temporary=tmp_path / "temporary", PYTHONPATH=str(installation.folder))

    assert (1, "") == (ended.returncode, ended.stdout)
    assert "stepserve: fastapi ended with exit code 1. The end of its log:\n" in ended.stderr
    assert "must be text that names your app" in ended.stderr.splitlines()[-1]
    assert [] == list((tmp_path / "temporary").iterdir())


@pytest.mark.parametrize(("number", "exit_code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_interrupting_stops_everything(tmp_path: Path, number: signal.Signals, exit_code: int) -> None:
    """The servers are gone, and so are the files."""
    with subprocess.Popen(
        stepserve_command("demo"),
        env=environment(TMPDIR=str(tmp_path)),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        lines: list[str] = []
        for line in process.stdout:
            lines.append(line)
            if "Sleeping" in line:
                process.send_signal(number)
                break
        _, stderr = process.communicate(timeout=60)
    ports = {
        int(port) for line in lines if "starting" in line for port in re.findall(r"http://127\.0\.0\.1:(\d+)", line)
    }

    assert exit_code == process.returncode, stderr
    assert 3 == len(ports)
    for port in ports:
        with pytest.raises(ConnectionRefusedError), socket.create_connection(("127.0.0.1", port)):
            pass
    assert [] == list(tmp_path.iterdir())
    assert "Traceback" not in stderr

"""What docs/executor.md says about production: the unit for systemd, health, figures that alerts name, the end."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import httpx
import pytest

from tests.cli.command import run_stepserve, running

PAGE = (Path(__file__).parents[2] / "docs" / "executor.md").read_text()
KEYS = {"INNGEST_SIGNING_KEY": "signkey-prod-0123456789abcdef", "INNGEST_EVENT_KEY": "new,old"}
BEARER = {"authorization": f"Bearer {KEYS['INNGEST_SIGNING_KEY']}"}


def _command() -> list[str]:
    """Return the arguments of the unit's `ExecStart`."""
    found = re.search(r"^ExecStart=\S+/stepserve (.*)$", PAGE, re.MULTILINE)

    assert found is not None
    return shlex.split(found[1])


def test_the_unit_starts_what_the_guide_describes(tmp_path: Path) -> None:
    database = tmp_path / "runs.db"
    arguments = [str(database) if part == "/var/lib/stepserve/runs.db" else part for part in _command()]
    alerts = PAGE[PAGE.index("groups:") : PAGE.index("`StepserveDown` fires")]
    with running(*arguments, "--port", "0", variables=KEYS) as server:
        url = server.url
        health = httpx.get(f"{url}/health")
        sent = [httpx.post(f"{url}/e/{key}", json={"name": "a/b"}).status_code for key in ("new", "old", "none")]
        figures = httpx.get(f"{url}/metrics", headers=BEARER).text
        copied = run_stepserve("backup", str(tmp_path / "copy.db"), "--db", str(database))

    assert (200, {"status": 200, "message": "OK"}) == (health.status_code, health.json())
    assert [200, 200, 401] == sent
    named = set(re.findall(r'stepserve_\w+(?:\{\w+="\w+"\})?', alerts))
    assert {
        "stepserve_queue_oldest_seconds",
        'stepserve_apps{sync="error"}',
        'stepserve_runs_ended_last_minute{status="failed"}',
    } == named
    assert [] == [name for name in named if f"\n{name} " not in figures]
    assert 0 == copied.returncode, copied.stderr
    assert server.log
    assert all(line.startswith('{"time":') for line in server.log)


@pytest.mark.parametrize("flag", ["--signing-key", "--signing-key-fallback", "--event-key"])
def test_keys_can_be_exchanged_by_flags_that_exist(flag: str) -> None:
    assert f"`{flag}`" in PAGE
    assert flag in run_stepserve("start", "--help", variables={"COLUMNS": "200"}).stdout

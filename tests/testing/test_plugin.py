"""The pytest plugin, in projects of its own: each test here runs pytest in a process and a folder of its own."""

from __future__ import annotations

import importlib.metadata
import os
import pathlib
import subprocess
import sys

ROOT = pathlib.Path(__file__).parents[2]

APP = """
import stepserve
client = stepserve.Inngest(app_id="shop", is_production=True)

@client.create_function(fn_id="order", trigger=stepserve.TriggerEvent(event="shop/ordered"))
async def order(ctx):
    receipt = await ctx.step.run("charge", lambda: "charged")
    await ctx.step.sleep("cool-off", "3d")
    return receipt

ORDERED = stepserve.Event(name="shop/ordered")
"""

SYNC = """
import pytest
from stepserve.testing import Faults
from app import ORDERED, client, order

@pytest.mark.stepserve(client, [order])
def test_sync(stepserve, stepserve_clock):
    run = stepserve.send(ORDERED)
    stepserve_clock.advance("3d")
    assert run.output == "charged"

@pytest.mark.stepserve(client, [order], faults=Faults(drop_answer=1.0))
def test_faults(stepserve):
    run = stepserve.send(ORDERED)
    stepserve.run_until_idle(skip_time=True)
    assert run.output == "charged"
    assert [finding.step for finding in stepserve.fault_report.repeated] == ["charge"]
"""

ASYNC = """
import datetime
import pytest
from app import ORDERED, client, order

pytestmark = [pytest.mark.anyio, pytest.mark.stepserve(client, functions=[order], start=datetime.datetime(2030, 1, 1))]

@pytest.fixture
def anyio_backend():
    return "asyncio"

@pytest.fixture
async def sent(stepserve):
    return await stepserve.send(ORDERED)

async def test_async(stepserve, stepserve_clock, sent):
    await stepserve_clock.advance("3d")
    assert sent.output == "charged"
    assert sent.ended_at.day == 4

@pytest.mark.stepserve(start=datetime.datetime(2031, 1, 1))
async def test_the_closest_marker_counts(stepserve):
    assert stepserve.clock.now.year == 2031
    stepserve.stub("charge", "stubbed")
    run = await stepserve.send(ORDERED)
    await stepserve.run_until_idle(skip_time=True)
    assert run.output == "stubbed"
    assert len(client.servers) == 1

def test_nothing_is_left_behind():
    assert client.servers == []
"""

OVERRIDDEN = """
import pytest
from app import ORDERED, client, order

@pytest.fixture
def stepserve_app():
    return client, [order]

def test_it(stepserve):
    run = stepserve.send(ORDERED)
    stepserve.run_until_idle(skip_time=True)
    assert run.output == "charged"
"""

SERVER = """
import threading
from wsgiref.simple_server import WSGIRequestHandler, make_server
import stepserve
import stepserve.wsgi

class Quiet(WSGIRequestHandler):
    def log_message(self, *args):
        pass

def test_end_to_end(stepserve_server):
    client = stepserve.Inngest(app_id="live")

    @client.create_function(fn_id="f", trigger=stepserve.TriggerEvent(event="live/go"))
    def f(ctx):
        return ctx.step.run("a", lambda: "over http")

    with make_server("127.0.0.1", 0, stepserve.wsgi.serve(client, [f]), handler_class=Quiet) as web:
        thread = threading.Thread(target=web.serve_forever)
        thread.start()
        stepserve_server.sync(f"http://127.0.0.1:{web.server_port}/api/inngest")
        run = stepserve_server.wait(stepserve_server.send(stepserve.Event(name="live/go")))
        (event_id,) = client.send_sync(stepserve.Event(name="live/go"))
        second = stepserve_server.wait(event_id)
        web.shutdown()
        thread.join()
    assert [run["output"], second["status"]] == ["over http", "Completed"]
    has_faults = stepserve_server.fault_report.faults.duplicate_delivery > 0
    assert has_faults == ("duplicate_delivery" in stepserve_server.fault_report.injected)
"""

FAULTY = """
import itertools
import pytest
import stepserve as stepserve_
from stepserve.testing import Faults
from app import ORDERED, client, order

pytestmark = pytest.mark.stepserve(client, [order])

def injected(stepserve):
    stepserve.send(ORDERED)
    stepserve.run_until_idle(skip_time=True)
    return set(stepserve.fault_report.injected)

def test_as_the_option_says(stepserve):
    assert injected(stepserve) == {"duplicate_delivery"}

@pytest.mark.stepserve(faults=Faults(reorder=1.0))
def test_the_marker_counts(stepserve):
    assert injected(stepserve) == {"reorder"}

numbers = itertools.count()
broken = stepserve_.Inngest(app_id="wrong", is_production=True)

@broken.create_function(fn_id="wrong", trigger=stepserve_.TriggerEvent(event="shop/ordered"))
def wrong(ctx):
    ctx.step.run("number", lambda: next(numbers))

@pytest.mark.stepserve(broken, [wrong], faults=Faults(duplicate_delivery=1.0))
def test_of_what_is_wrong(stepserve):
    assert injected(stepserve) == {"duplicate_delivery"}

@pytest.mark.stepserve(faults=None)
def test_none_at_all(stepserve):
    assert injected(stepserve) == set()
"""

UNUSED = """
import sys

def test_nothing_is_loaded():
    assert [name for name in sys.modules if name.split(".")[0] in ("stepserve", "stepserve_core")] == []
"""

UNKNOWN = """
import pytest

def test_it(stepserve):
    pass

@pytest.mark.stepserve("client", ["order"], stat=1)
def test_an_option(stepserve):
    pass
"""


def run_pytest(folder: pathlib.Path, *options: str, **tests: str) -> subprocess.CompletedProcess[str]:
    """Run pytest on files beside the app."""
    (folder / "app.py").write_text(APP)
    for name, text in tests.items():
        (folder / f"test_{name}.py").write_text(text)
    is_installed = any(one.name == "stepserve" for one in importlib.metadata.entry_points(group="pytest11"))
    plugin = [] if is_installed else ["-p", "stepserve_pytest"]
    paths = [str(ROOT / "core"), str(ROOT / "adapters"), str(folder)]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(paths)}
    environment = {name: value for name, value in environment.items() if not name.startswith(("INNGEST", "PYTEST"))}
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-q",
        "-Werror",
        "--strict-markers",
        "-p",
        "no:cacheprovider",
        *plugin,
        *options,
    ]
    return subprocess.run(command, capture_output=True, text=True, check=False, cwd=folder, env=environment, timeout=60)


def test_the_fixtures_work_in_a_project_of_their_own(tmp_path: pathlib.Path) -> None:
    done = run_pytest(tmp_path, sync=SYNC, coloured=ASYNC, overridden=OVERRIDDEN, server=SERVER)

    assert "7 passed" in done.stdout, done.stdout + done.stderr
    assert 0 == done.returncode


def test_a_whole_suite_runs_under_faults(tmp_path: pathlib.Path) -> None:
    """In virtual time and over HTTP; tests whose marker names faults keep theirs."""
    done = run_pytest(tmp_path, "--stepserve-faults", "duplicate_delivery=1", faulty=FAULTY, server=SERVER)

    assert "5 passed" in done.stdout, done.stdout + done.stderr
    assert "= what faults brought to light =" in done.stdout
    assert "test_faulty.py::test_of_what_is_wrong: faults with seed 0: duplicate_delivery 2" in done.stdout
    assert "- step 'number' of function 'wrong-wrong': 0 and then 1 (run " in done.stdout
    assert 1 == done.stdout.count("faults with seed 0")


def test_faults_of_a_suite_that_cannot_be_are_refused(tmp_path: pathlib.Path) -> None:
    done = run_pytest(tmp_path, "--stepserve-faults", "drop_answer=7", overridden=OVERRIDDEN)

    assert "--stepserve-faults: Faults(drop_answer=…) is a probability from 0 to 1, not 7.0" in done.stdout


def test_unused_the_plugin_loads_nothing_and_without_an_app_it_says_how_to_name_one(tmp_path: pathlib.Path) -> None:
    done = run_pytest(tmp_path, a_unused=UNUSED, b_unknown=UNKNOWN)

    assert "1 passed, 2 errors" in done.stdout, done.stdout + done.stderr
    assert "mark the test, its class or its module with" in done.stdout
    assert "has no option 'stat'; it knows checkpointing, faults, " in done.stdout

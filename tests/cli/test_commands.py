"""The commands that talk to a server: a real one, with a real app."""

from __future__ import annotations

import json
import re
import socket
import sys
from collections.abc import Callable, Generator
from pathlib import Path
from typing import Any

import httpx
import pytest

from stepserve_core.cli import application
from tests.cli.command import child, environment, running, wait_for_app

ULID = r"[0-9A-Z]{26}"


@pytest.fixture(scope="module")
def urls() -> Generator[tuple[str, str]]:
    """Return the URL of a server that has synced the shop, and that of the shop."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    app = [sys.executable, "-m", "uvicorn", "--port", str(port), "--log-level", "warning", "tests.cli.shop:app"]
    options = ("--port", "0", "--retry-interval", "0.05", "--poll-interval", "60")
    with (
        running("dev", *options) as server,
        child(app, environment(INNGEST_BASE_URL=server.url), Path(__file__).parents[2]),
    ):
        wait_for_app(port)
        yield server.url, f"http://127.0.0.1:{port}/api/inngest"


class Ended:
    """A command that has ended: exit code, and what it printed."""

    def __init__(self, code: object, out: str, err: str) -> None:
        self.code = code
        self.out = out
        self.err = err

    @property
    def json(self) -> Any:
        """What it printed, as JSON."""
        return json.loads(self.out)


Command = Callable[..., Ended]


@pytest.fixture
def command(urls: tuple[str, str], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Command:
    """Return what runs a command against the server, which has the shop's functions."""
    monkeypatch.setenv("INNGEST_BASE_URL", urls[0])

    def run(*arguments: str) -> Ended:
        capsys.readouterr()
        with pytest.raises(SystemExit) as ended:
            application.run(arguments)
        printed = capsys.readouterr()
        return Ended(ended.value.code, printed.out, printed.err)

    assert 0 == run("apps", "sync", urls[1]).code
    return run


def test_an_app_is_synced_and_listed(urls: tuple[str, str], command: Command) -> None:
    """By its URL; the lists name it, its state and its functions."""
    synced = command("apps", "sync", urls[1])
    apps = command("apps", "list")
    functions = command("functions", "list")

    assert (0, f"shop is in sync: 4 functions at {urls[1]}\n") == (synced.code, synced.out)
    assert re.search(rf"^shop +in sync +[\d: -]+ +py:v\S+, none +{re.escape(urls[1])}", apps.out, re.M)
    assert re.search(r"^shop-greet +shop +active +shop/greeted if event.data.name != ''", functions.out, re.M)
    assert re.search(r"^shop-refuse +shop +active +shop/refused, cron 0 0 1 1 \*", functions.out, re.M)
    assert {"shop-greet", "shop-refuse", "shop-ship", "shop-wait"} == {
        one["slug"] for one in command("functions", "list", "--json").json
    }


def test_an_app_that_does_not_answer_is_told_as_a_problem(command: Command) -> None:
    """With the code of the error; the list shows it too."""
    ended = command("apps", "sync", "http://127.0.0.1:1/api/inngest")

    assert (1, "", True) == (ended.code, ended.out, "could not be synced: unreachable" in ended.err)
    assert re.search(r"\(not synced yet\) +unreachable", command("apps", "list").out)


def test_sending_starts_runs_that_can_be_watched(command: Command) -> None:
    """Until they have ended, failed attempts and all; an event that nothing waits for is said to have started none."""
    event_id = command("send", "shop/order.created", "--data", '{"total": 7}').out.strip()
    watched = command("runs", "watch", event_id)
    idle = command("runs", "watch", command("events", "send", "shop/nothing").out.strip())

    assert 0 == watched.code
    assert re.search(r"pack +step\.run +1 +\d+ ms +ConnectionError: the packer is asleep", watched.out)
    assert re.search(r" 2 +\d+ ms +\"packed\"", watched.out)
    assert (0, "The event started no runs.\n") == (idle.code, idle.out)


def test_events_are_listed_without_those_of_the_server(command: Command) -> None:
    """Unless these are asked for; the id stays whole."""
    event_id = command("send", "shop/order.created", "--data", '{"total": 8}').out.strip()
    command("runs", "watch", event_id)
    names = {event["name"] for event in command("events", "list", "--limit", "1000", "--json").json}
    every = {event["name"] for event in command("events", "list", "--limit", "1000", "--internal", "--json").json}
    row = command("events", "list", "--name", "shop/order.created", "--limit", "1").out.splitlines()[1]

    assert re.fullmatch(rf"{event_id}  shop/order\.created  [\d: -]+  {{\"total\": 8}} *", row)
    assert "inngest/function.finished" not in names
    assert "inngest/function.finished" in every
    assert names < every


def test_more_events_than_a_page_holds_are_listed(urls: tuple[str, str], command: Command) -> None:
    """Each of them once."""
    sent = httpx.post(f"{urls[0]}/e/dev", json=[{"name": "shop/counted"}] * 55).json()["ids"]

    assert sent[::-1] == [
        one["internal_id"] for one in command("events", "list", "--name", "shop/counted", "-n", "99", "--json").json
    ]


def test_a_function_is_invoked_and_its_outcome_is_the_exit_code(command: Command) -> None:
    """0 where the run completed, 3 where it failed: the command itself went well."""
    greeted = command("functions", "invoke", "shop-greet", "--data", '{"name": "Ada"}', "--watch", "--json")
    refused = command("functions", "invoke", "shop-refuse", "--watch")
    started = command("functions", "invoke", "shop-greet", "--idempotency-key", "once")
    again = command("functions", "invoke", "shop-greet", "--idempotency-key", "once")

    assert (0, "Completed", "hello Ada") == (greeted.code, greeted.json[0]["status"], greeted.json[0]["output"])
    assert (3, True) == (refused.code, "ValueError: out of stock" in refused.out)
    assert (0, True) == (started.code, bool(re.fullmatch(ULID + "\n", started.out)))
    assert (1, True) == (again.code, "the idempotency key was used before" in again.err)


def test_an_unknown_function_is_told_with_those_that_there_are(command: Command) -> None:
    """Whatever the command is that names it."""
    sentence = "has no function 'shop-grete'; it has: shop-greet, shop-refuse, shop-ship, shop-wait"

    assert sentence in command("functions", "invoke", "shop-grete").err
    assert sentence in command("runs", "list", "--function", "shop-grete").err


def test_the_newest_run_is_shown_where_none_is_named(command: Command) -> None:
    run = command("functions", "invoke", "shop-greet", "--data", '{"name": "Ada"}', "--watch", "--json").json[0]

    assert [run["run_id"]] == [shown["run_id"] for shown in command("runs", "show", "--json").json]
    assert "name=Ada" in command("runs", "list", "--limit", "1").out


def test_runs_are_listed_by_function_status_age_and_search(command: Command) -> None:
    """Together where several are given; ids stay whole."""
    for name in ("Grace", "Edsger"):
        command("functions", "invoke", "shop-greet", "--data", f'{{"name": "{name}"}}', "--watch")
    command("functions", "invoke", "shop-refuse", "--watch")
    query = ("--function", "shop-greet", "--status", "completed", "--since", "1h", "--app", "shop")
    by_search = command("runs", "list", *query, "--search", "output == 'hello Grace'", "--json").json
    failed = command("runs", "list", "--status", "failed", "--limit", "1").out.splitlines()

    assert ["hello Grace"] == [run["output"] for run in by_search]
    assert re.fullmatch(rf"{ULID}  shop-refuse  Failed  [\d: -]+ +\d+ ms  inngest/function.invoked *", failed[1])
    assert "No run matches.\n" == command("runs", "list", "--since", "2999-01-01").out


def test_a_run_is_cancelled_once(command: Command) -> None:
    """The second time is a problem, which does not keep other runs from being cancelled."""
    first, second = (command("functions", "invoke", "shop-wait").out.strip() for _ in range(2))

    assert (0, f"cancelled {first}\n") == ((ended := command("runs", "cancel", first)).code, ended.out)
    again = command("runs", "cancel", first, second)

    assert (1, f"cancelled {second}\n") == (again.code, again.out)
    assert f"{first}: the executor at" in again.err
    assert "has ended already" in again.err
    assert 3 == command("runs", "watch", second).code


def test_a_run_runs_again_from_a_step_with_other_input(command: Command) -> None:
    """Whole, and from a step on."""
    run = command("functions", "invoke", "shop-greet", "--data", '{"name": "Ada"}', "--watch", "--json").json[0]
    whole = command("runs", "rerun", run["run_id"], "--watch", "--json").json[0]
    edited = command("runs", "rerun", run["run_id"], "--from-step", "write", "--input", '["Bob"]', "-w", "--json").json[
        0
    ]

    assert ["hello Ada", "hello Ada", "hello Bob"] == [one["output"] for one in (run, whole, edited)]
    assert 3 == len({one["run_id"] for one in (run, whole, edited)})
    assert "no step" in command("runs", "rerun", run["run_id"], "--from-step", "nothing").err


def test_a_paused_function_waits_until_it_is_resumed(command: Command) -> None:
    """The list shows that it is paused."""
    paused = command("functions", "pause", "shop-greet")
    shown = command("functions", "list").out
    run_id = command("functions", "invoke", "shop-greet", "--data", '{"name": "Ada"}').out.strip()
    resumed = command("functions", "resume", "shop-greet")

    assert (0, "paused shop-greet: new runs wait\n") == (paused.code, paused.out)
    assert re.search(r"^shop-greet +shop +paused \(hold\)", shown, re.M)
    assert (0, "resumed shop-greet\n") == (resumed.code, resumed.out)
    assert 0 == command("runs", "watch", run_id).code
    assert 1 == command("functions", "pause", "nothing").code


def test_shells_complete_commands(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """`stepserve --install-completion` sets up what asks for this."""
    monkeypatch.setenv("_STEPSERVE_COMPLETE", "complete_bash")
    monkeypatch.setenv("COMP_WORDS", "stepserve runs ")
    monkeypatch.setenv("COMP_CWORD", "2")
    with pytest.raises(SystemExit) as ended:
        application.run([])

    assert 0 == ended.value.code
    assert ["list", "show", "watch", "cancel", "rerun"] == capsys.readouterr().out.split()

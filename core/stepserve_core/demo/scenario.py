"""What the demo does with a running executor and its apps: sync, send, wait, collect."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import httpx
import msgspec

from stepserve_core import _protocol
from stepserve_core._signature import sign
from stepserve_core.cli.executor_api import ExecutorApi
from stepserve_core.cli.problems import Problem
from stepserve_core.cli.timeline import Run
from stepserve_core.demo.decisions import is_over, is_settlement_due
from stepserve_core.demo.expected import (
    CRON_FUNCTION,
    EVENTS,
    SETTLEMENT,
    STARTING_EVENTS,
    ExpectedRun,
)
from stepserve_core.demo.processes import POLL
from stepserve_core.demo.progress import Progress


@dataclass(frozen=True)
class Keys:
    """What the executor and the apps share."""

    signing: str
    event: str


@dataclass(frozen=True)
class Stage:
    """Where the demo plays: an executor that runs, and apps that are synced with it.

    `check` raises where a process has ended. `deadline` is of `time.monotonic()`: what has not ended then is
    reported as it is.
    """

    api: ExecutorApi
    event_key: str
    app_ids: tuple[str, ...]
    deadline: float
    progress: Progress
    check: Callable[[], None]


def sync_app(app_id: str, url: str, keys: Keys) -> None:
    """Ask an app to register with the executor, as a deployment would: a PUT, signed (protocol.md 4.3).

    Raises:
        Problem: the app refuses or cannot register.
    """
    body = msgspec.json.encode({"url": url})
    headers = {
        "content-type": "application/json",
        _protocol.SERVER_KIND: "cloud",
        _protocol.SIGNATURE: sign(body, keys.signing, round(time.time())),
    }
    try:
        answer = httpx.put(url, content=body, headers=headers, timeout=10, trust_env=False)
    except httpx.TransportError as error:
        raise Problem(f"{app_id} could not be synced at {url}: {error}") from None
    if answer.status_code != 200:
        raise Problem(f"{app_id} could not be synced at {url}: {answer.status_code} {answer.text.strip()[:500]}")


def play(stage: Stage, expected: Sequence[ExpectedRun]) -> list[Run]:
    """Send the events, let the cron functions tick, settle the payment, and return every run."""
    for name, data in EVENTS:
        event_id = stage.api.send(stage.event_key, name, data)
        stage.progress.say(f"sent {name} as {event_id}")
    for app_id in stage.app_ids:
        ticks = stage.api.tick(f"{app_id}-{CRON_FUNCTION}")
        stage.progress.say(f"fired {ticks} cron tick of {app_id}-{CRON_FUNCTION}")
    changes, collector = _Changes(stage.progress), _Collector(stage.api)
    settled = False
    while True:
        stage.check()
        runs = collector.collect()
        changes.show(runs)
        if not settled and is_settlement_due(runs, stage.app_ids):
            event_id = stage.api.send(stage.event_key, *SETTLEMENT)
            stage.progress.say(f"the orders wait for {SETTLEMENT[0]}: sent it as {event_id}")
            settled = True
        elif is_over(runs, expected):
            break
        elif time.monotonic() > stage.deadline:
            stage.progress.say("the time is up; what has not ended is reported as it is")
            break
        time.sleep(POLL)
    # Looked up afresh: nothing that was remembered on the way decides.
    return _Collector(stage.api).collect()


class _Collector:
    """Finds all runs that there are, whatever started them. What has ended is not looked up again."""

    def __init__(self, api: ExecutorApi) -> None:
        self._api = api
        self._ended: dict[str, Run] = {}

    def collect(self) -> list[Run]:
        """Return the timelines of all runs, the oldest first.

        Events are looked up after the runs that may have sent them, so that once all runs found have ended, the
        runs that they caused are among them.
        """
        found = [
            self._timeline(run["run_id"], name)
            for name in STARTING_EVENTS
            for event in self._api.events(name)
            for run in self._api.runs_of_event(event["internal_id"])
        ]
        return sorted(found, key=lambda run: run.id)

    def _timeline(self, run_id: str, event: str) -> Run:
        if run_id in self._ended:
            return self._ended[run_id]
        run = self._api.timeline(run_id, event)
        if run.has_ended:
            self._ended[run_id] = run
        return run


class _Changes:
    """Says what is new since the last look."""

    def __init__(self, progress: Progress) -> None:
        self._progress = progress
        self._seen: set[tuple[str, ...]] = set()

    def show(self, runs: Sequence[Run]) -> None:
        """Say which steps and runs changed their status."""
        self._progress.note(f"{sum(run.has_ended for run in runs)} of {len(runs)} runs have ended")
        for run in runs:
            for step in run.steps:
                failed = sum(attempt.status == "Failed" for attempt in step.attempts)
                if failed and step.status == "Queued":
                    self._once(f"{run.function}: {step.name} failed, attempt {failed}", run.id, step.name, str(failed))
                elif step.status != "Queued":
                    self._once(f"{run.function}: {step.name} {step.status}", run.id, step.name, step.status)
            if run.has_ended:
                self._once(f"{run.function} {run.status}", run.id, run.status)

    def _once(self, text: str, *key: str) -> None:
        if key not in self._seen:
            self._seen.add(key)
            self._progress.say(text)

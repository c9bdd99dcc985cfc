"""The demo from the first process to the last verdict."""

from __future__ import annotations

import os
import secrets
import signal
import sys
import tempfile
import time
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

from stepserve_core.cli.executor_api import ExecutorApi
from stepserve_core.demo.apps import APPS, SYNC_PATH, App, examples_folder, import_path
from stepserve_core.demo.compare import compare
from stepserve_core.demo.expected import expected_runs
from stepserve_core.demo.processes import Child, Children, free_port
from stepserve_core.demo.progress import Progress
from stepserve_core.demo.report import Outcome
from stepserve_core.demo.scenario import Keys, Stage, play, sync_app

_START_TIMEOUT = 20.0
_RETRY_INTERVAL = 0.3


def run_demo(frameworks: Sequence[str], progress: Progress, timeout: float) -> Outcome:
    """Start everything, run everything, stop everything; return what was found.

    `timeout` is how many seconds the runs may take after the servers have started.

    Raises:
        Problem: a server does not start or ends early, or an app cannot be synced.
    """
    apps = [APPS[framework] for framework in frameworks]
    expected = expected_runs([app.app_id for app in apps])
    with _terminable(), tempfile.TemporaryDirectory(prefix="stepserve-demo-") as name, Children(Path(name)) as children:
        stage = _set_stage(children, Path(name), apps, progress, timeout)
        with stage.api:
            runs = play(stage, expected)
        seconds = progress.seconds
        progress.say("stopping the servers")
        progress.note("stopping")
    return Outcome(tuple(frameworks), tuple(compare(expected, runs)), seconds)


def _set_stage(children: Children, folder: Path, apps: Sequence[App], progress: Progress, timeout: float) -> Stage:
    """Start the executor and the apps in production mode, all at once, and sync each app as soon as it answers."""
    keys = Keys(f"signkey-demo-{secrets.token_hex(32)}", secrets.token_urlsafe(24))
    url = f"http://127.0.0.1:{free_port()}"
    environment = _environment(
        INNGEST_SIGNING_KEY=keys.signing, INNGEST_EVENT_KEY=keys.event, INNGEST_BASE_URL=url, PYTHONUNBUFFERED="1"
    )
    progress.say(f"starting the executor at {url}, its database in {folder}")
    command = _executor_command(url, folder / "demo.db")
    executor = children.start("executor", command, environment | import_path(), folder)
    started = [_start_app(children, app, environment, progress) for app in apps]
    deadline = time.monotonic() + _START_TIMEOUT
    executor.wait_until_answering(f"{url}/health", deadline)
    for app, (child, app_url) in zip(apps, started, strict=True):
        child.wait_until_answering(app_url, deadline)
        sync_app(app.app_id, app_url, keys)
        progress.say(f"synced {app.app_id}")
    return Stage(
        api=ExecutorApi(url, keys.signing),
        event_key=keys.event,
        app_ids=tuple(app.app_id for app in apps),
        deadline=time.monotonic() + timeout,
        progress=progress,
        check=children.require_alive,
    )


def _start_app(children: Children, app: App, environment: dict[str, str], progress: Progress) -> tuple[Child, str]:
    """Start an app on a port of its own; return it and the URL of its functions."""
    port, folder = free_port(), examples_folder() / app.framework
    url = f"http://127.0.0.1:{port}{SYNC_PATH}"
    progress.say(f"starting {folder / 'app.py'} on {app.server[0]} at {url}")
    return children.start(app.framework, app.command(port), environment | import_path(folder), folder), url


def _executor_command(url: str, database: Path) -> list[str]:
    """The executor is what users start too; its keys come from the environment, where other users cannot see them."""
    host, port = url.removeprefix("http://").split(":")
    # No worker connects; the port after ours, where they would, may be anybody's.
    flags = {"--host": host, "--port": port, "--connect-gateway-port": "0"}
    flags |= {"--db": str(database), "--retry-interval": str(_RETRY_INTERVAL)}
    return [sys.executable, "-m", "stepserve", "start", *(text for flag in flags.items() for text in flag)]


def _environment(**own: str) -> dict[str, str]:
    """Return the environment of the children: nothing that this shell sets up for other apps and servers."""
    return {**{name: value for name, value in os.environ.items() if not name.startswith("INNGEST_")}, **own}


@contextmanager
def _terminable() -> Generator[None]:
    """Let SIGTERM unwind, as Ctrl-C does, so that the children are stopped."""

    def unwind(number: int, _frame: FrameType | None) -> None:
        raise SystemExit(128 + number)

    before = signal.signal(signal.SIGTERM, unwind)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)

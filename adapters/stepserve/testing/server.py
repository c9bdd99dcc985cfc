"""A real executor in a thread of the test process, on a free port, for tests that send real requests."""

from __future__ import annotations

import time
from types import TracebackType
from typing import Any
from urllib.parse import quote

import httpx

from stepserve_core import Event
from stepserve_core.errors import ConfigurationError
from stepserve_core.executor.fault_report import FaultReport
from stepserve_core.faults import Faults
from stepserve_core.server_thread import ServerThread
from stepserve_core.testing import encode_events

_PAUSE = 0.01


class LiveServer:
    """A real executor on a free port, in memory and in real time: `with LiveServer() as server`.

    The app under test has to know it: its client is made with `INNGEST_DEV` set to `url`, or is given
    `api_base_url=server.url, event_api_base_url=server.url`.

    Args:
        faults: what goes wrong on the way to apps, see `Faults`; `fault_report` says what came out.
    """

    def __init__(self, *, faults: Faults | None = None) -> None:
        self._faults = faults

    def __enter__(self) -> LiveServer:
        self._running = ServerThread(0, self._faults)
        self.url = f"http://127.0.0.1:{self._running.started.result()}"
        self._http = httpx.Client(base_url=self.url, trust_env=False, timeout=30)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._http.close()
        self._running.stop()

    @property
    def fault_report(self) -> FaultReport:
        """What came out while faults happened: `print(server.fault_report.text())`. Without faults it is empty."""
        return self._running.fault_report

    def sync(self, app_url: str) -> None:
        """Let the app that is served at `app_url`, such as "http://127.0.0.1:8000/api/inngest", register here.

        Raises:
            ConfigurationError: it did not, and why.
        """
        answer = self._http.put(app_url)
        if not answer.is_success:
            raise ConfigurationError(f"the app at {app_url} did not register: HTTP {answer.status_code} {answer.text}")

    def send(self, event: Event[Any]) -> str:
        """Send an event, and return its id."""
        answer = self._http.post("/e/test", content=encode_events([event])).raise_for_status()
        event_id: str = answer.json()["ids"][0]
        return event_id

    def runs(self, event_id: str) -> list[dict[str, Any]]:
        """Return the runs that an event started, as the REST API has them."""
        answer = self._http.get(f"/v1/events/{quote(event_id)}/runs").raise_for_status()
        runs: list[dict[str, Any]] = answer.json()["data"]
        return runs

    def wait(self, event_id: str, *, timeout: float = 10.0) -> dict[str, Any]:
        """Wait in real time until the first run of an event has ended, and return it.

        Raises:
            TimeoutError: it has not; the message says how far it came.
        """
        deadline = time.monotonic() + timeout
        while True:
            runs = self.runs(event_id)
            if runs and runs[0]["ended_at"] is not None:
                return runs[0]
            if time.monotonic() > deadline:
                state = runs[0]["status"] if runs else "not started: did the app register (server.sync)?"
                raise TimeoutError(f"the run of event {event_id} has not ended within {timeout:g} s; it is {state}")
            time.sleep(_PAUSE)

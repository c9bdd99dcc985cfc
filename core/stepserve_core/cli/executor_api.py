"""The executor's HTTP API, as the commands use it (executor.md 1.6)."""

from __future__ import annotations

from collections.abc import Mapping
from types import TracebackType
from typing import Any
from urllib.parse import quote

import httpx
import msgspec

from stepserve_core._signature import hash_signing_key
from stepserve_core.cli.problems import Problem
from stepserve_core.cli.timeline import Run, read_run

_TIMEOUT = 10.0
_LARGEST_PAGE = 51


class ExecutorApi:
    """A connection to an executor at `url`; `signing_key` is needed where it has one."""

    def __init__(self, url: str, signing_key: str | None = None) -> None:
        self.url = url.rstrip("/")
        headers = {"authorization": f"Bearer {hash_signing_key(signing_key)}"} if signing_key else {}
        # Proxies of the environment are for the internet; the executor is near.
        self._http = httpx.Client(base_url=self.url, headers=headers, timeout=_TIMEOUT, trust_env=False)

    def __enter__(self) -> ExecutorApi:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._http.close()

    def send(self, key: str, name: str, data: Mapping[str, Any], event_id: str | None = None) -> str:
        """Send an event and return the id that the executor gives it."""
        event: dict[str, Any] = {"name": name, "data": data}
        if event_id is not None:
            event["id"] = event_id
        answer = self._ask("POST", f"/e/{quote(key, safe='')}", event)
        ids: list[str] = answer["ids"]
        return ids[0]

    def event(self, event_id: str) -> dict[str, Any] | None:
        """Return an event, or None where there is none of this id."""
        return self._find(f"/v1/events/{quote(event_id, safe='')}")

    def events(self, name: str) -> list[dict[str, Any]]:
        """Return the newest events of a name, at most 51."""
        events: list[dict[str, Any]] = self._ask("GET", f"/v1/events?name={quote(name)}&limit={_LARGEST_PAGE}")["data"]
        return events

    def runs_of_event(self, event_id: str) -> list[dict[str, Any]]:
        """Return the runs that an event started."""
        runs: list[dict[str, Any]] = self._ask("GET", f"/v1/events/{quote(event_id, safe='')}/runs")["data"]
        return runs

    def run(self, run_id: str) -> dict[str, Any] | None:
        """Return a run, or None where there is none of this id."""
        return self._find(f"/v1/runs/{quote(run_id, safe='')}")

    def timeline(self, run_id: str, event: str) -> Run:
        """Return a run with its steps; `event` is the name of its trigger."""
        return read_run(self._ask("GET", f"/v2/runs/{quote(run_id, safe='')}/trace")["data"], event)

    def tick(self, slug: str) -> int:
        """Let the pending ticks of a cron function fire now; return how many there were."""
        ticks: int = self._ask("POST", f"/v1/functions/{quote(slug, safe='')}/tick")["data"]["ticks"]
        return ticks

    def _find(self, path: str) -> dict[str, Any] | None:
        try:
            found: dict[str, Any] = self._ask("GET", path)["data"]
        except _UnknownProblem:
            return None
        return found

    def _ask(self, method: str, path: str, body: object = None) -> dict[str, Any]:
        content = None if body is None else msgspec.json.encode(body)
        headers = {} if content is None else {"content-type": "application/json"}
        try:
            response = self._http.request(method, path, content=content, headers=headers)
        except httpx.TransportError as error:
            reason = str(error) or type(error).__name__
            raise Problem(f"no executor answers at {self.url} ({reason}); is `stepserve dev` running?") from None
        if response.is_success:
            return _read(response, self.url)
        raise _refusal(response, self.url)


class _UnknownProblem(Problem):
    """The executor does not know what was asked for, or it cannot even be the id of such a thing."""


def _read(response: httpx.Response, url: str) -> dict[str, Any]:
    try:
        return msgspec.json.decode(response.content, type=dict[str, Any])
    except (ValueError, RecursionError):
        raise Problem(f"what answers at {url} is not an executor: it sent no JSON object") from None


def _refusal(response: httpx.Response, url: str) -> Problem:
    status = response.status_code
    if status == 401:
        return Problem(
            f"the executor at {url} refused the key. Pass the one that it was started with: --signing-key or"
            " INNGEST_SIGNING_KEY for looking up, --key or INNGEST_EVENT_KEY for sending."
        )
    try:
        message = msgspec.json.decode(response.content, type=dict[str, Any]).get("error", "no reason given")
    except (ValueError, RecursionError):
        return Problem(f"what answers at {url} is not an executor: it answered {status} without JSON")
    kind = _UnknownProblem if status in (400, 404) else Problem
    return kind(f"the executor at {url} answered {status}: {message}")

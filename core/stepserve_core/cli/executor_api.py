"""The HTTP API of a server, as the commands use it (executor.md 1.6).

Where a server of Inngest answers the same path, the commands work with it too: events under `/v1`, runs, apps and
functions under `/v2`. Pausing functions and letting cron functions tick are the embedded executor's own.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from types import TracebackType
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import msgspec

from stepserve_core._signature import hash_signing_key
from stepserve_core.cli.problems import Problem
from stepserve_core.cli.timeline import Run, read_run
from stepserve_core.history import read_history

if TYPE_CHECKING:
    import httpx

_TIMEOUT = 10.0
_EVENT_PAGE = 51
_RUN_PAGE = 40

_CREATE_APP = "mutation($url: String!) { createApp(input: {url: $url}) { name url error functionCount } }"


class UnknownProblem(Problem):
    """The server does not know what was asked for, or it cannot even be the id of such a thing."""


class ExecutorApi:
    """A connection to a server at `url`; `signing_key` is needed where it has one.

    Every method raises `Problem` where no server answers, or where it refuses what was asked.
    """

    def __init__(self, url: str, signing_key: str | None = None) -> None:
        import httpx  # noqa: PLC0415 - commands that ask no server, and --help, do not pay for importing it

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
        answer = self._ask("POST", f"/e/{_part(key)}", event)
        ids: list[str] = answer["ids"]
        return ids[0]

    def event(self, event_id: str) -> dict[str, Any] | None:
        """Return an event, or None where there is none of this id."""
        return self._find(f"/v1/events/{_part(event_id)}")

    def events(self, name: str | None = None, since: str | None = None) -> Iterator[dict[str, Any]]:
        """Yield events, the newest first: of a name, or of every name; received after `since`, an RFC 3339 date."""
        page: list[dict[str, Any]] = []
        while True:
            cursor = page[-1]["internal_id"] if page else None
            query = {"name": name, "received_after": since, "cursor": cursor, "limit": _EVENT_PAGE}
            page = self._get("/v1/events", query)["data"]
            yield from page
            if len(page) < _EVENT_PAGE:
                return

    def runs_of_event(self, event_id: str) -> list[dict[str, Any]]:
        """Return the runs that an event started."""
        runs: list[dict[str, Any]] = self._get(f"/v1/events/{_part(event_id)}/runs")["data"]
        return runs

    def runs(self, **query: Any) -> Iterator[dict[str, Any]]:
        """Yield runs as `GET /v2/runs` lists them for this query."""
        cursor = None
        while True:
            answer = self._get("/v2/runs", {**query, "cursor": cursor, "limit": _RUN_PAGE})
            yield from answer["data"]
            cursor = answer.get("page", {}).get("cursor")
            if not cursor:
                return

    def run(self, run_id: str) -> dict[str, Any] | None:
        """Return a run, or None where there is none of this id."""
        return self._find(f"/v1/runs/{_part(run_id)}")

    def timeline(self, run_id: str, event: str) -> Run:
        """Return a run with its steps; `event` is the name of its trigger."""
        answer = self._get(f"/v2/runs/{_part(run_id)}/trace")
        try:
            return read_run(answer["data"], event)
        except (KeyError, TypeError, ValueError, AttributeError):
            raise Problem(
                f"the server at {self.url} tells the steps of a run in a form that is not known here"
            ) from None

    def history(self, run_id: str) -> bytes:
        """Return what a run did, as JSON for replay tests."""
        return read_history(self._get(f"/v1/runs/{_part(run_id)}/history")).to_json()

    def cancel(self, run_id: str) -> None:
        """Cancel a run."""
        self._ask("POST", f"/v2/runs/{_part(run_id)}/cancel")

    def rerun(self, run_id: str, step: str | None = None, given: list[Any] | None = None) -> str:
        """Run again what a run ran, from a step on where one is named; return the id of the new run."""
        from_step = None if step is None else {"stepId": step, **({} if given is None else {"input": given})}
        answer = self._ask(
            "POST", f"/v2/runs/{_part(run_id)}/rerun", {} if from_step is None else {"fromStep": from_step}
        )
        new: str = answer["data"]["runId"]
        return new

    def apps(self) -> list[dict[str, Any]]:
        """Return the apps, as `GET /v2/apps` lists them."""
        apps: list[dict[str, Any]] = self._get("/v2/apps")["data"]
        return apps

    def functions(self) -> Iterator[tuple[dict[str, Any], dict[str, Any]]]:
        """Yield every function after the app that it belongs to."""
        for app in self.apps():
            for function in self._get(f"/v2/apps/{_part(app['id'])}/functions")["data"]:
                yield app, function

    def function(self, slug: str) -> tuple[dict[str, Any], dict[str, Any]]:
        """Return a function after the app that it belongs to.

        Raises:
            UnknownProblem: there is none of this slug; it names those that there are.
        """
        known = list(self.functions())
        for app, function in known:
            if function["slug"] == slug:
                return app, function
        slugs = ", ".join(sorted(function["slug"] for _, function in known)) or "none"
        raise UnknownProblem(f"the server at {self.url} has no function {slug!r}; it has: {slugs}")

    def invoke(self, slug: str, data: Mapping[str, Any], key: str | None = None) -> str:
        """Start a function, whatever its triggers, and return the id of the run; `key` makes that happen once."""
        app, function = self.function(slug)
        path = f"/v2/apps/{_part(app['id'])}/functions/{_part(function['id'])}/invoke"
        body: dict[str, Any] = {"data": data} if key is None else {"data": data, "idempotencyKey": key}
        started: str = self._ask("POST", path, body)["data"]["runId"]
        return started

    def pause(self, slug: str, mode: str) -> None:
        """Let a function start no runs: new ones wait (`hold`) or are skipped (`skip`)."""
        self.function(slug)  # names those that there are, where there is none of this slug
        self._ask("POST", f"/v1/functions/{_part(slug)}/pause", {"mode": mode})

    def resume(self, slug: str) -> None:
        """Let a function start runs again."""
        self.function(slug)
        self._ask("POST", f"/v1/functions/{_part(slug)}/resume")

    def tick(self, slug: str) -> int:
        """Let the pending ticks of a cron function fire now; return how many there were."""
        ticks: int = self._ask("POST", f"/v1/functions/{_part(slug)}/tick")["data"]["ticks"]
        return ticks

    def sync(self, url: str) -> dict[str, Any]:
        """Ask the app at a URL to register its functions; return what the server knows of it then."""
        answer = self._ask("POST", "/v0/gql", {"query": _CREATE_APP, "variables": {"url": url}})
        if answer.get("errors"):
            raise Problem(f"the server at {self.url} could not sync {url}: {answer['errors'][0]['message']}")
        app: dict[str, Any] = answer["data"]["createApp"]
        return app

    def _find(self, path: str) -> dict[str, Any] | None:
        try:
            found: dict[str, Any] = self._get(path)["data"]
        except UnknownProblem:
            return None
        return found

    def _get(self, path: str, query: Mapping[str, Any] | None = None) -> dict[str, Any]:
        given = {name: value for name, value in (query or {}).items() if value not in (None, "", [])}
        return self._ask("GET", path, query=given)

    def _ask(
        self, method: str, path: str, body: object = None, query: Mapping[str, Any] | None = None
    ) -> dict[str, Any]:
        import httpx  # noqa: PLC0415

        content = None if body is None else msgspec.json.encode(body)
        headers = {} if content is None else {"content-type": "application/json"}
        try:
            response = self._http.request(method, path, content=content, headers=headers, params=query or None)
        except httpx.TransportError as error:
            reason = str(error) or type(error).__name__
            raise Problem(f"no executor answers at {self.url} ({reason}); is `stepserve dev` running?") from None
        if response.is_success:
            return _read(response, self.url)
        raise _refusal(response, self.url)


def _part(text: str) -> str:
    return quote(text, safe="")


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
        answer = msgspec.json.decode(response.content, type=dict[str, Any])
    except (ValueError, RecursionError):
        return Problem(f"what answers at {url} is not an executor: it answered {status} without JSON")
    # /v0 and /v1 have one error, /v2 a list of them.
    message = answer.get("error") or next((one.get("message") for one in answer.get("errors", [])), "no reason given")
    kind = UnknownProblem if status in (400, 404) else Problem
    return kind(f"the executor at {url} answered {status}: {message}")

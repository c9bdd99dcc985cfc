"""`stepserve send` and `stepserve runs`: talk to an executor that runs (design.md section 7)."""

from __future__ import annotations

from typing import Annotated, Any

import msgspec
import typer

from stepserve_core._settings import DEV_ORIGIN, parse_origin
from stepserve_core._signature import check_key
from stepserve_core.cli.executor_api import ExecutorApi
from stepserve_core.cli.problems import Problem, UsageProblem
from stepserve_core.cli.timeline import Run
from stepserve_core.cli.timeline_view import make_console, print_timeline, run_values
from stepserve_core.errors import SigningKeyInvalidError

_Url = Annotated[
    str, typer.Option("--url", envvar="INNGEST_BASE_URL", metavar="URL", help="Where the executor listens.")
]
_Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]


def add_to(app: typer.Typer) -> None:
    """Add the commands."""
    app.command()(send)
    app.command()(runs)


def send(
    name: Annotated[str, typer.Argument(help="The event's name, such as shop/order.created.")],
    data: Annotated[str, typer.Option("--data", "-d", metavar="JSON", help="The event's data, a JSON object.")] = "{}",
    event_id: Annotated[
        str | None, typer.Option("--id", metavar="ID", help="The event's id; the same id twice counts once.")
    ] = None,
    url: _Url = DEV_ORIGIN,
    key: Annotated[
        str,
        typer.Option(
            "--key", envvar="INNGEST_EVENT_KEY", metavar="KEY", help="The event key; a development server takes any."
        ),
    ] = "dev",
    as_json: _Json = False,
) -> None:
    """Send an event to an executor and print the event's id."""
    values = _read_object(data)
    with ExecutorApi(_origin(url)) as api:
        # The variable may hold several keys, as for `stepserve start`; each of them is good for sending.
        sent = api.send(key.split(",")[0].strip(), name, values, event_id)
    typer.echo(msgspec.json.encode({"id": sent}).decode() if as_json else sent)


def runs(
    id: Annotated[str, typer.Argument(help="The id of an event, or of a run.")],  # noqa: A002 - the argument's name
    url: _Url = DEV_ORIGIN,
    signing_key: Annotated[
        str | None,
        typer.Option(
            "--signing-key", envvar="INNGEST_SIGNING_KEY", metavar="KEY", help="The key of a production server."
        ),
    ] = None,
    as_json: _Json = False,
) -> None:
    """Show the timelines of the runs that an event started, or of one run."""
    if signing_key is not None:
        try:
            check_key(signing_key, "--signing-key (or the environment variable INNGEST_SIGNING_KEY)")
        except SigningKeyInvalidError as error:
            raise UsageProblem(str(error)) from None
    with ExecutorApi(_origin(url), signing_key) as api:
        found = _find_runs(api, id)
    if as_json:
        typer.echo(msgspec.json.encode([run_values(run) for run in found]).decode())
        return
    console = make_console()
    for run in found:
        print_timeline(console, run)
    if not found:
        console.print("The event started no runs.")


def _find_runs(api: ExecutorApi, given: str) -> list[Run]:
    event = api.event(given)
    if event is not None:
        return [api.timeline(run["run_id"], event["name"]) for run in api.runs_of_event(given)]
    run = api.run(given)
    if run is None:
        raise Problem(f"the executor at {api.url} knows neither an event nor a run with the id {given}")
    trigger = api.event(run["event_id"])
    return [api.timeline(given, "an event" if trigger is None else trigger["name"])]


def _read_object(text: str) -> dict[str, Any]:
    try:
        return msgspec.json.decode(text, type=dict[str, Any])
    except (ValueError, RecursionError) as error:
        raise UsageProblem(f"--data must be a JSON object: {error}") from None


def _origin(url: str) -> str:
    try:
        return parse_origin(url, "dev")
    except ValueError as error:
        raise UsageProblem(f"--url (or the environment variable INNGEST_BASE_URL): {error}") from None

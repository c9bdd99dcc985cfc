"""`stepserve runs …`: list, show, watch, cancel and run again what a server runs (design.md section 7)."""

from __future__ import annotations

import time
from itertools import islice
from typing import Annotated, Any

import typer
from rich.console import Group
from rich.live import Live
from rich.text import Text

from stepserve_core.cli.connection import (
    DEFAULT_URL,
    AsJson,
    Limit,
    SigningKey,
    Since,
    Url,
    connect,
    print_json,
    read_array,
    read_since,
)
from stepserve_core.cli.executor_api import ExecutorApi
from stepserve_core.cli.lists import RUN_TITLES, run_row, show_list
from stepserve_core.cli.problems import Problem, UsageProblem
from stepserve_core.cli.timeline import Run
from stepserve_core.cli.timeline_view import make_console, print_timeline, run_values, show_timeline

_ENDED_OTHERWISE = 3
"""Exit code of watching a run that failed or was cancelled: the command itself went well."""

NOTHING_STARTED = "The event started no runs."
_LOOK_AGAIN = 0.25
"""Seconds between two looks at a run that is watched."""

Id = Annotated[
    str | None,
    typer.Argument(metavar="[ID]", help="The id of an event, or of a run; the newest run where there is none."),
]
RunId = Annotated[str, typer.Argument(metavar="RUN", help="The id of a run.")]


def add_to(app: typer.Typer) -> None:
    """Add the group of commands."""
    group = typer.Typer(help="List, show, watch, cancel and re-run runs.", no_args_is_help=True)
    group.command("list")(list_runs)
    group.command()(show)
    group.command()(watch)
    group.command()(cancel)
    group.command()(rerun)
    app.add_typer(group, name="runs")


def list_runs(
    status: Annotated[
        list[str] | None, typer.Option("--status", "-s", metavar="STATUS", help="Such as failed; may be repeated.")
    ] = None,
    function: Annotated[
        str | None, typer.Option("--function", "-f", metavar="SLUG", help="Only those of a function.")
    ] = None,
    app: Annotated[str | None, typer.Option("--app", "-a", metavar="APP", help="Only those of an app.")] = None,
    since: Since = None,
    search: Annotated[
        str,
        typer.Option(
            "--search", metavar="CEL", help="Only those for which this holds, such as 'event.data.total > 100'."
        ),
    ] = "",
    limit: Limit = 20,
    url: Url = DEFAULT_URL,
    signing_key: SigningKey = None,
    as_json: AsJson = False,
) -> None:
    """List runs, the newest first."""
    with connect(url, signing_key) as api:
        query: dict[str, Any] = {"appId": app, "status": status, "from": read_since(since), "query": search}
        if function is not None:
            owner, found = api.function(function)
            query |= {"appId": owner["id"], "functionId": found["id"]}
        query["includeOutput" if as_json else "includePreview"] = "true"
        runs = list(islice(api.runs(**query), limit))
    filters = status or function or app or since or search
    empty = "No run matches." if filters else "No runs yet; `stepserve send NAME` sends an event that may start one."
    show_list(runs, RUN_TITLES, map(run_row, runs), empty, as_json=as_json)


def show(id: Id = None, url: Url = DEFAULT_URL, signing_key: SigningKey = None, as_json: AsJson = False) -> None:  # noqa: A002 - the argument's name
    """Show the timelines of the runs that an event started, or of one run."""
    with connect(url, signing_key) as api:
        _print_runs(_find_runs(api, id), as_json, "There are no runs yet." if id is None else NOTHING_STARTED)


def watch(id: Id = None, url: Url = DEFAULT_URL, signing_key: SigningKey = None, as_json: AsJson = False) -> None:  # noqa: A002 - the argument's name
    """Show timelines while they grow, until all of these runs have ended.

    The exit code is 0 where all completed, and 3 where one failed or was cancelled.
    """
    with connect(url, signing_key) as api:
        follow(api, id, as_json)


def cancel(
    run_ids: Annotated[list[str], typer.Argument(metavar="RUN…", help="The ids of runs.")],
    url: Url = DEFAULT_URL,
    signing_key: SigningKey = None,
    as_json: AsJson = False,
) -> None:
    """Cancel runs. Steps that are being executed end; nothing follows them."""
    with connect(url, signing_key) as api:
        refusals = _cancel_each(api, run_ids)
    cancelled = [run_id for run_id in run_ids if run_id not in refusals]
    if as_json:
        print_json({"cancelled": cancelled})
    elif cancelled:
        typer.echo("\n".join(f"cancelled {run_id}" for run_id in cancelled))
    if refusals:
        raise Problem("\n".join(f"{run_id}: {reason}" for run_id, reason in refusals.items()))


def rerun(
    run_id: RunId,
    from_step: Annotated[
        str | None,
        typer.Option("--from-step", metavar="STEP", help="Keep the results of the steps before this one."),
    ] = None,
    given: Annotated[
        str | None,
        typer.Option("--input", metavar="JSON", help="Other arguments for that step: a JSON array."),
    ] = None,
    wait: Annotated[bool, typer.Option("--watch", "-w", help="Show the new run until it has ended.")] = False,
    url: Url = DEFAULT_URL,
    signing_key: SigningKey = None,
    as_json: AsJson = False,
) -> None:
    """Run again what a run ran, with the same event."""
    if given is not None and from_step is None:
        raise UsageProblem("--input needs --from-step: it is that step's")
    with connect(url, signing_key) as api:
        new = api.rerun(run_id, from_step, None if given is None else read_array(given, "--input"))
        announce(api, new, wait=wait, as_json=as_json)


def announce(api: ExecutorApi, run_id: str, *, wait: bool, as_json: bool) -> None:
    """Tell the id of a run that was started; where wanted, show it until it has ended."""
    if wait:
        follow(api, run_id, as_json)
    elif as_json:
        print_json({"run_id": run_id})
    else:
        typer.echo(run_id)


def follow(api: ExecutorApi, given: str | None, as_json: bool) -> None:
    """Show the runs of an event, or one run, until they have ended.

    Raises:
        Exit: with code 3, one of them failed or was cancelled.
    """
    console = make_console()
    runs = _find_runs(api, given)
    with Live(console=console, auto_refresh=False, transient=True) as live:
        while not all(run.has_ended for run in runs):
            if console.is_terminal and not as_json:
                live.update(Group(*map(show_timeline, runs), Text("Ctrl+C stops watching, not the runs", "dim")))
                live.refresh()
            time.sleep(_LOOK_AGAIN)
            runs = [run if run.has_ended else api.timeline(run.id, run.event) for run in runs]
    _print_runs(runs, as_json, "There are no runs yet." if given is None else NOTHING_STARTED)
    if any(run.status != "Completed" for run in runs):
        raise typer.Exit(_ENDED_OTHERWISE)


def _print_runs(runs: list[Run], as_json: bool, empty: str) -> None:
    if as_json:
        print_json([run_values(run) for run in runs])
        return
    console = make_console()
    for run in runs:
        print_timeline(console, run)
    if not runs:
        console.print(empty)


def _find_runs(api: ExecutorApi, given: str | None) -> list[Run]:
    if given is None:
        newest = next(api.runs(), None)
        return [] if newest is None else [api.timeline(newest["id"], newest["trigger"]["eventName"])]
    event = api.event(given)
    if event is not None:
        return [api.timeline(run["run_id"], event["name"]) for run in api.runs_of_event(given)]
    run = api.run(given)
    if run is None:
        raise Problem(f"the executor at {api.url} knows neither an event nor a run with the id {given}")
    trigger = api.event(run["event_id"])
    return [api.timeline(given, "an event" if trigger is None else trigger["name"])]


def _cancel_each(api: ExecutorApi, run_ids: list[str]) -> dict[str, str]:
    """Cancel runs; return why not, of those that were refused. One refusal must not keep the others."""
    refusals = {}
    for run_id in run_ids:
        try:
            api.cancel(run_id)
        except Problem as problem:
            refusals[run_id] = str(problem)
    return refusals

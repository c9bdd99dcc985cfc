"""Lists as tables for people. No I/O but printing."""

from __future__ import annotations

import datetime
from collections.abc import Iterable, Mapping
from typing import Any

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from stepserve_core.cli.connection import print_json
from stepserve_core.cli.timeline_view import duration_text, json_text, make_console, status_text

Cell = str | Text


def show_list(
    values: list[Any], titles: Iterable[str], rows: Iterable[Iterable[Cell]], empty: str, *, as_json: bool
) -> None:
    """Print values as JSON for machines; for people as a table, or in words that there are none."""
    if as_json:
        print_json(values)
    elif values:
        _print_table(make_console(), titles, rows)
    else:
        typer.echo(empty)


def _print_table(console: Console, titles: Iterable[str], rows: Iterable[Iterable[Cell]]) -> None:
    """Print a table. Ids stay whole: where the window is narrow only the last column gives way."""
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="dim")
    *firsts, last = titles
    for title in firsts:
        table.add_column(title, no_wrap=True)
    table.add_column(Text(last, no_wrap=True, overflow="ellipsis"))
    for row in rows:
        table.add_row(*row)
    console.print(table)


def run_row(run: Mapping[str, Any]) -> tuple[Cell, ...]:
    """Return the cells of a run of `GET /v2/runs`."""
    trigger = run["trigger"]
    fields = " ".join(f"{name}={value}" for name, value in trigger.get("preview", {}).items())
    return (
        run["id"],
        run["function"]["slug"] or run["function"]["id"],
        status_text(run["status"].capitalize()),
        local_time(run["queuedAt"]),
        duration_text(run.get("durationMs")),
        Text(
            f"{trigger.get('cron') or trigger.get('eventName') or ''} {fields}".strip(),
            no_wrap=True,
            overflow="ellipsis",
        ),
    )


RUN_TITLES = ("run", "function", "status", "queued", "took", "started by")


def event_row(event: Mapping[str, Any]) -> tuple[Cell, ...]:
    """Return the cells of an event of `GET /v1/events`."""
    return (event["internal_id"], event["name"], local_time(event["received_at"]), json_text(event.get("data")))


EVENT_TITLES = ("event", "name", "received", "data")


def function_row(app: Mapping[str, Any], function: Mapping[str, Any]) -> tuple[Cell, ...]:
    """Return the cells of a function of `GET /v2/apps/{app}/functions`."""
    paused = function.get("paused")
    state = Text("active", "green") if paused is None else Text(f"paused ({paused})", "yellow")
    triggers = ", ".join(_trigger_text(trigger) for trigger in function["triggers"])
    return (function["slug"], app["name"], state, triggers or "invoked only")


FUNCTION_TITLES = ("function", "app", "state", "started by")


def app_row(app: Mapping[str, Any]) -> tuple[Cell, ...]:
    """Return the cells of an app of `GET /v2/apps`."""
    error = app.get("error")
    state = Text(error, "red") if error else Text("in sync", "green")
    made_with = ", ".join(text for text in (app.get("sdk"), app.get("framework")) if text)
    return (app["name"] or "(not synced yet)", state, local_time(app.get("syncedAt")), made_with, app["url"])


APP_TITLES = ("app", "state", "synced", "made with", "url")


def local_time(text: str | None) -> str:
    """Return the local time of an RFC 3339 date; of today, only the time."""
    if not text:
        return ""
    moment = datetime.datetime.fromisoformat(text.replace("Z", "+00:00")).astimezone()
    is_today = moment.date() == datetime.datetime.now().astimezone().date()
    return f"{moment:%H:%M:%S}" if is_today else f"{moment:%Y-%m-%d %H:%M}"


def _trigger_text(trigger: Mapping[str, Any]) -> str:
    if trigger.get("cron"):
        return f"cron {trigger['cron']}"
    return f"{trigger.get('event')} if {trigger['expression']}" if trigger.get("expression") else str(trigger["event"])

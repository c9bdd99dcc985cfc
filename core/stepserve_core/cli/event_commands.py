"""`stepserve events …` and its short form `stepserve send` (design.md section 7)."""

from __future__ import annotations

from itertools import islice
from typing import Annotated

import typer

from stepserve_core.cli.connection import (
    DEFAULT_URL,
    AsJson,
    Data,
    Limit,
    SigningKey,
    Since,
    Url,
    connect,
    print_json,
    read_object,
    read_since,
)
from stepserve_core.cli.lists import EVENT_TITLES, event_row, show_list

_OF_THE_SERVER = "inngest/"
"""How the names of events begin that the server sends itself, such as those of ended runs."""


def add_to(app: typer.Typer) -> None:
    """Add the group of commands, and sending as a command of its own."""
    group = typer.Typer(help="Send and list events.", no_args_is_help=True)
    group.command()(send)
    group.command("list")(list_events)
    app.add_typer(group, name="events")
    app.command()(send)


def send(
    name: Annotated[str, typer.Argument(help="The event's name, such as shop/order.created.")],
    data: Data = "{}",
    event_id: Annotated[
        str | None, typer.Option("--id", metavar="ID", help="The event's id; the same id twice counts once.")
    ] = None,
    url: Url = DEFAULT_URL,
    key: Annotated[
        str,
        typer.Option(
            "--key", envvar="INNGEST_EVENT_KEY", metavar="KEY", help="The event key; a development server takes any."
        ),
    ] = "dev",
    as_json: AsJson = False,
) -> None:
    """Send an event to an executor and print the event's id."""
    values = read_object(data)
    with connect(url) as api:
        # The variable may hold several keys, as for `stepserve start`; each of them is good for sending.
        sent = api.send(key.split(",")[0].strip(), name, values, event_id)
    if as_json:
        print_json({"id": sent})
    else:
        typer.echo(sent)


def list_events(
    name: Annotated[str | None, typer.Option("--name", metavar="NAME", help="Only those of this name.")] = None,
    internal: Annotated[bool, typer.Option("--internal", help="Show those of the server itself too.")] = False,
    since: Since = None,
    limit: Limit = 20,
    url: Url = DEFAULT_URL,
    signing_key: SigningKey = None,
    as_json: AsJson = False,
) -> None:
    """List events, the newest first; by default those of the last hour."""
    with connect(url, signing_key) as api:
        found = api.events(name, read_since(since))
        shown = (event for event in found if internal or name or not event["name"].startswith(_OF_THE_SERVER))
        events = list(islice(shown, limit))
    empty = "No event matches." if since else "No events in the last hour; --since looks further back."
    show_list(events, EVENT_TITLES, map(event_row, events), empty, as_json=as_json)

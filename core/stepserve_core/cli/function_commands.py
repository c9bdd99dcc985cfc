"""`stepserve functions …`: list, invoke, pause and resume (design.md section 7)."""

from __future__ import annotations

from typing import Annotated

import typer

from stepserve_core.cli.connection import (
    DEFAULT_URL,
    AsJson,
    Data,
    SigningKey,
    Url,
    connect,
    print_json,
    read_object,
)
from stepserve_core.cli.lists import FUNCTION_TITLES, function_row, show_list
from stepserve_core.cli.run_commands import announce

Slug = Annotated[
    str, typer.Argument(metavar="FUNCTION", help="The slug <app id>-<function id>, as `functions list` shows it.")
]


def add_to(app: typer.Typer) -> None:
    """Add the group of commands."""
    group = typer.Typer(help="List, invoke, pause and resume functions.", no_args_is_help=True)
    group.command("list")(list_functions)
    group.command()(invoke)
    group.command()(pause)
    group.command()(resume)
    app.add_typer(group, name="functions")


def list_functions(url: Url = DEFAULT_URL, signing_key: SigningKey = None, as_json: AsJson = False) -> None:
    """List the functions of all apps."""
    with connect(url, signing_key) as api:
        found = list(api.functions())
    values = [{**function, "appName": app["name"]} for app, function in found]
    rows = (function_row(app, function) for app, function in found)
    empty = "No app has registered functions yet; `stepserve apps sync URL` asks one to."
    show_list(values, FUNCTION_TITLES, rows, empty, as_json=as_json)


def invoke(
    slug: Slug,
    data: Data = "{}",
    key: Annotated[
        str | None,
        typer.Option("--idempotency-key", metavar="KEY", help="The same key twice starts one run in 24 hours."),
    ] = None,
    wait: Annotated[bool, typer.Option("--watch", "-w", help="Show the run until it has ended.")] = False,
    url: Url = DEFAULT_URL,
    signing_key: SigningKey = None,
    as_json: AsJson = False,
) -> None:
    """Start a function, whatever its triggers, and print the id of the run."""
    values = read_object(data)
    with connect(url, signing_key) as api:
        announce(api, api.invoke(slug, values, key), wait=wait, as_json=as_json)


def pause(
    slug: Slug,
    skip: Annotated[bool, typer.Option("--skip", help="Skip new runs instead of letting them wait.")] = False,
    url: Url = DEFAULT_URL,
    signing_key: SigningKey = None,
    as_json: AsJson = False,
) -> None:
    """Let a function start no runs until it is resumed. Runs that have started go on."""
    mode = "skip" if skip else "hold"
    with connect(url, signing_key) as api:
        api.pause(slug, mode)
    if as_json:
        print_json({"function": slug, "paused": mode})
    else:
        typer.echo(f"paused {slug}: new runs {'are skipped' if skip else 'wait'}")


def resume(slug: Slug, url: Url = DEFAULT_URL, signing_key: SigningKey = None, as_json: AsJson = False) -> None:
    """Let a function start runs again, those that waited first."""
    with connect(url, signing_key) as api:
        api.resume(slug)
    if as_json:
        print_json({"function": slug, "paused": None})
    else:
        typer.echo(f"resumed {slug}")

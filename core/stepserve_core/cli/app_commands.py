"""`stepserve apps …`: list apps and ask them to register (design.md section 7)."""

from __future__ import annotations

from typing import Annotated

import typer

from stepserve_core.cli.connection import DEFAULT_URL, AsJson, SigningKey, Url, connect, print_json
from stepserve_core.cli.doctor.remedies import advise
from stepserve_core.cli.lists import APP_TITLES, app_row, show_list
from stepserve_core.cli.problems import Problem


def add_to(app: typer.Typer) -> None:
    """Add the group of commands."""
    group = typer.Typer(help="List and sync apps.", no_args_is_help=True)
    group.command("list")(list_apps)
    group.command()(sync)
    app.add_typer(group, name="apps")


def list_apps(url: Url = DEFAULT_URL, signing_key: SigningKey = None, as_json: AsJson = False) -> None:
    """List the apps that have registered, and what is wrong with those that could not."""
    with connect(url, signing_key) as api:
        apps = api.apps()
    empty = "No app has registered yet; `stepserve apps sync URL` asks one to."
    show_list(apps, APP_TITLES, map(app_row, apps), empty, as_json=as_json)


def sync(
    app_url: Annotated[str, typer.Argument(metavar="APP_URL", help="Where the app serves its functions.")],
    url: Url = DEFAULT_URL,
    signing_key: SigningKey = None,
    as_json: AsJson = False,
) -> None:
    """Ask an app to register its functions, for example after a deployment."""
    with connect(url, signing_key) as api:
        app = api.sync(app_url)
    if as_json:
        print_json(app)
    if app["error"]:
        raise Problem(f"the app at {app['url']} could not be synced: {app['error']}. {advise(app['error'])}")
    if not as_json:
        typer.echo(f"{app['name']} is in sync: {app['functionCount']} functions at {app['url']}")

"""`stepserve backup`: copy the database, also while a server uses it (design.md section 7)."""

from __future__ import annotations

from typing import Annotated

import typer

from stepserve_core.cli.problems import Problem
from stepserve_core.cli.requirements import require_server
from stepserve_core.cli.settings import variable_of
from stepserve_core.errors import ConfigurationError


def add_to(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(backup)


def backup(
    file: Annotated[str, typer.Argument(help="The file to write; it must not exist.", metavar="FILE")],
    db: Annotated[
        str, typer.Option("--db", envvar=variable_of("--db"), metavar="PATH", help="The database to copy.")
    ] = "stepserve.db",
) -> None:
    """Copy the database, also while a server uses it.

    The copy is consistent. To go back to it, stop the server and give the copy to --db.
    """
    require_server()
    from stepserve_core.executor.store.backup import back_up  # noqa: PLC0415 - after the look for its libraries

    try:
        size = back_up(db, file)
    except ConfigurationError as error:
        raise Problem(str(error)) from None
    typer.echo(f"{file}: {size:,} bytes")

"""`stepserve export`: write the history of a run, for replay tests (design.md section 7)."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from stepserve_core.cli.connection import DEFAULT_URL, SigningKey, Url, connect
from stepserve_core.cli.problems import Problem
from stepserve_core.cli.requirements import require_server
from stepserve_core.cli.settings import variable_of
from stepserve_core.errors import ConfigurationError


def add_to(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(export)


def export(
    run_id: Annotated[str, typer.Argument(metavar="RUN", help="The id of a run.")],
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", metavar="FILE", help="The file to write; standard output if not given."),
    ] = None,
    db: Annotated[
        str | None,
        typer.Option("--db", envvar=variable_of("--db"), metavar="PATH", help="Read this database, not a server."),
    ] = None,
    url: Url = DEFAULT_URL,
    signing_key: SigningKey = None,
) -> None:
    """Write what a run did as JSON, for replay tests.

    That is: its events, its steps and what came of them. In a test,
    stepserve.testing.assert_replays(function, FILE) says whether the code of today would have done the same.
    """
    history = _from_server(url, signing_key, run_id) if db is None else _from_database(db, run_id)
    if output is None:
        typer.echo(history.decode(), nl=False)
        return
    try:
        output.write_bytes(history)
    except OSError as error:
        raise Problem(f"{output} cannot be written: {error.strerror}") from None


def _from_server(url: str, signing_key: str | None, run_id: str) -> bytes:
    with connect(url, signing_key) as api:
        return api.history(run_id)


def _from_database(path: str, run_id: str) -> bytes:
    require_server()
    from stepserve_core.executor.histories import build_history  # noqa: PLC0415 - after the look for its libraries
    from stepserve_core.executor.store.backup import reading  # noqa: PLC0415

    try:
        with reading(path) as tables:
            history = build_history(tables, run_id)
    except ConfigurationError as error:
        raise Problem(str(error)) from None
    if history is None:
        raise Problem(f"the database {path} has no run {run_id}")
    return history.to_json()

"""The commands and their flags."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Annotated

import typer

from stepserve_core._version import VERSION
from stepserve_core.cli import (
    app_commands,
    backup_command,
    demo_command,
    event_commands,
    export_command,
    function_commands,
    run_commands,
    serve_commands,
)
from stepserve_core.cli.doctor import command as doctor_command
from stepserve_core.cli.problems import Problem

# Without rich's markup, errors stay sentences that can be searched for instead of boxes cut to the terminal's width.
app = typer.Typer(
    name="stepserve",
    help="Durable step functions for any Python web framework.",
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)
serve_commands.add_to(app)
demo_command.add_to(app)
event_commands.add_to(app)
run_commands.add_to(app)
function_commands.add_to(app)
app_commands.add_to(app)
doctor_command.add_to(app)
backup_command.add_to(app)
export_command.add_to(app)


def _show_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"stepserve {VERSION}")
        raise typer.Exit


@app.callback()
def _main(
    version: Annotated[
        bool,
        typer.Option("--version", help="Show the version and exit.", callback=_show_version, is_eager=True),
    ] = False,
) -> None:
    """Durable step functions for any Python web framework."""


def run(arguments: Sequence[str] | None = None) -> None:
    """Run the command line, by default that of this process, and exit."""
    try:
        app(arguments, prog_name="stepserve")
    except Problem as problem:
        sys.stderr.write(f"stepserve: {problem}\n")
        sys.exit(problem.exit_code)

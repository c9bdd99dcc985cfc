"""`stepserve demo`: the main job in one command (design.md section 7)."""

from __future__ import annotations

import enum
from typing import Annotated

import msgspec
import typer

from stepserve_core.cli.problems import Problem
from stepserve_core.cli.requirements import require, require_server
from stepserve_core.cli.timeline_view import make_console
from stepserve_core.demo.apps import APPS
from stepserve_core.demo.progress import Progress
from stepserve_core.demo.report import outcome_values, print_outcome

_INTERRUPTED = 130


class Framework(str, enum.Enum):
    """Which example apps to serve."""

    FLASK = "flask"
    FASTAPI = "fastapi"
    ALL = "all"


def add_to(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(demo)


def demo(
    framework: Annotated[Framework, typer.Option("--framework", help="Which example apps to serve.")] = Framework.ALL,
    timeout: Annotated[
        float, typer.Option("--timeout", metavar="SECONDS", help="Seconds that the runs may take.", min=0.1)
    ] = 30.0,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print the outcome as JSON; progress goes to stderr.")
    ] = False,
) -> None:
    """Show the whole system at work, in one command.

    Example apps run on the embedded executor, and how every run ends is checked. All run as in production, with keys,
    in processes of their own on the loopback interface, and nothing is left afterwards. Exits 0 only if every run
    ended as declared.
    """
    from stepserve_core.demo.program import run_demo  # noqa: PLC0415 - it imports httpx

    frameworks = list(APPS) if framework is Framework.ALL else [framework.value]
    require([library for name in frameworks for library in APPS[name].libraries], "demo", "demo")
    require_server()
    try:
        with Progress(make_console(stderr=as_json)) as progress:
            outcome = run_demo(frameworks, progress, timeout)
    except KeyboardInterrupt:
        raise Problem("interrupted; every process that the demo started has been stopped", _INTERRUPTED) from None
    if as_json:
        typer.echo(msgspec.json.format(msgspec.json.encode(outcome_values(outcome))).decode())
    else:
        print_outcome(make_console(), outcome)
    if not outcome.is_as_declared:
        raise typer.Exit(1)

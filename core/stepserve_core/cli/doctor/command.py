"""`stepserve doctor`: look, judge, print (design.md section 7)."""

from __future__ import annotations

from typing import Annotated

import typer
from rich.console import Console
from rich.text import Text

from stepserve_core.cli.connection import DEFAULT_URL, AsJson, SigningKey, Url, print_json, read_key, read_url
from stepserve_core.cli.doctor.findings import Finding, Level
from stepserve_core.cli.timeline_view import make_console

_MARKS = {Level.OK: ("ok", "green"), Level.WARNING: ("warning", "yellow"), Level.PROBLEM: ("problem", "red")}


def add_to(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(doctor)


def doctor(
    app_url: Annotated[
        str | None,
        typer.Argument(metavar="APP_URL", help="Where an app serves its functions. By default every registered one."),
    ] = None,
    url: Url = DEFAULT_URL,
    signing_key: SigningKey = None,
    as_json: AsJson = False,
) -> None:
    """Say why a server and an app do not work together.

    It says what to change, and changes nothing. The exit code is 1 where there is a problem; warnings leave it at 0.
    """
    from stepserve_core.cli.doctor.examination import examine  # noqa: PLC0415 - it imports httpx; --help does without

    findings = examine(app_url, read_url(url), read_key(signing_key))
    if as_json:
        print_json([{**vars(finding), "level": finding.level.value} for finding in findings])
    else:
        _print(make_console(), findings)
    if any(finding.level is Level.PROBLEM for finding in findings):
        raise typer.Exit(1)


def _print(console: Console, findings: list[Finding]) -> None:
    about = ""
    for finding in findings:
        if finding.about != about:
            console.print(Text(finding.about, "bold"))
            about = finding.about
        mark, colour = _MARKS[finding.level]
        console.print(Text.assemble("  ", (f"{mark:8}", colour), finding.text), soft_wrap=True)
        if finding.remedy:
            console.print(Text(f"          {finding.remedy}", "dim"), soft_wrap=True)
    problems = sum(1 for finding in findings if finding.level is Level.PROBLEM)
    console.print(f"{problems or 'No'} problem{'' if problems == 1 else 's'} found.")

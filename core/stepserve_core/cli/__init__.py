"""The `stepserve` command (design.md section 7). Its libraries are in the extra `server`."""

from __future__ import annotations

import sys

from stepserve_core.cli.requirements import missing

_LIBRARIES = ("typer", "rich")


def main() -> None:
    """Run the command line. Problems of the user's making are one sentence on stderr, never a traceback."""
    if missing(_LIBRARIES):
        sys.exit('stepserve: the command line needs more than the library: pip install "stepserve[server]"')
    from stepserve_core.cli.application import run  # noqa: PLC0415 - after the look whether its libraries are there

    run()

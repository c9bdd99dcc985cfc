"""Run a program written for the official package: `python -m stepserve.as_inngest program.py`, or `-m module`.

Importing this module calls `install_as_inngest()`. So pytest takes it as a plugin: `pytest -p stepserve.as_inngest`.
"""

from __future__ import annotations

import os
import runpy
import sys

from stepserve_core import install_as_inngest

install_as_inngest()


def main(arguments: list[str]) -> None:
    """Run a file, or after `-m` a module, as the main program with the arguments that follow.

    Raises:
        SystemExit: nothing to run was named.
    """
    if arguments[:1] == ["-m"] and len(arguments) > 1:
        sys.argv = arguments[1:]
        runpy.run_module(arguments[1], run_name="__main__", alter_sys=True)
    elif arguments and not arguments[0].startswith("-"):
        sys.argv = arguments
        sys.path.insert(0, os.path.dirname(os.path.abspath(arguments[0])))  # as Python does for a file that it runs
        runpy.run_path(arguments[0], run_name="__main__")
    else:
        sys.exit("usage: python -m stepserve.as_inngest (program.py | -m module) [arguments]")


if __name__ == "__main__":
    main(sys.argv[1:])

"""Programs written for the official package print the same with it and with stepserve, unchanged."""

from __future__ import annotations

import os
import pathlib
import re
import subprocess
import sys

import pytest

ROOT = pathlib.Path(__file__).parents[2]
PROGRAMS = sorted((ROOT / "tests/peers/programs").glob("*.py"), key=lambda program: program.name)

SHOWN_INPUT = re.compile(r'"input": \[[^]]*\], ')
"""In development we tell the server the arguments of steps, which the official package does not."""


def output(*command: str) -> list[str]:
    """Return the lines that a program prints."""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT / "core"), str(ROOT / "adapters")])}
    environment.pop("INNGEST_DEV", None)
    ran = subprocess.run(
        [sys.executable, *command], capture_output=True, text=True, check=False, env=environment, cwd=ROOT
    )
    assert 0 == ran.returncode, ran.stderr
    return ran.stdout.splitlines()


@pytest.mark.parametrize("program", PROGRAMS, ids=lambda program: program.stem)
def test_a_program_prints_the_same_with_both_packages(program: pathlib.Path) -> None:
    official = output(str(program))

    assert len(official) > 10
    ours = output("-m", "stepserve.as_inngest", str(program))
    assert official == [SHOWN_INPUT.sub("", line) for line in ours]

"""Without its libraries a command says in one sentence how to get them."""

from __future__ import annotations

import subprocess
import sys

import pytest

from tests.cli.command import environment

START = ("start", "--signing-key", "abcd", "--event-key", "key")


@pytest.mark.parametrize(
    ("absent", "arguments", "sentence"),
    [
        ("typer", ["dev"], 'the command line needs more than the library: pip install "stepserve[server]"'),
        ("rich", ["dev"], 'the command line needs more than the library: pip install "stepserve[server]"'),
        ("uvicorn", ["dev"], 'the executor needs uvicorn: pip install "stepserve[server]"'),
        ("starlette", START, 'the executor needs starlette: pip install "stepserve[server]"'),
        ("waitress", ["demo"], '`stepserve demo` needs waitress: pip install "stepserve[demo]"'),
        ("flask", ["demo"], '`stepserve demo` needs flask: pip install "stepserve[demo]"'),
        ("fastapi", ["demo"], '`stepserve demo` needs fastapi: pip install "stepserve[demo]"'),
        ("aiohttp", ["demo", "--framework", "flask"], 'the executor needs aiohttp: pip install "stepserve[server]"'),
    ],
)
def test_a_missing_library_is_a_sentence(absent: str, arguments: list[str], sentence: str) -> None:
    """The extra that brings it is named."""
    # None in sys.modules is how Python notes that a module cannot be imported.
    source = f"import sys; sys.modules[{absent!r}] = None; from stepserve_core.cli import main; main()"
    ended = subprocess.run(
        [sys.executable, "-c", source, *arguments], env=environment(), capture_output=True, text=True, check=False
    )

    assert (1, "", f"stepserve: {sentence}\n") == (ended.returncode, ended.stdout, ended.stderr)


def test_the_version_needs_no_executor() -> None:
    """Nothing of the executor is loaded before a command asks for it."""
    source = (
        "import sys\nfrom stepserve_core.cli.application import app\n"
        "print([name for name in sys.modules if name.split('.')[0] in ('aiohttp', 'starlette', 'uvicorn', 'flask')])"
    )
    ended = subprocess.run(
        [sys.executable, "-c", source], env=environment(), capture_output=True, text=True, check=True
    )

    assert "[]\n" == ended.stdout

"""Run what a page of documentation shows: `python -m tests.docs.pages docs/frameworks.md`.

Blocks marked `python` run one after the other in one namespace, those in HTML comments too, which readers do not see.
A block marked `output` is what the `python` block before it prints; blocks without one may print what they like.
"""

from __future__ import annotations

import contextlib
import io
import pathlib
import re
import sys
from typing import NamedTuple

_FENCE = re.compile(r"^(?P<ticks>```+)(?P<kind>\w*)[^\n]*\n(?P<text>.*?)^(?P=ticks)[ ]*$", re.MULTILINE | re.DOTALL)


class Block(NamedTuple):
    """A fenced block; `line` is that of its first line in the page, counted from 0."""

    kind: str
    text: str
    line: int


class Wrong(Exception):
    """A page does not show what happens."""


def blocks(page: str) -> list[Block]:
    """Return the fenced blocks of a page."""
    found = _FENCE.finditer(page)
    return [Block(one["kind"], one["text"], page.count("\n", 0, one.start("text"))) for one in found]


def run(name: str, page: str) -> int:
    """Run a page, and return how many blocks of it ran.

    Raises:
        Wrong: a block printed something else than the page says, or the page says what nothing printed.
        Exception: whatever a block raises; the traceback has the lines of the page.
    """
    namespace: dict[str, object] = {"__name__": "__main__"}
    printed: str | None = None
    count = 0
    for block in blocks(page):
        if block.kind == "python":
            output = io.StringIO()
            code = compile("\n" * block.line + block.text, name, "exec", dont_inherit=True)  # no __future__ of ours
            with contextlib.redirect_stdout(output):
                exec(code, namespace)
            printed, count = output.getvalue(), count + 1
        elif block.kind == "output":
            if printed is None:
                raise Wrong(f"{name}:{block.line}: no python block stands before this output")
            if printed.strip() != block.text.strip():
                raise Wrong(f"{name}:{block.line}: printed was\n{printed}")
            printed = None
    return count


if __name__ == "__main__":
    for path in map(pathlib.Path, sys.argv[1:]):
        sys.stdout.write(f"{run(str(path), path.read_text(encoding='utf-8'))} blocks ran in {path}\n")

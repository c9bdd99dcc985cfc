"""Every page of documentation shows what happens: its Python blocks run, each page in a process of its own."""

from __future__ import annotations

import importlib.util
import os
import pathlib
import re
import subprocess
import sys

import pytest

from tests.cli.command import environment
from tests.docs.pages import Wrong, blocks, run

ROOT = pathlib.Path(__file__).parents[2]
PAGES = sorted([*ROOT.glob("docs/**/*.md"), ROOT / "README.md"])

PACKAGES = {
    "docs/endpoints.md": ("fastapi", "flask"),
    "docs/connect.md": ("google.protobuf", "websockets"),
    "docs/frameworks.md": ("django", "fastapi", "flask", "tornado"),
    "README.md": ("flask",),
}
"""What pages import beside stepserve."""


def _name(page: pathlib.Path) -> str:
    return page.relative_to(ROOT).as_posix()


@pytest.mark.parametrize("page", PAGES, ids=_name)
def test_the_blocks_of_a_page_run(page: pathlib.Path, tmp_path: pathlib.Path) -> None:
    missing = [name for name in PACKAGES.get(_name(page), ()) if importlib.util.find_spec(name) is None]
    if missing:
        pytest.skip(f"not installed: {', '.join(missing)}")
    variables = environment(INNGEST_DEV="1", PYTHONIOENCODING="utf-8")
    variables["PYTHONPATH"] = os.pathsep.join((variables["PYTHONPATH"], str(ROOT)))
    command = [sys.executable, "-W", "error", "-m", "tests.docs.pages", str(page)]
    ran = subprocess.run(
        command, capture_output=True, text=True, check=False, cwd=tmp_path, env=variables, encoding="utf-8"
    )

    assert ran.returncode == 0, ran.stdout + ran.stderr
    expected = sum(block.kind == "python" for block in blocks(page.read_text(encoding="utf-8")))
    assert f"{expected} blocks ran in" in ran.stdout


def test_the_readme_leads_to_every_page() -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    linked = {(ROOT / target).resolve() for target in re.findall(r"\]\(([\w./-]+)\)", readme)}

    assert [] == [page.name for page in PAGES if page.name != "README.md" and page not in linked]
    assert [] == [target for target in linked if not target.exists()]


@pytest.mark.parametrize("page", PAGES, ids=_name)
def test_links_between_pages_lead_somewhere(page: pathlib.Path) -> None:
    targets = re.findall(r"\]\(([\w./-]+\.md)(?:#[\w-]*)?\)", page.read_text(encoding="utf-8"))

    assert [] == [target for target in targets if not (page.parent / target).exists()]


def test_blocks_share_a_namespace_also_with_those_that_readers_do_not_see() -> None:
    assert run("page", "```python\na = 1\n```\n<!--\n```python\na += 1\n```\n-->\n```python\nassert a == 2\n```\n") == 3


def test_an_error_tells_the_line_of_the_page() -> None:
    with pytest.raises(ZeroDivisionError) as caught:
        run("page.md", "# Title\n\n```python\na = 0\n1 / a\n```\n")

    assert (caught.traceback[-1].path, caught.traceback[-1].lineno + 1) == ("page.md", 5)


@pytest.mark.parametrize(
    "page",
    [
        "```python\nprint(1)\n```\n```output\n2\n```\n",
        "```output\n1\n```\n",
        "```python\n```\n```output\n1\n```\n",
    ],
)
def test_output_that_is_not_what_was_printed_is_wrong(page: str) -> None:
    with pytest.raises(Wrong, match="page:"):
        run("page", page)


def test_output_that_was_printed_is_right() -> None:
    printed = "````python title=x\nprint('```')\n````\ntext\n\n````output\n```\n````\n"

    assert run("page", printed + "```sh\nexit 1\n```\n") == 1

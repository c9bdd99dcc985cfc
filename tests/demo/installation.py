"""A copy of this package as a wheel installs it, with example apps that tests may change."""

from __future__ import annotations

import shutil
from pathlib import Path

import stepserve
import stepserve_core
from stepserve_core.demo.apps import examples_folder


class Installation:
    """The folder to put on the path of a child."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        ignore = shutil.ignore_patterns("__pycache__", "examples")
        for package in (stepserve_core, stepserve):
            source = Path(package.__file__ or "").parent
            shutil.copytree(source, folder / source.name, ignore=ignore)
        self._examples = folder / "stepserve_core" / "demo" / "examples"
        shutil.copytree(examples_folder(), self._examples)

    def change_app(self, framework: str, before: str, after: str) -> None:
        """Replace a piece of text in the source of an example app."""
        self._change(self._examples / framework / "app.py", before, after)

    def change_declaration(self, before: str, after: str) -> None:
        """Replace a piece of text in what the demo declares."""
        self._change(self.folder / "stepserve_core" / "demo" / "expected.py", before, after)

    def _change(self, path: Path, before: str, after: str) -> None:
        text = path.read_text(encoding="utf-8")

        assert 1 == text.count(before), before
        path.write_text(text.replace(before, after), encoding="utf-8")

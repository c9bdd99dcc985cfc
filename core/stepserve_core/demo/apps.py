"""The example apps: where they are and how they are served."""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass
from pathlib import Path

from stepserve_core.cli.problems import Problem

SYNC_PATH = "/api/inngest"


@dataclass(frozen=True)
class App:
    """An example app. `app_id` is the one in its source; `server` the arguments of Python that serve it."""

    framework: str
    app_id: str
    libraries: tuple[str, ...]
    server: tuple[str, ...]

    def command(self, port: int) -> list[str]:
        """Return the command that serves `app.py` of the working directory on a port of the loopback interface."""
        return [sys.executable, "-m", *(part.format(port=port) for part in self.server)]


APPS = {
    app.framework: app
    for app in (
        App("flask", "flask-shop", ("flask", "waitress"), ("waitress", "--listen=127.0.0.1:{port}", "app:app")),
        App(
            "fastapi",
            "fastapi-shop",
            ("fastapi", "uvicorn"),
            ("uvicorn", "--host=127.0.0.1", "--port={port}", "--log-level=warning", "app:app"),
        ),
    )
}


def examples_folder() -> Path:
    """Return the folder of the examples: inside the wheel, or at the top of a checkout.

    Raises:
        Problem: it is in neither place.
    """
    installed = Path(__file__).parent / "examples"
    checkout = Path(__file__).parents[3] / "examples"
    for folder in (installed, checkout):
        if (folder / "flask" / "app.py").is_file():
            return folder
    raise Problem(f"the example apps are missing: they are neither in {installed} nor in {checkout}")


def import_path(*folders: Path) -> dict[str, str]:
    """Return the PYTHONPATH of a child that works in another folder: our own entries, made absolute, then `folders`.

    The folder of an app is named too, because with PYTHONSAFEPATH Python leaves the working directory out.
    """
    entries = [Path(entry).resolve() for entry in os.environ.get("PYTHONPATH", "").split(os.pathsep) if entry]
    path = os.pathsep.join(str(entry) for entry in (*entries, *folders))
    return {"PYTHONPATH": path} if path else {}

"""What importing something loads."""

from __future__ import annotations

import os
import subprocess
import sys


def loaded_by(*modules: str) -> set[str]:
    """Return the names of all modules that a fresh interpreter has loaded after importing `modules`."""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
    code = f"import {', '.join(('sys', *modules))}; print(*sys.modules)"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, env=environment)

    assert run.returncode == 0, run.stderr
    return set(run.stdout.split())

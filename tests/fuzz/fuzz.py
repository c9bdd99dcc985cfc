"""Fuzz one target with atheris: `python -m tests.fuzz.fuzz TARGET [SECONDS]`; what breaks it is printed and kept."""

from __future__ import annotations

import contextlib
import importlib
import io
import sys
import tempfile
from pathlib import Path
from typing import Any

# Neither installed nor typed where types are checked.
atheris: Any = importlib.import_module("atheris")

with contextlib.redirect_stderr(io.StringIO()), atheris.instrument_imports(include=["stepserve_core"]):
    from tests.fuzz.seeds import SEEDS
    from tests.fuzz.targets import TARGETS

LONGEST = 4096
"""Bytes of an input at most."""


def main() -> None:
    """Fuzz until the time is over, or until something breaks; with `--list`, name the targets."""
    name, seconds = sys.argv[1], sys.argv[2] if len(sys.argv) > 2 else "60"
    if name == "--list":
        print(*TARGETS)  # noqa: T201 - a command
        return
    with tempfile.TemporaryDirectory() as corpus:
        for number, seed in enumerate(SEEDS[name]):
            Path(corpus, f"seed-{number}").write_bytes(seed)
        options = [f"-max_total_time={seconds}", f"-max_len={LONGEST}", "-timeout=20", "-rss_limit_mb=1024"]
        atheris.Setup([sys.argv[0], *options, f"-artifact_prefix={name}-", corpus], TARGETS[name])
        atheris.Fuzz()


if __name__ == "__main__":
    main()

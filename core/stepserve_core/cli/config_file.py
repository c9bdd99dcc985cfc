"""The settings file of `stepserve dev` and `stepserve start` (executor.md 1.2): which one is read, and what it says."""

from __future__ import annotations

import difflib
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Any

import msgspec

from stepserve_core.cli.problems import UsageProblem

NAMES = ("inngest.json", "inngest.yaml", "inngest.yml")
_MOST_BYTES = 1024 * 1024

ALIASES = {"api-host": "host", "api-port": "port"}
"""Names that the official server knows too."""

_NESTED = "it is nested too deeply"


def find(folder: Path, home: Path) -> Path | None:
    """Return the settings file of a folder, of the nearest one above it, or of the user; None where there is none."""
    return next((path for path in _places(folder, home) if path.is_file()), None)


def _places(folder: Path, home: Path) -> Iterator[Path]:
    for parent in (folder, *folder.parents, home / ".config" / "inngest"):
        yield from (parent / name for name in NAMES)


def read(path: Path, known: Collection[str]) -> dict[str, Any]:
    """Return the settings of a file: names of flags, without dashes in front, to values.

    Raises:
        UsageProblem: the file cannot be read, or it names a setting that is not `known`.
    """
    try:
        if path.stat().st_size > _MOST_BYTES:
            raise UsageProblem(f"{path}: the file is larger than {_MOST_BYTES} bytes; is it a file of settings?")
        content = path.read_bytes()
    except OSError as error:
        raise UsageProblem(f"{path}: the settings cannot be read: {error.strerror} (--config)") from None
    settings: Any = _parse(path, content)
    if not isinstance(settings, dict):
        raise UsageProblem(f"{path}: the settings must be names and values, such as port: 8288")
    for name in settings:
        if name not in known and name not in ALIASES:
            raise UsageProblem(f"{path}: there is no setting {name!r}{_nearest(str(name), known)}")
    return {ALIASES.get(str(name), str(name)): value for name, value in settings.items()}


def _nearest(name: str, known: Collection[str]) -> str:
    found = difflib.get_close_matches(name[:80].lower().replace("_", "-"), sorted(known), n=1, cutoff=0.0)
    return f"; did you mean {found[0]!r}?" if found else ""


def _parse(path: Path, content: bytes) -> Any:
    if path.suffix not in (".yaml", ".yml", ".json"):
        raise UsageProblem(f"{path}: a file of settings is called .json, .yaml or .yml (--config)")
    try:
        return msgspec.json.decode(content) if path.suffix == ".json" else _parse_yaml(content)
    except RecursionError:
        raise UsageProblem(f"{path}: the settings cannot be read: {_NESTED}") from None
    except ValueError as error:
        reason = " ".join(str(error).split())
        raise UsageProblem(f"{path}: the settings cannot be read: {reason}") from None


def _parse_yaml(content: bytes) -> Any:
    import yaml  # noqa: PLC0415 - most servers have no such file

    try:
        return yaml.safe_load(content)
    except yaml.YAMLError as error:
        raise ValueError(str(error)) from None

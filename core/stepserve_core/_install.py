"""`install_as_inngest`: programs written for the official package run unchanged (protocol.md 10.11)."""

from __future__ import annotations

import sys

from stepserve_core.errors import ConfigurationError

_OFFICIAL = ("inngest", "inngest_encryption")


def install_as_inngest() -> None:
    """Make `import inngest` import stepserve, for programs that cannot be edited; call it first (protocol.md 10.11).

    Submodules (`inngest.flask`, `inngest.experimental.mocked`, …), `inngest_encryption` and those private modules that
    programs are known to use are there too. Each is loaded when it is imported, not before. What has no counterpart
    is an ImportError or AttributeError that says so. Calling it twice does nothing.

    Raises:
        ConfigurationError: the official package is imported already.
    """
    from stepserve_core._aliases import AliasFinder  # noqa: PLC0415 - most programs never need it

    if any(isinstance(finder, AliasFinder) for finder in sys.meta_path):
        return
    imported = [name for name in _OFFICIAL if name in sys.modules]
    if imported:
        raise ConfigurationError(
            f"install_as_inngest() comes too late: the official package {imported[0]!r} is imported already. Call it"
            " first thing in your program, or start that with: python -m stepserve.as_inngest program.py"
        )
    # First, because the aliases have the paths of the modules behind them, where other finders would load these twice.
    sys.meta_path.insert(0, AliasFinder())

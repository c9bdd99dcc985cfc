"""What all tests beside the official SDKs share."""

from __future__ import annotations

import pathlib

import pytest

# Clients of the official SDK never close their sockets, nor the transports that asyncio.run() leaves around them; the
# garbage collector does, during whichever test runs then.
_UNCLOSED = (
    pytest.mark.filterwarnings("ignore:unclosed <socket:ResourceWarning"),
    pytest.mark.filterwarnings("ignore:unclosed transport <_SelectorSocketTransport:ResourceWarning"),
)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Let sockets and transports of the official SDK be collected in peace."""
    for item in items:
        if pathlib.Path(__file__).parent in item.path.parents:
            for mark in _UNCLOSED:
                item.add_marker(mark)

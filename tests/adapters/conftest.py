"""What tests of adapters share."""

from __future__ import annotations

from collections.abc import Generator

import pytest

from stepserve import Inngest
from stepserve.testing.contract.fixtures import make_client
from stepserve.testing.contract.recorder import Recorder


@pytest.fixture
def recorder() -> Generator[Recorder, None, None]:
    """Return a server that apps register with."""
    with Recorder.running() as running:
        yield running


@pytest.fixture
def client(recorder: Recorder) -> Inngest:
    """Return a client in production mode."""
    return make_client(recorder)

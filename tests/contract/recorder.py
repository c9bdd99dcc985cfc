"""Known here too under its old name: see `stepserve.testing.contract.recorder`."""

from stepserve.testing.contract.recorder import *  # noqa: F403

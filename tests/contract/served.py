"""Known here too under its old name: see `stepserve.testing.contract.served`."""

from stepserve.testing.contract.served import *  # noqa: F403

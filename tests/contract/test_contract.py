"""The suite itself, over the harnesses of `conftest`."""

from stepserve.testing.contract import *  # noqa: F403

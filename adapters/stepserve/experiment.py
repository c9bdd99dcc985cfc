"""How `group.experiment` chooses a variant; see `stepserve_core.experiment`."""

from stepserve_core.experiment import *  # noqa: F403

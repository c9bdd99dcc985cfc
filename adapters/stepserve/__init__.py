"""stepserve: durable step functions for any Python web framework."""

from typing import TYPE_CHECKING

import stepserve_core
from stepserve_core import __version__ as __version__
from stepserve_core.later import names_later

if TYPE_CHECKING:
    from stepserve._endpoint import endpoint
    from stepserve_core import *  # noqa: F403

_MODULES = {**dict.fromkeys(stepserve_core.__all__, "stepserve_core"), "endpoint": "stepserve._endpoint"}
"""Importing all names now would load the modules behind those that few programs use."""

__all__ = ["endpoint"]
__all__ += stepserve_core.__all__

if not TYPE_CHECKING:
    __getattr__ = names_later(__name__, _MODULES)

    def __dir__() -> list[str]:
        return sorted({*globals(), *__all__})

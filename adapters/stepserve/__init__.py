"""stepserve: durable step functions for any Python web framework."""

import stepserve_core
from stepserve._endpoint import endpoint
from stepserve_core import *  # noqa: F403
from stepserve_core import __version__ as __version__

__all__ = ["endpoint"]
__all__ += stepserve_core.__all__

"""stepserve: durable step functions for any Python web framework."""

from stepserve_core import *  # noqa: F403
from stepserve_core import __all__ as __all__
from stepserve_core import __version__ as __version__

"""stepserve: durable step functions for any Python web framework."""

from typing import TYPE_CHECKING

import stepserve_core
from stepserve_core import __version__ as __version__

if TYPE_CHECKING:
    from stepserve._endpoint import endpoint
    from stepserve_core import *  # noqa: F403
else:  # importing all names would load the modules behind those that few programs use

    def __getattr__(name: str) -> object:
        if name not in __all__:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        if name == "endpoint":
            from stepserve._endpoint import endpoint as value  # noqa: PLC0415 - see above
        else:
            value = getattr(stepserve_core, name)
        globals()[name] = value
        return value

    def __dir__() -> list[str]:
        return sorted({*globals(), *__all__})


__all__ = ["endpoint"]
__all__ += stepserve_core.__all__

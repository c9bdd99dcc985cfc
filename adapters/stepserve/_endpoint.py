"""Durable endpoints for whichever framework a route belongs to (protocol.md 13.3)."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable
from types import ModuleType
from typing import TYPE_CHECKING, Any, Literal, TypeVar, cast

from typing_extensions import Unpack

from stepserve_core import Inngest
from stepserve_core.errors import ConfigurationError

if TYPE_CHECKING:  # programs without such routes do not pay for importing what serves them
    from stepserve_core.endpoint import Durable, EndpointOptions

Returned = TypeVar("Returned")

Framework = Literal["django", "fastapi", "flask", "starlette", "tornado"]

_FRAMEWORKS: tuple[Framework, ...] = ("django", "fastapi", "flask", "starlette", "tornado")


def endpoint(client: Inngest, *, framework: Framework | None = None, **options: Unpack[EndpointOptions]) -> Durable:
    """Make a route durable: it gets its steps as the argument `step` (protocol.md 13.3).

    It is `stepserve.<framework>.endpoint`. The framework is the one that the module of the route names; if it names
    none, the only one that is imported. FastAPI's serves routes of Starlette as well.

    Args:
        client: the app.
        framework: says which one it is.
        options: `retries`, how often a failed step is tried again (3); `respond`, what a client gets that does not get
            the answer (`"redirect"` to it, or a `"token"`); `name`, what the server knows it by; `checkpointing`, how
            long it goes on while its client waits.

    Raises:
        ConfigurationError: no framework is found, or several; or the options do not fit.
    """
    if framework is not None and framework not in _FRAMEWORKS:
        raise ConfigurationError(f"framework must be one of {', '.join(_FRAMEWORKS)}, not {framework!r}")

    def decorate(view: Callable[..., Returned]) -> Callable[..., Returned]:
        name = framework or _find_framework(view)
        made = importlib.import_module(f"stepserve.{name}").endpoint(client, **options)
        return cast("Callable[..., Returned]", made(view))

    return decorate


def _find_framework(view: Callable[..., Any]) -> Framework:
    named = {_package_of(value) for value in getattr(view, "__globals__", {}).values()}
    found = _choose(named) or _choose(set(sys.modules))
    if len(found) == 1:
        return found[0]
    name = getattr(view, "__qualname__", repr(view))
    what = f"it may be one of {' and '.join(found)}" if found else f"none of {', '.join(_FRAMEWORKS)} is imported"
    raise ConfigurationError(
        f"stepserve.endpoint cannot tell which framework {name} belongs to: {what}."
        " Write stepserve.endpoint(client, framework=...), or the endpoint of its module, as stepserve.flask.endpoint"
    )


def _package_of(value: object) -> str:
    """Return the package that a module, a class, a function, or the class of an object is from."""
    name = getattr(value, "__name__" if isinstance(value, ModuleType) else "__module__", None)
    return name.partition(".")[0] if isinstance(name, str) else ""


def _choose(packages: set[str]) -> list[Framework]:
    """Return the frameworks among packages. FastAPI is built on Starlette, and stands for both."""
    found: list[Framework] = [name for name in _FRAMEWORKS if name in packages]
    return [name for name in found if not (name == "starlette" and "fastapi" in found)]

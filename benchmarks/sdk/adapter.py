"""What a benchmark has to know of an adapter."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from benchmarks.sdk.in_process import AsgiEndpoint, Endpoint, WsgiEndpoint

CONTENT_TYPE = "application/json"


@dataclass(frozen=True)
class Adapter:
    """A framework: how to mount an SDK's functions in it, and the least that a route of it can do.

    `module` is the adapter's name below the package; `official` the official package's, where it has one. `caller`
    returns what calls an application; by default, one of WSGI or, for an async framework, of ASGI.
    """

    title: str
    packages: tuple[str, ...]
    is_async: bool
    module: str
    official: str | None
    mount: Callable[[Any, Any, Any], Any]
    bare: Callable[[], Any]
    caller: Callable[[Any], Endpoint] | None = None

    def endpoint(self, app: Any) -> Endpoint:
        """Return what calls an application."""
        if self.caller is not None:
            return self.caller(app)
        return AsgiEndpoint(app) if self.is_async else WsgiEndpoint(app)


def serving_itself(module: Any, client: Any, functions: Any) -> Any:
    """Mount where `serve()` returns the application."""
    return module.serve(client, functions)

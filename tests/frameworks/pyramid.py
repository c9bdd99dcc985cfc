"""Pyramid on waitress, the server of its documentation."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from typing import Any

with warnings.catch_warnings():
    # WebOb imports `cgi`, and older Pyramids `pkg_resources`; both are deprecated.
    warnings.simplefilter("ignore")
    import pyramid.config  # type: ignore[import-untyped] # pyright: ignore[reportMissingTypeStubs] # Pyramid has no types
    import pyramid.events  # type: ignore[import-untyped] # pyright: ignore[reportMissingTypeStubs]

import stepserve.pyramid
from stepserve import Function, Inngest
from tests.frameworks.wsgi import WSGIOnWaitress


class PyramidOnWaitress(WSGIOnWaitress):
    """Pyramid on waitress."""

    FRAMEWORK = "pyramid"

    def build(
        self,
        client: Inngest,
        functions: Sequence[Function[Any]],
        before_request: Callable[[], None] | None,
        **options: Any,
    ) -> Any:
        """Return an app with the functions at the usual path."""
        config = pyramid.config.Configurator()
        if before_request is not None:
            config.add_subscriber(lambda event: before_request(), pyramid.events.NewRequest)
        stepserve.pyramid.serve(config, client, functions, **options)
        return config.make_wsgi_app()

    def build_below(self, prefix: str, client: Inngest, functions: Sequence[Function[Any]]) -> dict[str, Any]:
        """Return an app that includes the route, and a whole app below SCRIPT_NAME."""
        including = pyramid.config.Configurator()
        including.include(stepserve.pyramid.routes(client, functions), route_prefix=prefix)
        return {"include": including.make_wsgi_app(), **super().build_below(prefix, client, functions)}

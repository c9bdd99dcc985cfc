"""DigitalOcean Functions with `web: raw`, as `stepserve.experimental.digital_ocean_simulator` does it."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Sequence
from contextlib import AbstractContextManager
from typing import Any

import flask

import stepserve.digital_ocean
from stepserve import Function, Inngest
from stepserve.experimental.digital_ocean_simulator import FULL_PATH, DigitalOceanSimulator
from stepserve.testing.contract.harness import Harness
from tests.frameworks import servers


class DigitalOceanFunctions(Harness):
    """The simulated platform on waitress, below a proxy that gives the function the path that the suite asks for.

    What a function reports as its URL does not come from the request but from its context, so behind a proxy it needs
    `public_path`. An in-band sync names the URL itself, and goes to a function without that option.
    """

    FRAMEWORK = "digitalocean"
    CALLS_FROM_LOOP = False
    STREAMS = False  # `main` returns one whole answer
    HEADER_SEPARATOR = ", "
    ANSWERS_OPTIONS = True
    REFUSES = frozenset({"TRACE"})  # the platform knows no such method

    def build(
        self,
        client: Inngest,
        functions: Sequence[Function[Any]],
        before_request: Callable[[], None] | None,
        **options: Any,
    ) -> Any:
        """Return the platform with the function behind it."""
        main = proxied = _simulated(client, functions, before_request, **options)
        if not options.get("serve_path") and "INNGEST_SERVE_PATH" not in os.environ:
            proxied = _simulated(client, functions, before_request, **{"public_path": "/api/inngest", **options})

        def proxy(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
            is_in_band = environ.get("HTTP_X_INNGEST_SYNC_KIND") == "in_band" and client.is_production
            platform = main if is_in_band else proxied
            return platform({**environ, "PATH_INFO": FULL_PATH}, start_response)

        return proxy

    def serve(self, app: Any) -> AbstractContextManager[int]:
        """Serve with waitress."""
        return servers.waitress(app)


def _simulated(
    client: Inngest, functions: Sequence[Function[Any]], before_request: Callable[[], None] | None, **options: Any
) -> flask.Flask:
    app = DigitalOceanSimulator(stepserve.digital_ocean.serve(client, functions, **options)).app
    if before_request is not None:
        app.before_request(before_request)
    return app

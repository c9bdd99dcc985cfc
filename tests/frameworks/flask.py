"""Flask, on waitress and on the server of `flask run`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from typing import Any

import flask
from werkzeug.exceptions import NotFound
from werkzeug.middleware.dispatcher import DispatcherMiddleware
from werkzeug.middleware.proxy_fix import ProxyFix

import stepserve.flask
from stepserve import Function, Inngest
from stepserve.testing.contract.harness import OTHER_METHODS, Harness
from tests.frameworks import servers


class FlaskOnWaitress(Harness):
    """Flask on waitress."""

    FRAMEWORK = "flask"
    CALLS_FROM_LOOP = False
    HEADER_SEPARATOR = ", "
    ANSWERS_OPTIONS = True
    FORWARDED_IF_TRUSTED = frozenset({"proto", "host"})
    REFUSES = OTHER_METHODS

    def build(
        self,
        client: Inngest,
        functions: Sequence[Function[Any]],
        before_request: Callable[[], None] | None,
        **options: Any,
    ) -> flask.Flask:
        """Return an app with the functions at the usual path."""
        app = flask.Flask("contract")
        if before_request is not None:
            app.before_request(before_request)
        stepserve.flask.serve(app, client, functions, **options)
        return app

    def serve(self, app: Any) -> AbstractContextManager[int]:
        """Serve with waitress."""
        return servers.waitress(app)

    def build_below(self, prefix: str, client: Inngest, functions: Sequence[Function[Any]]) -> dict[str, Any]:
        """Return a blueprint below the prefix, and a whole app."""
        blueprints = flask.Flask("contract")
        blueprints.register_blueprint(stepserve.flask.blueprint(client, functions), url_prefix=prefix)
        whole = DispatcherMiddleware(NotFound(), {prefix: self.build(client, functions, None)})
        return {"blueprint": blueprints, "SCRIPT_NAME": whole}

    def serve_behind_proxy(self, app: Any) -> AbstractContextManager[int]:
        """Serve with the settings of waitress for this; without them, it takes the headers away."""
        headers = {"x-forwarded-proto", "x-forwarded-host"}
        return servers.waitress(app, trusted_proxy="127.0.0.1", trusted_proxy_headers=headers)


class FlaskOnWerkzeug(FlaskOnWaitress):
    """Flask on Werkzeug's threaded server."""

    HEADER_SEPARATOR = ","
    FORWARDED_IF_TRUSTED = frozenset({"proto", "host", "prefix"})

    def serve(self, app: Any) -> AbstractContextManager[int]:
        """Serve with Werkzeug."""
        return servers.werkzeug(app)

    def serve_behind_proxy(self, app: Any) -> AbstractContextManager[int]:
        """Serve behind the middleware that Flask's documentation names for this."""
        return self.serve(ProxyFix(app, x_proto=1, x_host=1, x_prefix=1))

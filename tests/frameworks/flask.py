"""Flask, on waitress and on the server of `flask run`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from typing import Any

import flask

import stepserve.flask
from stepserve import Function, Inngest
from tests.frameworks import servers
from tests.frameworks.harness import Harness


class FlaskOnWaitress(Harness):
    """Flask on waitress."""

    FRAMEWORK = "flask"
    CALLS_FROM_LOOP = False
    HEADER_SEPARATOR = ", "
    ANSWERS_OPTIONS = True

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


class FlaskOnWerkzeug(FlaskOnWaitress):
    """Flask on Werkzeug's threaded server."""

    HEADER_SEPARATOR = ","

    def serve(self, app: Any) -> AbstractContextManager[int]:
        """Serve with Werkzeug."""
        return servers.werkzeug(app)

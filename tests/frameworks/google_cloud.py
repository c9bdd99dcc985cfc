"""Google Cloud Functions: functions-framework on the server that its own command uses for development."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import flask
import functions_framework

import stepserve.google_cloud
from stepserve import Function, Inngest
from stepserve.google_cloud import CloudFunction
from stepserve.testing.contract.harness import Harness
from tests.frameworks import servers

_SOURCE = str(Path(__file__).with_name("google_function.py"))

deployed: list[CloudFunction] = []
"""What `google_function`, the source file of the function, finds to serve."""


class GoogleCloudOnFunctionsFramework(Harness):
    """A cloud function as functions-framework serves it."""

    FRAMEWORK = "google_cloud"
    CALLS_FROM_LOOP = False
    HEADER_SEPARATOR = ","

    def build(
        self,
        client: Inngest,
        functions: Sequence[Function[Any]],
        before_request: Callable[[], None] | None,
        **options: Any,
    ) -> flask.Flask:
        """Return the app that functions-framework makes of a source file."""
        deployed.append(stepserve.google_cloud.serve(client, functions, **options))
        app = functions_framework.create_app("inngest", _SOURCE)  # type: ignore[no-untyped-call] # it has no types
        assert isinstance(app, flask.Flask)
        if before_request is not None:
            app.before_request(before_request)
        return app

    def serve(self, app: Any) -> AbstractContextManager[int]:
        """Serve with Werkzeug."""
        return servers.werkzeug(app)

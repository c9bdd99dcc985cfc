"""Serve functions from Google Cloud Functions (Cloud Run functions), which run on functions-framework.

`inngest = stepserve.google_cloud.serve(client, functions)` in main.py, deployed with `--entry-point inngest`.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from typing import Any

import flask
from typing_extensions import Unpack

from stepserve.wsgi import request_from
from stepserve_core import Function, Inngest
from stepserve_core.handler import Handler, ServeOptions, Stream

FRAMEWORK = "google_cloud"

CloudFunction = Callable[[flask.Request], flask.Response]


def serve(client: Inngest, functions: Sequence[Function[Any]], **options: Unpack[ServeOptions]) -> CloudFunction:
    """Return a cloud function that serves `functions` at whatever path; see `Handler` for the options."""
    handler = Handler(client, functions, framework=FRAMEWORK, **options)

    def cloud_function(request: flask.Request) -> flask.Response:
        # Not straight from the server: functions-framework reads again when all is done, and would wait for ever.
        body = request.get_data()
        response = handler.stream(request_from(_seen_from_outside(request.environ), body, request))
        answer = response.chunks if isinstance(response, Stream) else response.body
        return flask.Response(answer, response.status, response.headers)

    return cloud_function


def _seen_from_outside(environ: dict[str, Any]) -> dict[str, Any]:
    """Return an environ whose URL is that of the caller: Google ends TLS, and cuts the function's name off the path.

    Only where Google says that this is its platform. Elsewhere anybody could send such headers.
    """
    service = os.environ.get("K_SERVICE")
    if not service:
        return environ
    seen = {**environ, "wsgi.url_scheme": environ.get("HTTP_X_FORWARDED_PROTO", "https")}
    if environ.get("HTTP_HOST", "").endswith(".cloudfunctions.net"):
        seen["SCRIPT_NAME"] = f"/{service}"
        seen["PATH_INFO"] = environ["PATH_INFO"].rstrip("/")
    return seen

"""DigitalOcean Functions with `web: raw`.

Shapes: docs.digitalocean.com, "Parameters and Responses" (raw events, context); for bodies the rules of Apache
OpenWhisk, docs/webactions.md, on which the platform is built.
"""

from __future__ import annotations

import base64
import json
import os
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from types import SimpleNamespace
from typing import Any

import stepserve.digital_ocean
from stepserve import Function, Inngest
from stepserve.digital_ocean import Main
from tests.frameworks import servers
from tests.frameworks.harness import Harness
from tests.frameworks.platform_front import Answered, Asked, PlatformFront


class DigitalOceanFunctions(Harness):
    """The platform, below a proxy that gives the function the path that the suite asks for.

    What a function reports as its URL does not come from the request but from its context, so behind a proxy it needs
    `public_path`. An in-band sync names the URL itself, and goes to a function without that option.
    """

    FRAMEWORK = "digitalocean"
    CALLS_FROM_LOOP = False
    STREAMS = False  # `main` returns one whole answer
    HEADER_SEPARATOR = ", "
    ANSWERS_OPTIONS = True

    def build(
        self,
        client: Inngest,
        functions: Sequence[Function[Any]],
        before_request: Callable[[], None] | None,
        **options: Any,
    ) -> PlatformFront:
        """Return the platform with the function behind it."""
        main = proxied = stepserve.digital_ocean.serve(client, functions, **options)
        if not options.get("serve_path") and "INNGEST_SERVE_PATH" not in os.environ:
            options.setdefault("public_path", "/api/inngest")
            proxied = stepserve.digital_ocean.serve(client, functions, **options)

        def invoke(asked: Asked) -> Answered:
            is_in_band = ("x-inngest-sync-kind", "in_band") in asked.headers and client.is_production
            return _invoke(main if is_in_band else proxied, asked)

        return PlatformFront(invoke, before_request)

    def serve(self, app: Any) -> AbstractContextManager[int]:
        """Serve with uvicorn."""
        return servers.uvicorn(app)


def _invoke(main: Main, asked: Asked) -> Answered:
    if asked.method == "OPTIONS":  # answered by the platform, as long as `web-custom-options` is not set
        return Answered(200, [], b"")
    # JSON too is base64 in a raw event; only text/* stays text.
    text = asked.text() if dict(asked.headers).get("content-type", "").startswith("text/") else None
    http = {
        "body": base64.b64encode(asked.body).decode() if text is None else text,
        "headers": asked.joined_headers(", "),
        "isBase64Encoded": text is None,
        "method": asked.method,
        "path": "",
        "queryString": asked.query,
    }
    context = SimpleNamespace(
        api_host=f"http://{asked.host}",
        function_name="/fn-52ad03a2-8660-4d5c-8a0c-1f6d2a5b7c11/default/inngest",
        function_version="0.0.1",
    )
    result = json.loads(json.dumps(main({"http": http}, context)))
    return Answered(result["statusCode"], list(result["headers"].items()), _result_body(result["body"]))


def _result_body(body: Any) -> bytes:
    if not isinstance(body, str):
        return b"" if body is None else json.dumps(body, indent=2).encode()
    try:  # JSON that is base64 is decoded
        decoded = base64.b64decode(body.strip(), validate=True)
    except ValueError:
        return body.encode()
    return decoded

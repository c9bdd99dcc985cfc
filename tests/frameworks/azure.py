"""Azure Functions: HTTP triggers with the request and response objects of azure-functions.

Shapes: learn.microsoft.com, "Azure Functions HTTP trigger" and "Azure Functions Python developer guide". The host
joins headers of the same name with commas, and the worker awaits `async def` functions on its event loop.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from typing import Any
from urllib.parse import parse_qsl

import azure.functions

import stepserve.azure
from stepserve import Function, Inngest
from stepserve.testing.contract.harness import Harness
from tests.frameworks import servers
from tests.frameworks.platform_front import Answered, Asked, PlatformFront


class AzureFunctions(Harness):
    """A function app with the blueprint, called as its worker calls it."""

    FRAMEWORK = "azure"
    CALLS_FROM_LOOP = True
    STREAMS = False  # a response object holds one whole answer
    HEADER_SEPARATOR = ","

    def build(
        self,
        client: Inngest,
        functions: Sequence[Function[Any]],
        before_request: Callable[[], None] | None,
        **options: Any,
    ) -> PlatformFront:
        """Return the host with the function app behind it."""
        app = azure.functions.FunctionApp()
        app.register_functions(stepserve.azure.blueprint(client, functions, **options))
        (function,) = app.get_functions()
        main: Any = function.get_user_function()

        async def invoke(asked: Asked) -> Answered:
            response = await main(_request(asked), None)
            return Answered(response.status_code, list(response.headers.items()), response.get_body())

        return PlatformFront(invoke, before_request)

    def serve(self, app: Any) -> AbstractContextManager[int]:
        """Serve with uvicorn."""
        return servers.uvicorn(app)


def _request(asked: Asked) -> azure.functions.HttpRequest:
    query = f"?{asked.query}" if asked.query else ""
    return azure.functions.HttpRequest(
        asked.method,
        f"http://{asked.host}{asked.path}{query}",
        headers=asked.joined_headers(","),
        params=dict(parse_qsl(asked.query)),
        body=asked.body,
    )

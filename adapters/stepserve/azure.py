"""Serve functions from Azure Functions: `app.register_functions(stepserve.azure.blueprint(client, functions))`.

The ASGI and WSGI wrappers of azure-functions are not needed; the one for WSGI hides every answer of status 500, and
with it what the server must know about retries.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Sequence
from typing import Any

import azure.functions
from typing_extensions import Unpack

from stepserve._http_event import whole_answer_handler
from stepserve._route_name import route_name
from stepserve_core import Function, Inngest
from stepserve_core.handler import METHODS, Request, ServeOptions

FRAMEWORK = "azure"

Main = Callable[
    [azure.functions.HttpRequest, azure.functions.Context],
    Coroutine[Any, Any, azure.functions.HttpResponse],
]


def serve(client: Inngest, functions: Sequence[Function[Any]], **options: Unpack[ServeOptions]) -> Main:
    """Return a `main` for an HTTP trigger that serves `functions`; see `Handler` for the options.

    Raises:
        ConfigurationError: streaming is asked for; or see `Handler`.
    """
    handler = whole_answer_handler("Azure Functions", client, functions, FRAMEWORK, options)

    # The worker finds the trigger by these names and annotations.
    async def main(req: azure.functions.HttpRequest, context: azure.functions.Context) -> azure.functions.HttpResponse:
        del context
        request = Request(req.method, req.url, req.headers, req.get_body(), req)
        response = await handler.ahandle(request)
        return azure.functions.HttpResponse(
            response.body,
            status_code=response.status,
            headers=response.headers,
            mimetype=response.headers["content-type"],
        )

    return main


def blueprint(
    client: Inngest,
    functions: Sequence[Function[Any]],
    *,
    route: str = "inngest",
    auth_level: azure.functions.AuthLevel = azure.functions.AuthLevel.ANONYMOUS,
    **options: Unpack[ServeOptions],
) -> azure.functions.Blueprint:
    """Return a blueprint that serves `functions` at `route`, below the prefix of the app: usually /api/inngest.

    Everybody may call it: requests are signed. For the options see `Handler`.
    """
    made = azure.functions.Blueprint()  # type: ignore[no-untyped-call] # its constructor has no types
    main = serve(client, functions, **options)
    triggered = made.route(route=route, methods=[*METHODS, "HEAD"], auth_level=auth_level)(main)
    made.function_name(route_name(client))(triggered)
    return made

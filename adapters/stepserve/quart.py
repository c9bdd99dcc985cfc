"""Serve functions from a Quart app.

Quart ends a request whose body takes longer than BODY_TIMEOUT, and refuses one larger than MAX_CONTENT_LENGTH, here
as everywhere in the app. Both `def` and `async def` functions are at home: `def` ones run in a thread.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Any, cast

import quart
from typing_extensions import Unpack

from stepserve._route_name import route_name
from stepserve.asgi import Scope, request_from
from stepserve_core import Function, Inngest
from stepserve_core.handler import DEFAULT_PATH, METHODS, AsyncStream, Handler, MountOptions, ServeOptions, resolve_path

FRAMEWORK = "quart"


def serve(
    app: quart.Quart, client: Inngest, functions: Sequence[Function[Any]], **options: Unpack[ServeOptions]
) -> None:
    """Serve `functions` at /api/inngest, or at `serve_path`. For the options and errors see `Handler`."""
    handler = Handler(client, functions, framework=FRAMEWORK, **options)
    path = resolve_path(options.get("serve_path"))
    app.add_url_rule(path, route_name(client), _view(handler), methods=list(METHODS))


def blueprint(
    client: Inngest,
    functions: Sequence[Function[Any]],
    *,
    path: str = DEFAULT_PATH,
    **options: Unpack[MountOptions],
) -> quart.Blueprint:
    """Return a blueprint that serves `functions` at `path` below its prefix; see `Handler` for the options.

    `app.register_blueprint(blueprint(client, functions), url_prefix="/internal")`
    """
    handler = Handler(client, functions, framework=FRAMEWORK, **options)
    made = quart.Blueprint(route_name(client), __name__)
    made.add_url_rule(path, "serve", _view(handler), methods=list(METHODS))
    return made


def _view(handler: Handler) -> Callable[[], Awaitable[quart.Response]]:
    async def view() -> quart.Response:
        # The proxy stands for the request of this task only; middleware may keep the object.
        # Quart's types hide that it is one, in some of its releases.
        raw: quart.Request = cast("Any", quart.request)._get_current_object()
        body: Any = await raw.get_data()  # bytes; Quart's types do not tell it from text
        response = await handler.astream(request_from(cast("Scope", raw.scope), body, raw))
        if not isinstance(response, AsyncStream):
            return quart.Response(response.body, response.status, response.headers)
        streamed = quart.Response(response.chunks, response.status, response.headers)
        streamed.timeout = None  # else Quart ends it after RESPONSE_TIMEOUT, and a function may take longer
        return streamed

    return view

"""Durable path operations of FastAPI (protocol.md 13.3)."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any, NamedTuple, TypeVar, cast

import fastapi
import fastapi.routing
from starlette.datastructures import UploadFile
from typing_extensions import Unpack

from stepserve._form import File, encode_form
from stepserve.starlette import answer_of, durable, exchange_of, read
from stepserve_core import Inngest
from stepserve_core.endpoint import Answered, Durable, Endpoint, EndpointOptions, Exchange

Returned = TypeVar("Returned")

Encoder = Callable[[fastapi.Request], Awaitable[fastapi.Response]]

_RETURNED = "stepserve.returned"
"""Where the scope of a request has what the view returned, while FastAPI encodes it."""

_ROUTE_OPTIONS = (
    "response_model",
    "response_class",
    "status_code",
    "response_model_include",
    "response_model_exclude",
    "response_model_by_alias",
    "response_model_exclude_unset",
    "response_model_exclude_defaults",
    "response_model_exclude_none",
)
"""What a route says of its answers."""


def endpoint(client: Inngest, **options: Unpack[EndpointOptions]) -> Durable:
    """Make a path operation durable: it gets its steps as the argument `step`. For the options see `Endpoint`.

    `@app.post("/checkout")` stands above `@endpoint(client)`. Parameters and models work as ever, and so does
    `app.add_route`, which is Starlette's.
    """

    def decorate(view: Callable[..., Returned]) -> Callable[..., Returned]:
        made = Endpoint(client, view, **options)
        encode, plainly = _Encoding(), durable(made, view)

        async def run_async(*route: Any, stepserve_incoming: Incoming | None = None, **given: Any) -> Any:
            if stepserve_incoming is None:
                return await plainly(*route)
            exchange = _exchange(stepserve_incoming, partial(view, **given), encode)
            return answer_of(exchange, await made.ahandle(exchange))

        def run(*route: Any, stepserve_incoming: Incoming | None = None, **given: Any) -> Any:
            if stepserve_incoming is None:
                return plainly(*route)
            exchange = _exchange(stepserve_incoming, partial(view, **given), encode, from_thread=True)
            return answer_of(exchange, made.handle(exchange))

        wrapped = functools.wraps(view)(run_async if made.is_async else run)
        wrapped.__signature__ = _signature(view)  # type: ignore[attr-defined]
        return cast("Callable[..., Returned]", wrapped)

    return decorate


class Incoming(NamedTuple):
    """What comes with a request beside the parameters of the view. `response` has the headers that it sets."""

    request: fastapi.Request
    response: fastapi.Response
    body: bytes
    content_type: str | None


async def _incoming(request: fastapi.Request, response: fastapi.Response) -> Incoming:
    """Be a dependency of every durable view."""
    content_type = request.headers.get("content-type")
    try:
        body = await request.body()
    except RuntimeError:  # a form: FastAPI has parsed the stream, and kept the fields only
        form = await request.form()
        fields = [(name, await _read_field(value)) for name, value in form.multi_items()]
        content_type, body = encode_form(content_type or "", fields)
    return Incoming(request, response, body, content_type)


async def _read_field(value: str | UploadFile) -> str | File:
    if isinstance(value, str):
        return value
    content = await value.read()
    await value.seek(0)
    return File(value.filename or "", value.content_type, content)


def _signature(view: Callable[..., Any]) -> inspect.Signature:
    """Return the parameters that FastAPI fills: those of the view, and what the request is instead of the steps."""
    signature = inspect.signature(view, eval_str=True)
    kind = inspect.Parameter.KEYWORD_ONLY
    kept = [one.replace(kind=kind) for one in signature.parameters.values() if one.name != "step"]
    incoming = inspect.Parameter("stepserve_incoming", kind, default=fastapi.Depends(_incoming), annotation=Incoming)
    return signature.replace(parameters=[*kept, incoming])


def _exchange(
    incoming: Incoming, view: Callable[..., Any], encoding: _Encoding, *, from_thread: bool = False
) -> Exchange:
    reader = partial(encoding.read, incoming)
    exchange = exchange_of(incoming.request, incoming.body, view, reader, from_thread=from_thread)
    exchange.request.headers = _Headers(incoming)
    return exchange


class _Headers:
    """Headers of a request, with the content type of a form that was encoded again."""

    def __init__(self, incoming: Incoming) -> None:
        self._headers, self._content_type = incoming.request.headers, incoming.content_type

    def get(self, name: str, /) -> str | None:
        """Return the value of a header, or None."""
        return self._content_type if name == "content-type" else self._headers.get(name)


class _Encoding:
    """Makes answers of what a view returns, as FastAPI does for the routes at which the view is mounted."""

    def __init__(self) -> None:
        self._encoders: dict[int, tuple[fastapi.routing.APIRoute, Encoder]] = {}

    async def read(self, incoming: Incoming, returned: Any) -> Answered:
        """Read what a view returned.

        Raises:
            EndpointUnsupportedError: it is a response that is too large.
            fastapi.exceptions.ResponseValidationError: it does not fit the response model of the route.
        """
        if isinstance(returned, fastapi.Response):
            return await read(returned)
        request = incoming.request
        request.scope[_RETURNED] = returned
        response = await self._encoder(request.scope["route"])(request)
        if incoming.response.status_code is not None:
            response.status_code = incoming.response.status_code
        response.raw_headers.extend(incoming.response.raw_headers)
        return await read(response)

    def _encoder(self, route: fastapi.routing.APIRoute) -> Encoder:
        known = self._encoders.get(id(route))
        if known is None:
            options: dict[str, Any] = {name: getattr(route, name) for name in _ROUTE_OPTIONS}
            made = fastapi.routing.APIRoute(route.path, _returned, methods=["POST"], **options)
            known = self._encoders[id(route)] = route, made.get_route_handler()
        return known[1]


async def _returned(request: fastapi.Request) -> Any:
    return request.scope[_RETURNED]

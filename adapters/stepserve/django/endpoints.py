"""Durable views (protocol.md 13.3)."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, TypeVar, cast

from django.http import Http404, HttpRequest, HttpResponse
from django.views.decorators.csrf import csrf_exempt
from typing_extensions import Unpack

from stepserve_core import Inngest
from stepserve_core.endpoint import Endpoint, EndpointOptions, EndpointUnsupportedError, Exchange, Plain, Request

View = TypeVar("View", bound=Callable[..., Any])


def endpoint(client: Inngest, **options: Unpack[EndpointOptions]) -> Callable[[View], View]:
    """Make a view durable: it gets its steps as the argument `step`. For the options see `Endpoint`.

    The view is exempt from CSRF checks: the server, which makes the request again, has no cookies.
    """

    def decorate(view: View) -> View:
        made = Endpoint(client, view, **options)
        if made.is_async:

            @functools.wraps(view)
            async def durable_async(request: HttpRequest, *args: Any, **kwargs: Any) -> Any:
                exchange = _exchange(view, request, args, kwargs)
                return _answer(exchange, await made.ahandle(exchange))

            return cast("View", csrf_exempt(durable_async))

        @functools.wraps(view)
        def durable(request: HttpRequest, *args: Any, **kwargs: Any) -> Any:
            exchange = _exchange(view, request, args, kwargs)
            return _answer(exchange, made.handle(exchange))

        return cast("View", csrf_exempt(durable))

    return decorate


class _Headers:
    def __init__(self, request: HttpRequest) -> None:
        self._headers = request.headers

    def get(self, name: str, /) -> str | None:
        value: str | None = self._headers.get(name)
        return value


def _exchange(view: Callable[..., Any], request: HttpRequest, args: Any, kwargs: Any) -> Exchange:
    url = request.build_absolute_uri()
    asked = Request(request.method or "GET", url, _Headers(request), request.body, request)
    return Exchange(asked, lambda step: view(request, *args, step=step, **kwargs), _read, _read_error)


def _answer(exchange: Exchange, plain: Plain | None) -> Any:
    if plain is None:
        return exchange.returned
    return HttpResponse(plain.body, status=plain.status, headers=plain.headers)


def _read(response: Any) -> Plain:
    if not isinstance(response, HttpResponse):
        raise EndpointUnsupportedError("a durable endpoint answers with an HttpResponse, not with a stream")
    return Plain(response.status_code, dict(response.headers), response.content)


def _read_error(error: Exception) -> Plain | None:
    return Plain(404, {}, b"Not Found") if isinstance(error, Http404) else None

"""Durable views (protocol.md 13.3)."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, TypeVar

from asgiref.sync import sync_to_async
from django.core.exceptions import BadRequest, PermissionDenied, SuspiciousOperation
from django.core.handlers.asgi import ASGIRequest
from django.core.handlers.exception import response_for_exception
from django.http import Http404, HttpRequest, HttpResponse, StreamingHttpResponse
from django.http.response import HttpResponseBase
from django.template.response import SimpleTemplateResponse
from typing_extensions import Unpack

from stepserve.django.connections import AROUND
from stepserve_core import Inngest
from stepserve_core.endpoint import (
    Answered,
    Durable,
    Endpoint,
    EndpointOptions,
    EndpointUnsupportedError,
    EventStream,
    Exchange,
    Given,
    Plain,
    Request,
    acollect,
    collect,
    fold_headers,
    on_background_loop,
)

Returned = TypeVar("Returned")

_ANSWERS = (BadRequest, Http404, PermissionDenied, SuspiciousOperation)
"""Errors that Django answers with pages of their own."""


def endpoint(client: Inngest, **options: Unpack[EndpointOptions]) -> Durable:
    """Make a view durable: it gets its steps as the argument `step`. For the options see `Endpoint`.

    The view is exempt from CSRF checks: the server, which makes the request again, has no cookies.
    """

    def decorate(view: Callable[..., Returned]) -> Callable[..., Returned]:
        made = Endpoint(client, view, **options)
        if made.is_async:

            @functools.wraps(view)
            async def durable_async(request: HttpRequest, *args: Any, **kwargs: Any) -> Any:
                exchange = _exchange(view, request, args, kwargs, is_async=True)
                return _answer(request, exchange, await made.ahandle(exchange))

            return _exempt(durable_async)

        @functools.wraps(view)
        def durable(request: HttpRequest, *args: Any, **kwargs: Any) -> Any:
            exchange = _exchange(view, request, args, kwargs, is_async=False)
            return _answer(request, exchange, made.handle(exchange))

        return _exempt(durable)

    return decorate


def _exempt(view: Callable[..., Any]) -> Callable[..., Any]:
    """Say that no CSRF token is checked. Django's own decorator makes sync views of async ones before Django 5."""
    view.csrf_exempt = True  # type: ignore[attr-defined]
    return view


class _Headers:
    def __init__(self, request: HttpRequest) -> None:
        self._headers = request.headers

    def get(self, name: str, /) -> str | None:
        value: str | None = self._headers.get(name)
        return value


def _exchange(view: Callable[..., Any], request: HttpRequest, args: Any, kwargs: Any, *, is_async: bool) -> Exchange:
    url = request.build_absolute_uri()
    asked = Request(request.method or "GET", url, _Headers(request), request.body, request)
    return Exchange(
        asked,
        lambda step: view(request, *args, step=step, **kwargs),
        _read_async if is_async else _read,
        functools.partial(_read_error_async if is_async else _read_error, request),
        # Under WSGI, the event loop of an async view ends when the view has returned.
        begin=on_background_loop if is_async and not isinstance(request, ASGIRequest) else None,
        around=AROUND,
    )


def _answer(request: HttpRequest, exchange: Exchange, given: Given) -> Any:
    if isinstance(given, EventStream):
        # It is the server, and not the view, that decides how the answer is sent.
        chunks: Any = given.achunks() if isinstance(request, ASGIRequest) else given.chunks()
        return StreamingHttpResponse(chunks, headers=given.headers)
    if given is None:
        return exchange.returned
    return HttpResponse(given.body, status=given.status, headers=given.headers)


def _read(response: HttpResponseBase) -> Answered:
    if isinstance(response, StreamingHttpResponse):
        response = _buffered(response, collect(response))
    if isinstance(response, SimpleTemplateResponse):
        response.render()
    if not isinstance(response, HttpResponse):
        raise EndpointUnsupportedError("a durable endpoint answers with an HttpResponse")
    cookies = [("Set-Cookie", cookie.OutputString()) for cookie in response.cookies.values()]
    headers = fold_headers([*response.headers.items(), *cookies])
    return Answered(Plain(response.status_code, headers, response.content), response)


async def _read_async(response: HttpResponseBase) -> Answered:
    if isinstance(response, StreamingHttpResponse) and response.is_async:
        response = _buffered(response, await acollect(response))
    return await sync_to_async(_read, thread_sensitive=False)(response)


def _buffered(response: StreamingHttpResponse, body: bytes) -> HttpResponse:
    made = HttpResponse(body, status=response.status_code, reason=response.reason_phrase, headers=response.headers)
    made.cookies = response.cookies
    response.close()
    return made


def _read_error(request: HttpRequest, error: Exception) -> Plain | None:
    return _read(response_for_exception(request, error)).plain if isinstance(error, _ANSWERS) else None


async def _read_error_async(request: HttpRequest, error: Exception) -> Plain | None:
    return await sync_to_async(_read_error, thread_sensitive=False)(request, error)

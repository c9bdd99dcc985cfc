"""URL patterns: the views that serve a handler, and how one pattern suits WSGI and ASGI.

Django 4.2 takes a view as it is, sync or async, and a sync one under ASGI would keep a thread for as long as an async
function takes. So there are two views, and the pattern gives Django the one that suits where it resolves the URL: on
an event loop (ASGI), or in the thread of a request (WSGI).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from django.db import connections, transaction
from django.http import HttpRequest, HttpResponse, StreamingHttpResponse
from django.http.response import HttpResponseBase
from django.urls import ResolverMatch, URLPattern
from django.urls.resolvers import RoutePattern
from django.utils.cache import patch_cache_control
from typing_extensions import Unpack

from stepserve.django.configuration import (
    NAME,
    Problem,
    configured_options,
    find_client_problems,
    find_problems,
    get_client,
)
from stepserve.django.connections import AROUND
from stepserve.django.discovery import discovered_functions
from stepserve.wsgi import EnvironHeaders, read_body
from stepserve_core import Function, Inngest
from stepserve_core.errors import ConfigurationError, SigningKeyMissingError
from stepserve_core.handler import (
    BODY_LIMIT,
    AsyncStream,
    Handler,
    MountOptions,
    Request,
    Response,
    ServeOptions,
    Stream,
    is_on_loop,
    resolve_path,
)

FRAMEWORK = "django"
ROUTE = "inngest"

View = TypeVar("View", bound=Callable[..., Any])


def serve(client: Inngest, functions: Sequence[Function[Any]], **options: Unpack[ServeOptions]) -> URLPattern:
    """Return a URL pattern that serves `functions` at /api/inngest, or at `serve_path`; for the options see `Handler`.

    `urlpatterns = [stepserve.django.serve(client, functions)]`
    """
    handler = Handler(client, functions, framework=FRAMEWORK, around=AROUND, **options)
    return ServePattern(resolve_path(options.get("serve_path")).removeprefix("/"), client, handler)


def urls(
    client: Inngest | None = None,
    functions: Sequence[Function[Any]] | None = None,
    *,
    path: str | None = None,
    **options: Unpack[MountOptions],
) -> list[URLPattern]:
    """Return what `include` takes; it serves `functions` at `path`, or "inngest", below the prefix.

    `path("api/", include(stepserve.django.urls()))`: without arguments, it serves the functions that were discovered
    in the installed apps, for the client of the setting STEPSERVE, with the options from there. If that setting is
    wrong, system checks say so, and the URL refuses all requests; other URLs of the project are not affected.

    Raises:
        ConfigurationError: one argument without the other.
    """
    if (client is None) != (functions is None):
        raise ConfigurationError("urls() takes a client and its functions, or neither of them")
    if client is None or functions is None:
        return [_configured_pattern(path, options)]
    return [_pattern(path, client, functions, options)]


def _configured_pattern(path: str | None, options: MountOptions) -> URLPattern:
    problems = find_problems() or find_client_problems()
    if problems:
        return RefusedPattern(_route(path), problems[0])
    configured = configured_options()
    path = configured.path if path is None else path
    try:
        return _pattern(path, get_client(), discovered_functions(), {**configured.mount, **options})
    except SigningKeyMissingError as error:
        return RefusedPattern(_route(path), Problem(6, f"{NAME}: {error}"))


def _pattern(
    path: str | None, client: Inngest, functions: Sequence[Function[Any]], options: MountOptions
) -> ServePattern:
    handler = Handler(client, functions, framework=FRAMEWORK, around=AROUND, **options)
    return ServePattern(_route(path), client, handler)


def _route(path: str | None) -> str:
    return (ROUTE if path is None else path).removeprefix("/")


class ServePattern(URLPattern):
    """The pattern of one served app: a sync view for WSGI, an async one for ASGI."""

    def __init__(self, route: str, client: Inngest, handler: Handler) -> None:
        name = f"stepserve-{client.app_id}"
        super().__init__(RoutePattern(route, name, is_endpoint=True), _opened(_view(handler)), None, name)
        self.client = client
        self.handler = handler
        self._async_view = _opened(_async_view(handler))

    def resolve(self, path: str) -> ResolverMatch | None:
        """Match a path, with the view that suits the caller."""
        match = super().resolve(path)
        if match is not None and is_on_loop():
            match.func = self._async_view
        return match


class RefusedPattern(URLPattern):
    """The pattern of an app that cannot be served; it refuses requests, and the system checks say why.

    An error where the URLs are imported would keep the checks from running, and take the whole project down.
    """

    def __init__(self, route: str, problem: Problem) -> None:
        def stepserve(request: HttpRequest) -> HttpResponse:
            raise ConfigurationError(problem.message)

        super().__init__(RoutePattern(route, is_endpoint=True), _opened(stepserve))
        self.problem = problem


def _view(handler: Handler) -> Callable[[HttpRequest], HttpResponseBase]:
    def stepserve(request: HttpRequest) -> HttpResponseBase:
        return _response_from(request, handler.stream(_request_from(request)))

    return stepserve


def _async_view(handler: Handler) -> Callable[[HttpRequest], Any]:
    async def stepserve(request: HttpRequest) -> HttpResponseBase:
        return _response_from(request, await handler.astream(_request_from(request)))

    return stepserve


def _opened(view: View) -> View:
    """Mark a view whose callers prove who they are by signatures.

    No CSRF token, no login (LoginRequiredMiddleware of Django 5.1). ATOMIC_REQUESTS, which Django refuses for async
    views, does not apply: a failed step is an answer too, and would be committed; use transactions in steps.
    """
    view.csrf_exempt = True  # type: ignore[attr-defined]
    view.login_required = False  # type: ignore[attr-defined]
    for alias in connections:
        transaction.non_atomic_requests(using=alias)(view)
    return view


def _request_from(request: HttpRequest) -> Request:
    # The URL as Django sees it: with its settings for proxies, and for hosts that are allowed.
    url = request.build_absolute_uri()
    return Request(request.method or "", url, EnvironHeaders(request.META), _read_body(request), request)


def _read_body(request: HttpRequest) -> bytes:
    if "wsgi.input" in request.META and not request.META.get("CONTENT_LENGTH"):
        body = read_body(request.META)  # chunked; Django would say that it is empty
    else:
        body = request.read(BODY_LIMIT + 1)
    request._body = body  # middleware may ask for it; Django refuses to read twice
    return body


def _response_from(request: HttpRequest, response: Response | Stream | AsyncStream) -> HttpResponseBase:
    if not isinstance(response, Response):
        return StreamingHttpResponse(response.chunks, status=response.status, headers=response.headers)
    headers = {**response.headers, "content-length": str(len(response.body))}
    made = HttpResponse(b"" if request.method == "HEAD" else response.body, status=response.status, headers=headers)
    if request.method in ("GET", "HEAD") and response.status == 200:
        patch_cache_control(made, private=True, no_store=True)  # a cache of the site would show it to everybody
    return made

"""Django on waitress and gunicorn (WSGI), and on uvicorn (ASGI).

A process has one set of settings, so the URLs go with the app.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Generator, Iterable, Sequence
from contextlib import AbstractContextManager
from typing import Any

import django
from django.conf import settings
from django.core.handlers.asgi import ASGIHandler
from django.core.handlers.wsgi import WSGIHandler
from django.http import HttpRequest
from django.test import override_settings
from django.urls import include, path

import stepserve.django
from stepserve import Function, Inngest
from stepserve.asgi import Receive, Scope, Send
from stepserve.testing.contract.harness import Harness
from stepserve.wsgi import StartResponse
from tests.frameworks import servers

INSTALLED_APPS = ["django.contrib.auth", "django.contrib.contenttypes"]
MIDDLEWARE = ["django.middleware.common.CommonMiddleware", "django.middleware.csrf.CsrfViewMiddleware"]

DATABASES = ("default", "archive")

if not settings.configured:
    settings.configure(
        ALLOWED_HOSTS=["*"],
        # Tests that need a database put a file in the place of the name.
        DATABASES={alias: {"ENGINE": "django.db.backends.sqlite3", "NAME": ":memory:"} for alias in DATABASES},
        INSTALLED_APPS=INSTALLED_APPS,
        MIDDLEWARE=MIDDLEWARE,
        ROOT_URLCONF=(),
        SECRET_KEY="not a secret",
        USE_TZ=True,
    )
    django.setup()


class DjangoOnWaitress(Harness):
    """Django on waitress."""

    FRAMEWORK = "django"
    CALLS_FROM_LOOP = False
    HEADER_SEPARATOR = ", "
    FORWARDED_IF_TRUSTED = frozenset({"proto", "host"})

    def build(
        self,
        client: Inngest,
        functions: Sequence[Function[Any]],
        before_request: Callable[[], None] | None,
        **options: Any,
    ) -> Any:
        """Return an app with the functions at the usual path."""
        return WSGIApp((stepserve.django.serve(client, functions, **options),), before_request)

    def serve(self, app: Any) -> AbstractContextManager[int]:
        """Serve with waitress."""
        return servers.waitress(app)

    def build_below(self, prefix: str, client: Inngest, functions: Sequence[Function[Any]]) -> dict[str, Any]:
        """Return included URLs, and an app that is called below the prefix."""
        whole = self.build(client, functions, None)

        def mounted(environ: dict[str, Any], start_response: StartResponse) -> Iterable[bytes]:
            path_info = environ["PATH_INFO"].removeprefix(prefix)
            answer: Iterable[bytes] = whole({**environ, "SCRIPT_NAME": prefix, "PATH_INFO": path_info}, start_response)
            return answer

        return {"include": WSGIApp(_included(prefix, client, functions)), "SCRIPT_NAME": mounted}

    def serve_behind_proxy(self, app: Any) -> AbstractContextManager[int]:
        """Serve with the settings of waitress for this."""
        headers = {"x-forwarded-proto", "x-forwarded-host"}
        return servers.waitress(app, trusted_proxy="127.0.0.1", trusted_proxy_headers=headers)


class DjangoOnGunicorn(DjangoOnWaitress):
    """Django on a threaded worker of gunicorn."""

    HEADER_SEPARATOR = ","
    FORWARDED_BY_DEFAULT = FORWARDED_IF_TRUSTED = frozenset({"proto"})  # by gunicorn's --forwarded-allow-ips

    def serve(self, app: Any) -> AbstractContextManager[int]:
        """Serve with gunicorn."""
        return servers.gunicorn(app)

    def serve_behind_proxy(self, app: Any) -> AbstractContextManager[int]:
        """Serve as usual: a proxy at 127.0.0.1 is trusted."""
        return self.serve(app)


class DjangoOnUvicorn(DjangoOnWaitress):
    """Django on uvicorn."""

    CALLS_FROM_LOOP = True
    ENDS_STREAMED_CALLS = django.VERSION >= (5, 0)  # earlier ones do not listen to the server while they send
    HEADER_SEPARATOR = ","
    FORWARDED_BY_DEFAULT = frozenset({"proto"})  # by uvicorn's --forwarded-allow-ips

    def build(
        self,
        client: Inngest,
        functions: Sequence[Function[Any]],
        before_request: Callable[[], None] | None,
        **options: Any,
    ) -> Any:
        """Return an app with the functions at the usual path."""
        return ASGIApp((stepserve.django.serve(client, functions, **options),), before_request)

    def serve(self, app: Any) -> AbstractContextManager[int]:
        """Serve with uvicorn."""
        return servers.uvicorn(app)

    def build_below(self, prefix: str, client: Inngest, functions: Sequence[Function[Any]]) -> dict[str, Any]:
        """Return included URLs, and an app that is called below the prefix."""
        whole = self.build(client, functions, None)

        async def mounted(scope: Scope, receive: Receive, send: Send) -> None:
            await whole({**scope, "root_path": prefix}, receive, send)

        return {"include": ASGIApp(_included(prefix, client, functions)), "root_path": mounted}

    @contextlib.contextmanager
    def serve_behind_proxy(self, app: Any) -> Generator[int, None, None]:
        """Serve with Django's setting for hosts; uvicorn believes 127.0.0.1 about the scheme."""
        with override_settings(USE_X_FORWARDED_HOST=True), self.serve(app) as port:
            yield port


def _included(prefix: str, client: Inngest, functions: Sequence[Function[Any]]) -> tuple[Any, ...]:
    below = stepserve.django.urls(client, functions, path="api/inngest")
    return (path(prefix.strip("/") + "/", include(below)),)


class WSGIApp(WSGIHandler):
    """What `get_wsgi_application` returns, with URLs of its own."""

    def __init__(self, patterns: tuple[Any, ...], before_request: Callable[[], None] | None = None) -> None:
        super().__init__()
        self._patterns = patterns
        self._before_request = before_request

    def get_response(self, request: HttpRequest) -> Any:
        """Serve one request."""
        given: Any = request  # Django takes patterns as well as the name of a module; its types say names only
        given.urlconf = self._patterns
        if self._before_request is not None:
            self._before_request()
        return super().get_response(request)


class ASGIApp(ASGIHandler):
    """What `get_asgi_application` returns, with URLs of its own."""

    def __init__(self, patterns: tuple[Any, ...], before_request: Callable[[], None] | None = None) -> None:
        super().__init__()
        self._patterns = patterns
        self._before_request = before_request

    async def get_response_async(self, request: HttpRequest) -> Any:
        """Serve one request."""
        given: Any = request  # Django takes patterns as well as the name of a module; its types say names only
        given.urlconf = self._patterns
        if self._before_request is not None:
            self._before_request()
        return await super().get_response_async(request)

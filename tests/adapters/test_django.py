"""What is special to Django: one pattern for WSGI and ASGI, its middleware, its settings."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any

import django
import pytest
from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.test import override_settings
from django.urls import include, path, reverse

import stepserve.django
from stepserve import Context, Inngest, Middleware, errors
from stepserve.testing.contract.fixtures import make_client
from stepserve.testing.contract.harness import Sender
from stepserve.testing.contract.recorder import Recorder
from stepserve.testing.contract.served import SIGNATURE, App, call_body
from tests.adapters.answering import TRIGGER, answering
from tests.frameworks import django as frameworks
from tests.frameworks import servers

Serve = Callable[[tuple[Any, ...]], AbstractContextManager[int]]


def _serve_wsgi(patterns: tuple[Any, ...]) -> AbstractContextManager[int]:
    return servers.waitress(frameworks.WSGIApp(patterns))


def _serve_asgi(patterns: tuple[Any, ...]) -> AbstractContextManager[int]:
    return servers.uvicorn(frameworks.ASGIApp(patterns))


@pytest.fixture(params=[_serve_wsgi, _serve_asgi], ids=["wsgi", "asgi"])
def serve(request: pytest.FixtureRequest) -> Serve:
    """Return what serves URLs on a real server."""
    made: Serve = request.param
    return made


def _ordinary(request: HttpRequest) -> HttpResponse:
    return HttpResponse("ordinary")


def test_one_pattern_serves_both_kinds_of_server_at_the_same_time(client: Inngest) -> None:
    @client.create_function(fn_id="loop", trigger=TRIGGER)
    async def loop(ctx: Context) -> int:
        return id(asyncio.get_running_loop())

    patterns = (stepserve.django.serve(client, [answering(client, 1), loop]),)
    with _serve_wsgi(patterns) as wsgi, _serve_asgi(patterns) as asgi:
        apps = [App(Sender(port)) for port in (wsgi, asgi, wsgi, asgi)]
        answers = [app.call("answer").json() for app in apps]
        loops = [app.call("loop").json() for app in apps]

    assert answers == [1, 1, 1, 1]
    # The background loop of the process, and the loop of the server.
    assert loops[0] == loops[2] != loops[1] == loops[3]


def test_the_view_is_async_where_the_caller_is(client: Inngest) -> None:
    pattern = stepserve.django.serve(client, [])

    async def resolve_on_loop() -> Any:
        return pattern.resolve("api/inngest")

    in_thread, on_loop = pattern.resolve("api/inngest"), asyncio.run(resolve_on_loop())

    assert in_thread is not None
    assert not inspect.iscoroutinefunction(in_thread.func)
    assert inspect.iscoroutinefunction(on_loop.func)
    assert pattern.resolve("api/other") is None


@pytest.mark.parametrize(
    ("options", "served"), [({}, "/api/inngest"), ({"path": "jobs"}, "/api/jobs"), ({"path": "/jobs"}, "/api/jobs")]
)
def test_urls_are_included_below_a_prefix(
    client: Inngest, recorder: Recorder, serve: Serve, options: dict[str, str], served: str
) -> None:
    urls = stepserve.django.urls(client, [answering(client, 42)], **options)  # type: ignore[arg-type] # the paths above
    with serve((path("api/", include(urls)), path("", _ordinary))) as port:
        send = Sender(port)
        answered = App(send, served).call("answer")
        send("PUT", served)

        assert send("GET", "/").body == b"ordinary"
    assert answered.json() == 42
    assert recorder.requests[0].json()["url"] == send.origin + served


def test_urls_take_the_options_of_serve(client: Inngest, recorder: Recorder, serve: Serve) -> None:
    urls = stepserve.django.urls(client, [answering(client, 1)], enable_unauthed_sync=False, serve_origin="foo.com")
    with serve((path("api/", include(urls)),)) as port:
        unsigned, signed = Sender(port)("PUT", "/api/inngest"), App(Sender(port)).request("PUT")

    assert (unsigned.status, signed.status) == (401, 200)
    assert recorder.requests[0].json()["url"] == "https://foo.com/api/inngest"


def test_urls_want_a_client_and_functions_or_neither(client: Inngest) -> None:
    with pytest.raises(errors.ConfigurationError, match="neither"):
        stepserve.django.urls(client)


def test_the_url_has_a_name(client: Inngest) -> None:
    patterns: Any = (stepserve.django.serve(client, []),)

    assert reverse("stepserve-shop", urlconf=patterns) == "/api/inngest"


def test_other_views_still_need_a_csrf_token(client: Inngest, serve: Serve) -> None:
    with serve((stepserve.django.serve(client, [answering(client, 1)]), path("open", _ordinary))) as port:
        assert App(Sender(port)).call("answer").json() == 1
        assert Sender(port)("POST", "/open").status == 403


def without_user(get_response: Callable[[HttpRequest], HttpResponseBase]) -> Callable[[HttpRequest], HttpResponseBase]:
    """Sync middleware, as of many projects; under ASGI, Django calls it in a thread."""

    def middleware(request: HttpRequest) -> HttpResponseBase:
        given: Any = request
        given.user = type("Nobody", (), {"is_authenticated": False})()
        return get_response(request)

    return middleware


def reading(get_response: Callable[[HttpRequest], HttpResponseBase]) -> Callable[[HttpRequest], HttpResponseBase]:
    """Middleware that reads the body before the view."""

    def middleware(request: HttpRequest) -> HttpResponseBase:
        assert request.body
        return get_response(request)

    return middleware


@pytest.mark.skipif(django.VERSION < (5, 1), reason="LoginRequiredMiddleware came with Django 5.1")
def test_no_login_is_needed(client: Inngest, serve: Serve) -> None:
    middleware = [f"{__name__}.without_user", "django.contrib.auth.middleware.LoginRequiredMiddleware"]
    with (
        override_settings(MIDDLEWARE=middleware, LOGIN_URL="/login"),
        serve((stepserve.django.serve(client, [answering(client, 1)]), path("open", _ordinary))) as port,
    ):
        assert App(Sender(port)).call("answer").json() == 1
        assert Sender(port)("GET", "/open").status == 302


@pytest.mark.parametrize("chunked", [False, True])
def test_middleware_may_read_the_body_first(client: Inngest, serve: Serve, chunked: bool) -> None:
    body = call_body(data={"text": "é" * 1000})
    with (
        override_settings(MIDDLEWARE=[f"{__name__}.reading"]),
        serve((stepserve.django.serve(client, [answering(client, 1)]),)) as port,
    ):
        assert App(Sender(port)).call("answer", body=[body[:100], body[100:]] if chunked else body).json() == 1


def test_middleware_of_functions_is_given_the_request_with_its_body(recorder: Recorder, serve: Serve) -> None:
    seen: list[tuple[str, bytes]] = []

    class Keeps(Middleware):
        def before_response(self) -> None:
            raw = self.raw_request
            assert isinstance(raw, HttpRequest)
            seen.append((raw.path, raw.body))

    client = make_client(recorder, middleware=[Keeps])
    with serve((stepserve.django.serve(client, [answering(client, 1)]),)) as port:
        App(Sender(port)).call("answer", body=call_body())

    assert seen == [("/api/inngest", call_body())]


def test_a_cache_of_the_whole_site_keeps_nothing(client: Inngest, serve: Serve) -> None:
    middleware = ["django.middleware.cache.UpdateCacheMiddleware", "django.middleware.cache.FetchFromCacheMiddleware"]
    with (
        override_settings(MIDDLEWARE=middleware),
        serve((stepserve.django.serve(client, [answering(client, 1)]),)) as port,
    ):
        signed, unsigned = App(Sender(port)).request("GET"), Sender(port)("GET", "/api/inngest")

    assert (signed.status, unsigned.status) == (200, 401)


def test_the_middleware_of_a_new_project_changes_no_answer(client: Inngest, serve: Serve) -> None:
    middleware = [
        "django.middleware.security.SecurityMiddleware",
        "django.middleware.gzip.GZipMiddleware",
        *frameworks.MIDDLEWARE,
        "django.middleware.clickjacking.XFrameOptionsMiddleware",
    ]
    with (
        override_settings(MIDDLEWARE=middleware),
        serve((stepserve.django.serve(client, [answering(client, "x" * 5000)]),)) as port,
    ):
        reply = App(Sender(port)).call("answer")

    assert reply.json() == "x" * 5000
    assert reply.headers["x-frame-options"] == "DENY"


def test_the_reported_url_follows_the_settings_for_proxies(client: Inngest, recorder: Recorder) -> None:
    with (
        override_settings(SECURE_PROXY_SSL_HEADER=("HTTP_X_SCHEME", "https"), USE_X_FORWARDED_HOST=True),
        _serve_asgi((stepserve.django.serve(client, [answering(client, 1)]),)) as port,
    ):
        Sender(port)("PUT", "/api/inngest", headers=[("x-scheme", "https"), ("x-forwarded-host", "shop.example")])

    assert recorder.requests[0].json()["url"] == "https://shop.example/api/inngest"


def test_a_host_that_is_not_allowed_is_refused(client: Inngest, recorder: Recorder, serve: Serve) -> None:
    with (
        override_settings(ALLOWED_HOSTS=["127.0.0.1"]),
        serve((stepserve.django.serve(client, [answering(client, 1)]),)) as port,
    ):
        refused = Sender(port)("PUT", "/api/inngest", headers=[("host", "evil.example"), (SIGNATURE, "t=1&s=0")])

    assert refused.status == 400
    assert recorder.requests == []

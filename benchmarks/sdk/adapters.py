"""The adapters, each with its bare route; here those of WSGI and ASGI frameworks."""

import importlib
from collections.abc import Callable
from typing import Any

from benchmarks.sdk.adapter import CONTENT_TYPE, Adapter, serving_itself
from benchmarks.sdk.calls import SERVE_PATH
from benchmarks.sdk.clouds import CLOUDS
from benchmarks.sdk.in_process import AsgiEndpoint, WsgiEndpoint
from benchmarks.sdk.own_servers import OWN_SERVERS
from benchmarks.sdk.subjects import bare_answer


def _bare_wsgi() -> Any:
    def app(environ: dict[str, Any], start_response: Callable[..., object]) -> list[bytes]:
        body = environ["wsgi.input"].read(int(environ["CONTENT_LENGTH"]))
        _, answer, headers = bare_answer(body, environ.get("HTTP_X_INNGEST_SIGNATURE"), signed=True)
        start_response("200 OK", [("content-type", CONTENT_TYPE), *headers.items()])
        return [answer]

    return app


def _bare_asgi() -> Any:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        body = b""
        while (message := await receive()).get("more_body", False):
            body += message["body"]
        body += message["body"]
        header = dict(scope["headers"])[b"x-inngest-signature"].decode()
        _, answer, headers = bare_answer(body, header, signed=True)
        raw = [(name.encode(), value.encode()) for name, value in {**headers, "content-type": CONTENT_TYPE}.items()]
        await send({"type": "http.response.start", "status": 200, "headers": raw})
        await send({"type": "http.response.body", "body": answer})

    return app


def _mount_flask(module: Any, client: Any, functions: Any) -> Any:
    import flask

    app = flask.Flask("bench")
    module.serve(app, client, functions)
    return app


def _bare_flask() -> Any:
    import flask

    app = flask.Flask("floor")

    @app.post(SERVE_PATH)
    def call() -> flask.Response:
        request = flask.request
        _, body, headers = bare_answer(request.get_data(), request.headers.get("x-inngest-signature"), signed=True)
        return flask.Response(body, 200, headers, content_type=CONTENT_TYPE)

    return app


def _mount_quart(module: Any, client: Any, functions: Any) -> Any:
    import quart

    app = quart.Quart("bench")
    module.serve(app, client, functions)
    return app


def _bare_quart() -> Any:
    import quart

    app = quart.Quart("floor")

    @app.post(SERVE_PATH)
    async def call() -> quart.Response:
        header = quart.request.headers.get("x-inngest-signature")
        sent: Any = await quart.request.get_data()  # bytes; Quart's types do not tell it from text
        _, body, headers = bare_answer(sent, header, signed=True)
        return quart.Response(body, 200, headers, content_type=CONTENT_TYPE)

    return app


def _mount_fastapi(module: Any, client: Any, functions: Any) -> Any:
    import fastapi

    app = fastapi.FastAPI()
    module.serve(app, client, functions)
    return app


def _bare_fastapi() -> Any:
    import fastapi

    app = fastapi.FastAPI()
    app.post(SERVE_PATH)(_starlette_view())
    return app


def _bare_fastapi_in_thread() -> Any:
    """Do the work in a thread, as FastAPI does with `def` functions: they may block."""
    import fastapi
    from starlette.concurrency import run_in_threadpool

    app = fastapi.FastAPI()

    @app.post(SERVE_PATH)
    async def call(request: fastapi.Request) -> fastapi.Response:
        header = request.headers.get("x-inngest-signature")
        _, body, headers = await run_in_threadpool(bare_answer, await request.body(), header, signed=True)
        return fastapi.Response(body, 200, headers, CONTENT_TYPE)

    return app


def _mount_starlette(module: Any, client: Any, functions: Any) -> Any:
    from starlette.applications import Starlette

    app = Starlette()
    module.serve(app, client, functions)
    return app


def _bare_starlette() -> Any:
    from starlette.applications import Starlette
    from starlette.routing import Route

    return Starlette(routes=[Route(SERVE_PATH, _starlette_view(), methods=["POST"])])


def _starlette_view() -> Any:
    from starlette.requests import Request
    from starlette.responses import Response

    async def call(request: Request) -> Response:
        header = request.headers.get("x-inngest-signature")
        _, body, headers = bare_answer(await request.body(), header, signed=True)
        return Response(body, 200, headers, CONTENT_TYPE)

    return call


def _mount_bottle(module: Any, client: Any, functions: Any) -> Any:
    bottle: Any = importlib.import_module("bottle")  # which has no types, as Pyramid
    app = bottle.Bottle()
    module.serve(app, client, functions)
    return app


def _bare_bottle() -> Any:
    bottle: Any = importlib.import_module("bottle")

    def call() -> Any:
        header = bottle.request.get_header("x-inngest-signature")
        _, body, headers = bare_answer(bottle.request.body.read(), header, signed=True)
        return bottle.HTTPResponse(body, 200, {**headers, "content-type": CONTENT_TYPE})

    app = bottle.Bottle()
    app.post(SERVE_PATH, callback=call)
    return app


def _mount_falcon(module: Any, client: Any, functions: Any) -> Any:
    import falcon

    app = falcon.App()
    module.serve(app, client, functions)
    return app


def _bare_falcon() -> Any:
    import falcon

    class Resource:
        def on_post(self, request: Any, response: Any) -> None:
            header = request.get_header("x-inngest-signature")
            _, response.data, headers = bare_answer(request.bounded_stream.read(), header, signed=True)
            response.set_headers(headers)
            response.content_type = CONTENT_TYPE

    app = falcon.App()
    app.add_route(SERVE_PATH, Resource())
    return app


def _mount_pyramid(module: Any, client: Any, functions: Any) -> Any:
    config = importlib.import_module("pyramid.config").Configurator()
    module.serve(config, client, functions)
    return config.make_wsgi_app()


def _bare_pyramid() -> Any:
    respond = importlib.import_module("pyramid.response").Response

    def call(request: Any) -> Any:
        header = request.headers.get("x-inngest-signature")
        _, body, headers = bare_answer(request.body, header, signed=True)
        return respond(body, 200, [*headers.items()], content_type=CONTENT_TYPE, charset=None)

    config = importlib.import_module("pyramid.config").Configurator()
    config.add_route("call", SERVE_PATH)
    config.add_view(call, route_name="call", request_method="POST")
    return config.make_wsgi_app()


def _mount_litestar(module: Any, client: Any, functions: Any) -> Any:
    from litestar import Litestar

    app = Litestar()
    module.serve(app, client, functions)
    return app


def _bare_litestar() -> Any:
    from litestar import Litestar, Request, Response, post

    async def call(request: Request[Any, Any, Any]) -> Response[bytes]:
        header = request.headers.get("x-inngest-signature")
        _, body, headers = bare_answer(await request.body(), header, signed=True)
        return Response(body, status_code=200, headers=headers, media_type=CONTENT_TYPE)

    return Litestar([post(SERVE_PATH)(call)])


def _mount_django(module: Any, client: Any, functions: Any) -> Any:
    _set_django_up()
    return _django_app(module.serve(client, functions))


def _mount_django_asgi(module: Any, client: Any, functions: Any) -> Any:
    _set_django_up()
    return _django_app(module.serve(client, functions), is_asgi=True)


def _bare_django(*, is_async: bool = False, is_asgi: bool = False) -> Any:
    _set_django_up()
    from django.http import HttpRequest, HttpResponse
    from django.urls import path

    def call(request: HttpRequest) -> HttpResponse:
        header = request.headers.get("x-inngest-signature")
        _, body, headers = bare_answer(request.body, header, signed=True)
        return HttpResponse(body, CONTENT_TYPE, headers=headers)

    async def call_async(request: HttpRequest) -> HttpResponse:
        return call(request)

    return _django_app(path(SERVE_PATH.removeprefix("/"), call_async if is_async else call), is_asgi=is_asgi)


def _bare_django_async() -> Any:
    return _bare_django(is_async=True)


def _bare_django_asgi() -> Any:
    return _bare_django(is_async=True, is_asgi=True)


def _set_django_up() -> None:
    import django
    from django.conf import settings

    if not settings.configured:
        database = {"ENGINE": "django.db.backends.sqlite3", "NAME": ":memory:"}
        settings.configure(
            ALLOWED_HOSTS=["*"], DATABASES={"default": database}, MIDDLEWARE=[], ROOT_URLCONF=(), SECRET_KEY="bench"
        )
        django.setup()


def _django_app(pattern: Any, *, is_asgi: bool = False) -> Any:
    from django.core.handlers.asgi import ASGIHandler
    from django.core.handlers.wsgi import WSGIHandler

    class OnWSGI(WSGIHandler):
        def get_response(self, request: Any) -> Any:
            request.urlconf = (pattern,)
            return super().get_response(request)

    class OnASGI(ASGIHandler):
        async def get_response_async(self, request: Any) -> Any:
            request.urlconf = (pattern,)
            return await super().get_response_async(request)

    return OnASGI() if is_asgi else OnWSGI()


ADAPTERS = (
    Adapter("WSGI", (), False, "wsgi", None, serving_itself, _bare_wsgi),
    Adapter("Bottle", ("bottle",), False, "bottle", None, _mount_bottle, _bare_bottle),
    Adapter("Django", ("django",), False, "django", "django", _mount_django, _bare_django),
    Adapter(
        "Django, async on WSGI", ("django",), True, "django", "django", _mount_django, _bare_django_async, WsgiEndpoint
    ),
    Adapter("Django on ASGI", ("django",), True, "django", "django", _mount_django_asgi, _bare_django_asgi),
    Adapter("Falcon", ("falcon",), False, "falcon", None, _mount_falcon, _bare_falcon),
    Adapter("Flask", ("flask",), False, "flask", "flask", _mount_flask, _bare_flask),
    Adapter("Pyramid", ("pyramid",), False, "pyramid", None, _mount_pyramid, _bare_pyramid),
    Adapter("ASGI", (), True, "asgi", None, serving_itself, _bare_asgi),
    Adapter("FastAPI", ("fastapi",), True, "fastapi", "fast_api", _mount_fastapi, _bare_fastapi),
    Adapter(
        "FastAPI", ("fastapi",), False, "fastapi", "fast_api", _mount_fastapi, _bare_fastapi_in_thread, AsgiEndpoint
    ),
    Adapter("Litestar", ("litestar",), True, "litestar", None, _mount_litestar, _bare_litestar),
    Adapter("Quart", ("quart",), True, "quart", None, _mount_quart, _bare_quart),
    Adapter("Starlette", ("starlette",), True, "starlette", None, _mount_starlette, _bare_starlette),
    *OWN_SERVERS,
    *CLOUDS,
)

"""The same durable endpoint in each framework, in each colour that it has, over the server that its users run."""

from __future__ import annotations

import contextlib
import socket
from collections.abc import AsyncGenerator
from types import ModuleType
from typing import Any

import django
import django.http
import django.urls
import fastapi
import flask
import tornado.httpserver
import tornado.web
from django.conf import settings
from django.core.handlers.asgi import ASGIHandler
from django.core.handlers.wsgi import WSGIHandler
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route

import stepserve.django
import stepserve.fastapi
import stepserve.flask
import stepserve.starlette
import stepserve.tornado
from stepserve import Inngest, Step, StepSync
from stepserve.testing.servers import waitress
from stepserve_core.endpoint import LARGEST_BODY
from tests.executor.raw_app import served

LARGE = [b"x" * LARGEST_BODY, b"x"]


class Shop:
    """What the endpoint does: the work of all frameworks. `executed` has the steps, in order."""

    def __init__(self) -> None:
        self.executed: list[str] = []

    def step(self, name: str, *, fails: bool = False) -> str:
        self.executed.append(name)
        if fails and self.executed.count(name) == 1:
            raise ValueError(f"no {name}")
        return name

    def run_sync(self, step: StepSync, mode: str, body: str) -> dict[str, Any]:
        first = step.run("first", self.step, f"first {body}")
        if mode == "sleep":
            step.sleep("nap", 1)
        second = step.run("second", lambda: self.step("second", fails=mode == "retry"))
        return {"steps": [first, second]}

    async def run(self, step: Step, mode: str, body: str) -> dict[str, Any]:
        first = await step.run("first", self.step, f"first {body}")
        if mode == "sleep":
            await step.sleep("nap", 1)
        second = await step.run("second", lambda: self.step("second", fails=mode == "retry"))
        return {"steps": [first, second]}


def flask_app(client: Inngest, shop: Shop, colour: str) -> Any:
    app = flask.Flask("shop")

    def answer(mode: str, result: Any) -> Any:
        if mode == "missing":
            flask.abort(404)
        return flask.Response(LARGE) if mode == "large" else result

    if colour == "sync":

        @app.post("/checkout/<mode>")
        @stepserve.flask.endpoint(client)
        def checkout(mode: str, step: StepSync) -> Any:
            return answer(mode, shop.run_sync(step, mode, flask.request.get_data(as_text=True)))
    else:

        @app.post("/checkout/<mode>")
        @stepserve.flask.endpoint(client)
        async def checkout_async(mode: str, step: Step) -> Any:
            return answer(mode, await shop.run(step, mode, flask.request.get_data(as_text=True)))

    return app


def _answer(mode: str, result: Any) -> Any:
    if mode == "missing":
        raise HTTPException(404)
    return StreamingResponse(iter(LARGE)) if mode == "large" else result


def starlette_app(client: Inngest, shop: Shop, colour: str) -> Any:
    @stepserve.starlette.endpoint(client)
    async def checkout_async(request: Request, step: Step) -> Response:
        mode, body = request.path_params["mode"], (await request.body()).decode()
        answered: Response = _answer(mode, JSONResponse(await shop.run(step, mode, body)))
        return answered

    @stepserve.starlette.endpoint(client)
    def checkout(request: Request, step: StepSync) -> Response:
        mode, body = request.path_params["mode"], request._body.decode()
        answered: Response = _answer(mode, JSONResponse(shop.run_sync(step, mode, body)))
        return answered

    view = checkout if colour == "sync" else checkout_async
    return Starlette(routes=[Route("/checkout/{mode}", view, methods=["POST"])])


def fastapi_app(client: Inngest, shop: Shop, colour: str) -> Any:
    app = fastapi.FastAPI()
    if colour == "sync":

        @app.post("/checkout/{mode}", response_model=None)
        @stepserve.fastapi.endpoint(client)
        def checkout(mode: str, step: StepSync, body: str = fastapi.Body(media_type="text/plain")) -> Any:
            return _answer(mode, shop.run_sync(step, mode, body))
    else:

        @app.post("/checkout/{mode}", response_model=None)
        @stepserve.fastapi.endpoint(client)
        async def checkout_async(mode: str, step: Step, body: str = fastapi.Body(media_type="text/plain")) -> Any:
            return _answer(mode, await shop.run(step, mode, body))

    return app


def django_app(client: Inngest, shop: Shop, colour: str) -> Any:
    if not settings.configured:
        settings.configure(SECRET_KEY="x", ALLOWED_HOSTS=["*"], DEBUG=False, MIDDLEWARE=[])
        django.setup()

    def answer(mode: str, result: Any) -> Any:
        if mode == "missing":
            raise django.http.Http404
        return django.http.StreamingHttpResponse(LARGE) if mode == "large" else django.http.JsonResponse(result)

    @stepserve.django.endpoint(client)
    def checkout(request: django.http.HttpRequest, mode: str, step: StepSync) -> Any:
        return answer(mode, shop.run_sync(step, mode, request.body.decode()))

    @stepserve.django.endpoint(client)
    async def checkout_async(request: django.http.HttpRequest, mode: str, step: Step) -> Any:
        return answer(mode, await shop.run(step, mode, request.body.decode()))

    view = checkout if colour == "sync" else checkout_async
    module: Any = ModuleType("endpoint_urls")
    module.urlpatterns = [django.urls.path("checkout/<mode>", view)]
    settings.ROOT_URLCONF = module
    django.urls.clear_url_caches()
    return WSGIHandler() if colour == "sync" else ASGIHandler()


def tornado_app(client: Inngest, shop: Shop, colour: str) -> Any:
    del colour

    class Checkout(tornado.web.RequestHandler):
        @stepserve.tornado.endpoint(client)
        async def post(self, mode: str, step: Step) -> None:
            result = await shop.run(step, mode, self.request.body.decode())
            if mode == "missing":
                raise tornado.web.HTTPError(404)
            self.write(result)
            if mode == "large":
                self.write(b"".join(LARGE))

    return tornado.web.Application([("/checkout/(.*)", Checkout)])


APPS = {
    ("flask", "sync"): flask_app,
    ("flask", "async"): flask_app,
    ("fastapi", "sync"): fastapi_app,
    ("fastapi", "async"): fastapi_app,
    ("starlette", "sync"): starlette_app,
    ("starlette", "async"): starlette_app,
    ("django", "sync"): django_app,
    ("django", "async"): django_app,
    ("tornado", "async"): tornado_app,
}


@contextlib.asynccontextmanager
async def serving_app(framework: str, colour: str, client: Inngest, shop: Shop) -> AsyncGenerator[str, None]:
    """Serve the app of a framework; give its origin."""
    app = APPS[framework, colour](client, shop, colour)
    kind = "wsgi" if framework == "flask" or (framework, colour) == ("django", "sync") else "asgi"
    async with served_as("tornado" if framework == "tornado" else kind, app) as origin:
        yield origin


@contextlib.asynccontextmanager
async def served_as(kind: str, app: Any) -> AsyncGenerator[str, None]:
    """Serve an application of WSGI, ASGI or Tornado; give its origin."""
    if kind == "tornado":
        listener = socket.create_server(("127.0.0.1", 0))
        listener.setblocking(False)
        server = tornado.httpserver.HTTPServer(app)
        server.add_sockets([listener])
        try:
            yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        finally:
            server.stop()
            await server.close_all_connections()
    elif kind == "wsgi":
        with waitress(app) as port:
            yield f"http://127.0.0.1:{port}"
    else:
        async with served(app) as origin:
            yield origin

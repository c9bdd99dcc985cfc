"""Durable endpoints, as type checkers see them: every form in every colour. It is checked, not run."""

from __future__ import annotations

import datetime
from collections.abc import AsyncGenerator, Callable

import fastapi
import flask
import starlette.applications
import tornado.web
from django.http import HttpRequest, HttpResponse
from django.urls import path
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from typing_extensions import assert_type

import stepserve
import stepserve.django
import stepserve.fastapi
import stepserve.flask
import stepserve.starlette
import stepserve.tornado
from stepserve import Checkpointing, Inngest, Step, StepSync, stream

client = Inngest(app_id="shop")
durable = stepserve.endpoint(client)
chosen = stepserve.endpoint(
    client,
    framework="flask",
    retries=2,
    respond="token",
    name="checkout",
    checkpointing=Checkpointing(max_runtime=datetime.timedelta(seconds=5)),
)

flask_app = flask.Flask("shop")


@flask_app.post("/a/<order>")
@stepserve.endpoint(client)
def flask_view(order: str, step: StepSync) -> dict[str, str]:
    receipt = step.run("charge", lambda: f"charged {order}")
    assert_type(receipt, str)
    return {"receipt": receipt}


@flask_app.post("/b/<order>")
@stepserve.flask.endpoint(client, retries=1)
async def flask_async(order: str, step: Step) -> dict[str, int]:
    length = await step.run("count", lambda: len(order))
    assert_type(length, int)
    return {"length": length}


@flask_app.post("/c")
@chosen
def flask_chosen(step: StepSync) -> str:
    return step.run("name", str)


api = fastapi.FastAPI()


@api.post("/a", status_code=201)
@stepserve.endpoint(client)
def operation(order: str, step: StepSync, limit: int = 1) -> dict[str, int]:
    return {order: step.run("limit", lambda: limit)}


@api.post("/b")
@stepserve.fastapi.endpoint(client, respond="redirect")
async def operation_async(order: str, step: Step) -> list[str]:
    return [await step.run("order", lambda: order)]


def plain(request: Request, step: StepSync) -> Response:
    return JSONResponse(step.run("path", lambda: request.url.path))


async def plain_async(request: Request, step: Step) -> Response:
    return JSONResponse(await step.run("path", lambda: request.url.path))


routes = [
    Route("/a", durable(plain)),
    Route("/b", stepserve.starlette.endpoint(client)(plain_async), methods=["POST"]),
]
starlette.applications.Starlette(routes=routes)
api.add_route("/c", durable(plain_async))


@stepserve.endpoint(client, framework="django")
def view(request: HttpRequest, order: str, step: StepSync) -> HttpResponse:
    return HttpResponse(step.run("path", lambda: request.path + order))


@stepserve.django.endpoint(client)
async def view_async(request: HttpRequest, order: str, step: Step) -> HttpResponse:
    return HttpResponse(await step.run("path", lambda: request.path + order))


urlpatterns = [path("a/<order>", view), path("b/<order>", view_async)]


class Checkout(tornado.web.RequestHandler):
    """A handler whose methods are durable."""

    @stepserve.endpoint(client, framework="tornado")
    async def post(self, order: str, step: Step) -> None:
        self.write(await step.run("order", lambda: order))

    @stepserve.tornado.endpoint(client)
    async def put(self, step: Step) -> None:
        await step.sleep("nap", "1s")


tornado.web.Application([("/(.*)", Checkout)])


async def tokens() -> AsyncGenerator[str, None]:
    yield "a"


@stepserve.endpoint(client, framework="starlette")
async def telling(request: Request, step: Step) -> Response:
    async def write() -> str:
        await stream.push({"path": request.url.path})
        words = await stream.pipe(tokens())
        assert_type(words, list[str])
        return "".join(words)

    text = await step.run("write", write)
    assert_type(text, str)
    assert_type(await stream.pipe([1, 2]), list[int])
    return JSONResponse(text)


@flask_app.post("/d")
@durable
def flask_telling(step: StepSync) -> str:
    stream.push_sync(("started", 1))
    words = step.run("write", lambda: stream.pipe_sync(iter(["a", "b"])))
    assert_type(words, list[str])
    return "".join(words)


# What a route returns is known; what it is called with is its framework's business, and is no step.
assert_type(flask_view, Callable[..., dict[str, str]])
assert_type(flask_chosen, Callable[..., str])
assert_type(durable(plain), Callable[..., Response])
assert_type(view, Callable[..., HttpResponse])


async def call() -> None:
    assert_type(await operation_async("A"), list[str])
    assert_type(await view_async(HttpRequest(), "A"), HttpResponse)

"""Durable endpoints that give every kind of answer, and that tell what they were asked: one app for each framework.

`/{colour}/answer/{kind}` and `/{colour}/echo/{item}`; with `?wait=1` each has to wait before it answers.
"""

from __future__ import annotations

import pathlib
from collections.abc import AsyncIterator, Callable, Iterator
from types import ModuleType
from typing import Any

import django
import django.core.exceptions
import django.http
import django.template
import django.template.response
import django.urls
import fastapi
import flask
import pydantic
from django.conf import settings
from django.core.handlers.asgi import ASGIHandler
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import FileResponse, JSONResponse, PlainTextResponse, RedirectResponse, Response
from starlette.responses import StreamingResponse as Stream
from starlette.routing import Route

import stepserve
from stepserve import Inngest, Step, StepSync

FILE = pathlib.Path(__file__)


class SoldOutError(Exception):
    """Has a handler in each app that can have one."""


def waits(query: Any) -> bool:
    return bool(query.get("wait"))


def pause(step: StepSync, query: Any) -> None:
    step.run("first", lambda: None)
    if waits(query):
        step.sleep("nap", 1)


async def pause_async(step: Step, query: Any) -> None:
    await step.run("first", lambda: None)
    if waits(query):
        await step.sleep("nap", 1)


def flask_app(client: Inngest) -> Any:
    app = flask.Flask("answers")
    app.register_error_handler(SoldOutError, lambda error: ({"sold": str(error)}, 409))
    made: dict[str, Callable[[], Any]] = {
        "bytes": lambda: b"\x00\xff",
        "text": lambda: "h\u00e9llo",
        "json": lambda: {"a": [1]},
        "status": lambda: ({"made": True}, 201, {"x-made": "yes"}),
        "redirect": lambda: flask.redirect("/elsewhere", 303),
        "empty": lambda: ("", 204),
        "template": lambda: flask.render_template_string("<b>{{ name }}</b>", name="<1>"),
        "file": lambda: flask.send_file(FILE),
        "stream": lambda: flask.Response(iter(["pa", "rt"]), mimetype="text/x-parts"),
        "generator": lambda: (part for part in ["pa", "rt"]),
    }

    def answer(kind: str) -> Any:
        if kind == "missing":
            flask.abort(404, "no such thing")
        if kind == "handled":
            raise SoldOutError("tea")
        if kind == "cookies":
            response = flask.make_response("c")
            response.set_cookie("a", "1")
            response.set_cookie("b", "2", httponly=True)
            return response
        return made[kind]()

    def echo(item: str) -> Any:
        files = {name: (file.filename, file.read().decode()) for name, file in flask.request.files.items()}
        query = [pair for pair in flask.request.args.items(multi=True) if pair[0] != "wait"]
        return {"item": item, "query": query, "form": flask.request.form, "files": files, "body": _text()}

    def _text() -> str:
        is_form = bool(flask.request.form or flask.request.files)
        return "" if is_form else flask.request.get_data(as_text=True)

    for path, view in {"answer": answer, "echo": echo}.items():

        @app.post(f"/sync/{path}/<word>", endpoint=f"{path}_sync")
        @stepserve.endpoint(client, framework="flask", name=f"{path}_sync")
        def durable(word: str, step: StepSync, view: Callable[[str], Any] = view) -> Any:
            pause(step, flask.request.args)
            return view(word)

        @app.post(f"/async/{path}/<word>", endpoint=f"{path}_async")
        @stepserve.endpoint(client, framework="flask", name=f"{path}_async")
        async def durable_async(word: str, step: Step, view: Callable[[str], Any] = view) -> Any:
            await pause_async(step, flask.request.args)
            return view(word)

    return app


def _answer(kind: str) -> Response:
    made: dict[str, Callable[[], Response]] = {
        "bytes": lambda: Response(b"\x00\xff"),
        "text": lambda: PlainTextResponse("h\u00e9llo"),
        "json": lambda: JSONResponse({"a": [1]}),
        "status": lambda: JSONResponse({"made": True}, 201, {"x-made": "yes"}),
        "redirect": lambda: RedirectResponse("/elsewhere", 303),
        "empty": lambda: Response(status_code=204),
        "file": lambda: FileResponse(FILE),
        "stream": lambda: Stream(iter(["pa", "rt"]), media_type="text/x-parts"),
        "async-stream": lambda: Stream(_parts(), media_type="text/x-parts"),
    }
    if kind == "missing":
        raise HTTPException(404, "no such thing")
    if kind == "handled":
        raise SoldOutError("tea")
    if kind == "cookies":
        response = PlainTextResponse("c")
        response.set_cookie("a", "1")
        response.set_cookie("b", "2", httponly=True)
        return response
    return made[kind]()


async def _parts() -> AsyncIterator[bytes]:
    yield b"pa"
    yield b"rt"


def _sold_out(request: Any, error: Exception) -> Response:
    del request
    return JSONResponse({"sold": str(error)}, 409)


async def _sold_out_async(request: Any, error: Exception) -> Response:
    return _sold_out(request, error)


def starlette_app(client: Inngest) -> Any:
    @stepserve.endpoint(client, framework="starlette")
    def answer(request: Request, step: StepSync) -> Response:
        pause(step, request.query_params)
        return _answer(request.path_params["word"])

    @stepserve.endpoint(client, framework="starlette")
    async def answer_async(request: Request, step: Step) -> Response:
        await pause_async(step, request.query_params)
        return _answer(request.path_params["word"])

    @stepserve.endpoint(client, framework="starlette")
    async def echo_async(request: Request, step: Step) -> Response:
        await pause_async(step, request.query_params)
        query = [pair for pair in request.query_params.multi_items() if pair[0] != "wait"]
        form, files = {}, {}
        async with request.form() as given:
            for name, value in given.items():
                if isinstance(value, str):
                    form[name] = value
                else:
                    files[name] = (value.filename, (await value.read()).decode())
        body = "" if form or files else (await request.body()).decode()
        found = {"item": request.path_params["word"], "query": query, "form": form, "files": files, "body": body}
        return JSONResponse(found)

    routes = [
        Route("/sync/answer/{word}", answer, methods=["POST"]),
        Route("/async/answer/{word}", answer_async, methods=["POST"]),
        Route("/async/echo/{word}", echo_async, methods=["POST"]),
    ]
    return Starlette(routes=routes, exception_handlers={SoldOutError: _sold_out_async})


class Made(pydantic.BaseModel):
    """What a route says that it answers; what else there is, it keeps to itself."""

    name: str = pydantic.Field(serialization_alias="called")


class Secret(Made):
    """What it returns."""

    password: str = "hidden"


def fastapi_app(client: Inngest) -> Any:
    app = fastapi.FastAPI()
    app.add_exception_handler(SoldOutError, _sold_out)
    durable = stepserve.endpoint(client, framework="fastapi")
    values = {"json": {"a": [1]}, "text": "h\u00e9llo"}

    @app.post("/sync/answer/model", status_code=201, response_model=Made)
    @durable
    def model(step: StepSync, response: fastapi.Response, request: fastapi.Request) -> Any:
        pause(step, request.query_params)
        response.headers["x-made"] = "yes"
        response.set_cookie("a", "1")
        return Secret(name="A")

    @app.post("/async/answer/model", response_class=fastapi.responses.PlainTextResponse)
    @durable
    async def model_async(step: Step, response: fastapi.Response, wait: int = 0) -> str:
        await pause_async(step, {"wait": wait})
        response.status_code = 202
        return "plainly"

    @app.post("/sync/answer/{word}", response_model=None)
    @durable
    def answer(word: str, step: StepSync, wait: int = 0) -> Any:
        pause(step, {"wait": wait})
        return values.get(word) or _answer(word)

    @app.post("/async/answer/{word}", response_model=None)
    @durable
    async def answer_async(word: str, step: Step, wait: int = 0) -> Any:
        await pause_async(step, {"wait": wait})
        return values.get(word) or _answer(word)

    @app.post("/sync/echo/form")
    @durable
    def echo_form(
        step: StepSync,
        name: str = fastapi.Form(),
        file: fastapi.UploadFile | None = None,
        wait: int = 0,
    ) -> Any:
        pause(step, {"wait": wait})
        files = {} if file is None else {"file": (file.filename, file.file.read().decode())}
        return {"item": "form", "query": [], "form": {"name": name}, "files": files, "body": ""}

    @app.post("/async/echo/{word}")
    @durable
    async def echo_async(word: str, step: Step, request: fastapi.Request) -> Any:
        await pause_async(step, request.query_params)
        query = [pair for pair in request.query_params.multi_items() if pair[0] != "wait"]
        body = (await request.body()).decode()
        return {"item": word, "query": query, "form": {}, "files": {}, "body": body}

    async def plainly(request: Request, step: Step) -> Response:
        await pause_async(step, request.query_params)
        return PlainTextResponse("plainly", 202)

    app.add_route("/async/starlette", durable(plainly), methods=["POST"])
    return app


def django_app(client: Inngest) -> Any:
    if not settings.configured:
        settings.configure(SECRET_KEY="x", ALLOWED_HOSTS=["*"], DEBUG=False, MIDDLEWARE=[])
        django.setup()
    engine = django.template.Engine()
    made: dict[str, Callable[[], Any]] = {
        "bytes": lambda: django.http.HttpResponse(b"\x00\xff", content_type="application/octet-stream"),
        "text": lambda: django.http.HttpResponse("h\u00e9llo"),
        "json": lambda: django.http.JsonResponse({"a": [1]}),
        "status": lambda: django.http.JsonResponse({"made": True}, status=201, headers={"x-made": "yes"}),
        "redirect": lambda: django.http.HttpResponseRedirect("/elsewhere"),
        "empty": lambda: django.http.HttpResponse(status=204),
        "template": lambda: Template(engine.from_string("<b>{{ name }}</b>")),
        "file": lambda: django.http.FileResponse(FILE.open("rb")),
        "stream": lambda: django.http.StreamingHttpResponse(iter(["pa", "rt"]), content_type="text/x-parts"),
        "async-stream": lambda: django.http.StreamingHttpResponse(_parts(), content_type="text/x-parts"),
    }

    def answer(request: django.http.HttpRequest, kind: str) -> Any:
        del request
        if kind == "missing":
            raise django.http.Http404("no such thing")
        if kind == "handled":
            raise django.core.exceptions.PermissionDenied("no")
        response = made["text" if kind == "cookies" else kind]()
        if kind == "cookies":
            response.set_cookie("a", "1")
            response.set_cookie("b", "2", httponly=True)
        return response

    def echo(request: Any, item: str) -> Any:
        files = {name: (file.name, file.read().decode()) for name, file in request.FILES.items()}
        query = [(name, value) for name, values in request.GET.lists() for value in values if name != "wait"]
        body = "" if request.POST or files else request.body.decode()
        return django.http.JsonResponse(
            {"item": item, "query": query, "form": request.POST.dict(), "files": files, "body": body}
        )

    def paths(path: str, view: Callable[[Any, str], Any]) -> Iterator[Any]:
        @stepserve.endpoint(client, framework="django", name=path)
        def durable(request: django.http.HttpRequest, word: str, step: StepSync) -> Any:
            pause(step, request.GET)
            return view(request, word)

        @stepserve.endpoint(client, framework="django", name=f"{path}_async")
        async def durable_async(request: django.http.HttpRequest, word: str, step: Step) -> Any:
            await pause_async(step, request.GET)
            return view(request, word)

        yield django.urls.path(f"sync/{path}/<word>", durable)
        yield django.urls.path(f"async/{path}/<word>", durable_async)

    module: Any = ModuleType("endpoint_answer_urls")
    module.urlpatterns = [*paths("answer", answer), *paths("echo", echo)]
    settings.ROOT_URLCONF = module
    django.urls.clear_url_caches()
    return ASGIHandler()


class Template(django.template.response.SimpleTemplateResponse):
    """A response that is made when it is rendered."""

    def __init__(self, template: Any) -> None:
        super().__init__("unused")
        self._made = template

    @property
    def rendered_content(self) -> str:
        return str(self._made.render(django.template.Context({"name": "<1>"})))

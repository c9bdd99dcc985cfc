"""What `endpoint_answers` has for other frameworks, for Tornado, whose handlers write their answers."""

from __future__ import annotations

import pathlib
from collections.abc import Callable
from typing import Any

import tornado.web

import stepserve
from stepserve import Inngest, Step
from tests.adapters.endpoint_answers import pause_async


def tornado_app(client: Inngest, folder: pathlib.Path) -> Any:
    (folder / "page.html").write_text("<b>{{ name }}</b>", encoding="utf-8")

    class Answer(tornado.web.RequestHandler):
        @stepserve.endpoint(client, framework="tornado")
        async def post(self, kind: str, step: Step) -> None:
            await pause_async(step, {"wait": self.get_query_argument("wait", "")})
            if kind == "missing":
                raise tornado.web.HTTPError(404, reason="no such thing")
            if kind == "handled":
                self.write("finished")
                raise tornado.web.Finish
            made[kind](self)

    made: dict[str, Callable[[Any], Any]] = {
        "bytes": lambda handler: handler.write(b"\x00\xff"),
        "text": lambda handler: handler.finish("h\u00e9llo"),
        "json": lambda handler: handler.write({"a": [1]}),
        "status": lambda handler: (handler.set_status(201), handler.set_header("x-made", "yes")),
        "redirect": lambda handler: handler.redirect("/elsewhere", status=303),
        "empty": lambda handler: handler.set_status(204),
        "template": lambda handler: handler.render("page.html", name="<1>"),
        "cookies": lambda handler: (handler.set_cookie("a", "1"), handler.set_cookie("b", "2", httponly=True)),
        "stream": lambda handler: (handler.write("pa"), handler.flush(), handler.write("rt")),
    }

    class Echo(tornado.web.RequestHandler):
        @stepserve.endpoint(client, framework="tornado")
        async def post(self, item: str, step: Step) -> None:
            await pause_async(step, {"wait": self.get_query_argument("wait", "")})
            arguments = self.request.query_arguments.items()
            query = [(name, value.decode()) for name, values in arguments for value in values if name != "wait"]
            form = {name: values[0].decode() for name, values in self.request.body_arguments.items()}
            files = {name: (one[0].filename, one[0].body.decode()) for name, one in self.request.files.items()}
            body = "" if form or files else self.request.body.decode()
            self.write({"item": item, "query": query, "form": form, "files": files, "body": body})

    routes = [("/async/answer/(.*)", Answer), ("/async/echo/(.*)", Echo)]
    return tornado.web.Application(routes, template_path=str(folder))

"""What is special to Tornado: rules, its settings, the headers that it adds, its loop."""

from __future__ import annotations

import gzip
import http.client
from typing import Any

import pytest
import tornado.httputil
import tornado.ioloop
import tornado.web

import stepserve.tornado
from stepserve import Context, ContextSync, Inngest, Middleware
from stepserve.testing.contract.fixtures import make_client
from stepserve.testing.contract.harness import Sender
from stepserve.testing.contract.recorder import Recorder
from stepserve.testing.contract.served import PATH, App, assert_signed, call_body, sign
from tests.adapters.answering import TRIGGER, answering
from tests.frameworks.tornado import serve


def _served(client: Inngest, **settings: Any) -> tornado.web.Application:
    app = tornado.web.Application(**settings)
    stepserve.tornado.serve(app, client, [answering(client)])
    return app


def test_rules_take_the_options_of_serve(client: Inngest, recorder: Recorder) -> None:
    rules: list[Any] = stepserve.tornado.rules(
        client, [answering(client)], enable_unauthed_sync=False, serve_origin="foo.com", public_path="/pub"
    )
    with serve(tornado.web.Application(rules)) as port:
        unsigned, signed = Sender(port)("PUT", PATH), App(Sender(port)).request("PUT")

    assert (unsigned.status, signed.status) == (401, 200)
    assert recorder.requests[0].json()["url"] == "https://foo.com/pub"


@pytest.mark.parametrize("method", ["GET", "POST", "PUT", "DELETE"])
def test_every_response_has_one_content_type(client: Inngest, method: str) -> None:
    with serve(_served(client)) as port, Sender(port).begin(method, PATH, call_body(), []) as connection:
        response: http.client.HTTPResponse = connection.getresponse()
        types = response.headers.get_all("content-type")

    assert types == ["application/json"]


def test_cross_site_protection_of_the_app_stays_out_of_the_way(client: Inngest) -> None:
    class Own(tornado.web.RequestHandler):
        def post(self) -> None:
            self.write("protected")

    app = _served(client, xsrf_cookies=True, cookie_secret="secret")
    app.add_handlers(".*", [("/own", Own)])
    with serve(app) as port:
        own = Sender(port)("POST", "/own")
        answered = App(Sender(port)).call("answer")

    assert own.status == 403
    assert answered.json() == 42


def test_responses_are_not_cached(client: Inngest) -> None:
    with serve(_served(client)) as port:
        told = App(Sender(port)).request("GET")
        matched = App(Sender(port)).request("GET", headers=[("if-none-match", "*")])

    assert "etag" not in told.headers
    assert matched.status == 200


def test_a_response_that_the_app_compresses_is_signed_uncompressed(client: Inngest) -> None:
    @client.create_function(fn_id="long", trigger=TRIGGER)
    def long(ctx: ContextSync) -> str:
        return "x" * 2_000

    app = tornado.web.Application(compress_response=True)
    stepserve.tornado.serve(app, client, [long])
    with serve(app) as port:
        query, headers = "?fnId=shop-long&stepId=step", [("accept-encoding", "gzip")]
        reply = App(Sender(port)).request("POST", call_body(), query=query, headers=headers)
    unpacked = reply._replace(body=gzip.decompress(reply.body))

    assert reply.headers["content-encoding"] == "gzip"
    assert unpacked.json() == "x" * 2_000
    assert_signed(unpacked)


def test_the_path_is_taken_literally(client: Inngest) -> None:
    app = tornado.web.Application()
    stepserve.tornado.serve(app, client, [answering(client)], serve_path="/a.b+(c)")
    with serve(app) as port:
        assert App(Sender(port), "/a.b+(c)").call("answer").json() == 42
        assert Sender(port)("GET", "/axb+(c)").status == 404
        assert Sender(port)("GET", "/a.b+(c)/d").status == 404


def test_an_app_is_served_on_every_host_and_found_by_its_name(client: Inngest) -> None:
    app = _served(client)
    with serve(app) as port:
        reply = Sender(port)("GET", PATH, b"", [("host", "other.example.com"), ("x-inngest-signature", sign(b""))])

    assert reply.status == 200
    assert app.reverse_url("stepserve_shop") == PATH


def test_async_functions_run_on_the_ioloop_of_the_server(client: Inngest) -> None:
    loops: list[object] = []

    class Own(tornado.web.RequestHandler):
        def get(self) -> None:
            loops.append(tornado.ioloop.IOLoop.current())

    @client.create_function(fn_id="where", trigger=TRIGGER)
    async def where(ctx: Context) -> None:
        loops.append(tornado.ioloop.IOLoop.current())

    app = tornado.web.Application([("/own", Own)])
    stepserve.tornado.serve(app, client, [where])
    with serve(app) as port:
        Sender(port)("GET", "/own")
        App(Sender(port)).call("where")

    assert len(loops) == 2
    assert loops[0] is loops[1]


def test_middleware_is_given_the_request_with_its_body(recorder: Recorder) -> None:
    seen: list[object] = []

    class Keeps(Middleware):
        def before_response(self) -> None:
            seen.append(self.raw_request)

    client = make_client(recorder, middleware=[Keeps])
    body = call_body(data={"text": "é"})
    with serve(_served(client)) as port:
        App(Sender(port)).call("answer", body=body)
    (raw,) = seen

    assert isinstance(raw, tornado.httputil.HTTPServerRequest)
    assert (raw.path, raw.body) == (PATH, body)


def test_two_apps_can_be_served_by_one_application(recorder: Recorder) -> None:
    first, second = make_client(recorder), make_client(recorder, app_id="billing (eu)")
    app = _served(first)
    stepserve.tornado.serve(app, second, [answering(second)], serve_path="/second")
    with serve(app) as port:
        answered = App(Sender(port)).call("answer")
        query = "?fnId=billing%20(eu)-answer&stepId=step"
        other = App(Sender(port), "/second").request("POST", call_body(), query=query)

    assert (answered.json(), other.json()) == (42, 42)

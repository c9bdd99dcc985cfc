"""What is special to Bottle: merged apps, hooks that read the body, the server that it brings, decoded paths."""

from __future__ import annotations

import wsgiref.simple_server
from collections.abc import Generator
from contextlib import contextmanager
from typing import Any

import bottle  # type: ignore[import-untyped] # pyright: ignore[reportMissingTypeStubs] # Bottle has no types
import pytest

import stepserve.bottle
from stepserve import Context, Inngest, Middleware
from stepserve.testing.contract.fixtures import make_client
from stepserve.testing.contract.harness import Sender
from stepserve.testing.contract.recorder import Recorder
from stepserve.testing.contract.served import PATH, App, call_body
from tests.adapters.answering import TRIGGER, answering
from tests.frameworks import servers

CURRENT: Any = bottle.request


@contextmanager
def _wsgiref(app: Any) -> Generator[int, None, None]:
    """Serve as `bottle.run()` does by default: one request at a time, chunked bodies left as they are."""

    class Quiet(wsgiref.simple_server.WSGIRequestHandler):
        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the name that the base class gives it
            """Keep quiet."""

    with (
        wsgiref.simple_server.make_server("127.0.0.1", 0, app, handler_class=Quiet) as server,
        servers.in_thread(lambda: server.serve_forever(poll_interval=0.02), server.shutdown),
    ):
        yield server.server_port


SERVERS = pytest.mark.parametrize("server", [servers.waitress, _wsgiref])


def test_an_app_can_be_merged_and_takes_the_options_of_serve(client: Inngest, recorder: Recorder) -> None:
    app = bottle.Bottle()
    functions = [answering(client)]
    app.merge(
        stepserve.bottle.application(
            client, functions, path="/jobs", enable_unauthed_sync=False, serve_origin="foo.com", public_path="/pub"
        )
    )
    with servers.waitress(app) as port:
        unsigned, signed = Sender(port)("PUT", "/jobs"), App(Sender(port), "/jobs").request("PUT")

    assert (unsigned.status, signed.status) == (401, 200)
    assert recorder.requests[0].json()["url"] == "https://foo.com/pub"


@SERVERS
@pytest.mark.parametrize("chunked", [False, True])
@pytest.mark.parametrize("size", [1, 40_000])
@pytest.mark.parametrize("is_read_before", [False, True])
def test_bodies_come_through_whoever_reads_them_first(
    recorder: Recorder, server: Any, chunked: bool, size: int, is_read_before: bool
) -> None:
    lengths: list[int] = []
    body = call_body(data={"text": "x" * size})

    class Measures(Middleware):
        def before_response(self) -> None:
            raw: Any = self.raw_request
            lengths.append(len(raw.environ["wsgi.input"].read()))

    client = make_client(recorder, middleware=[Measures])
    app = bottle.Bottle()
    if is_read_before:
        app.add_hook("before_request", lambda: lengths.append(len(CURRENT.body.read())))
    stepserve.bottle.serve(app, client, [answering(client)])
    pieces = [body[start : start + 10_000] for start in range(0, len(body), 10_000)]
    with server(app) as port:
        answered = App(Sender(port)).call("answer", body=pieces if chunked else body)

    assert answered.json() == 42
    assert lengths == [len(body)] * (2 if is_read_before else 1)


@SERVERS
def test_the_reported_path_may_be_in_any_script(client: Inngest, recorder: Recorder, server: Any) -> None:
    app = stepserve.bottle.application(client, [answering(client)], path="/日本/é")
    with server(app) as port:
        reply = Sender(port)("PUT", "/%E6%97%A5%E6%9C%AC/%C3%A9")

    assert reply.status == 200
    assert recorder.requests[0].json()["url"].endswith("/%E6%97%A5%E6%9C%AC/%C3%A9")


@pytest.mark.parametrize("colour", ["def", "async def"])
def test_middleware_is_given_a_request_that_any_thread_can_read(recorder: Recorder, colour: str) -> None:
    seen: list[Any] = []

    class Keeps(Middleware):
        def before_response(self) -> None:
            seen.append(self.raw_request)

    client = make_client(recorder, middleware=[Keeps])

    @client.create_function(fn_id="answer", trigger=TRIGGER)
    async def answer(ctx: Context) -> None:
        return

    app = bottle.Bottle()
    stepserve.bottle.serve(app, client, [answering(client) if colour == "def" else answer])
    with servers.waitress(app) as port:
        App(Sender(port)).call("answer")
    (raw,) = seen

    assert type(raw) is bottle.Request
    assert raw.path == PATH


def test_plugins_of_the_app_see_the_route(client: Inngest) -> None:
    seen: list[str] = []

    def plugin(callback: Any) -> Any:
        def wrapped(**arguments: Any) -> Any:
            seen.append(CURRENT.route.name)
            return callback(**arguments)

        return wrapped

    app: Any = bottle.Bottle()
    app.install(plugin)
    stepserve.bottle.serve(app, client, [answering(client)])
    with servers.waitress(app) as port:
        assert App(Sender(port)).call("answer").json() == 42

    assert seen == ["stepserve_shop"]
    assert app.get_url("stepserve_shop") == PATH

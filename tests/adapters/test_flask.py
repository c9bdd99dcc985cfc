"""What is special to Flask: blueprints, its context, its hooks."""

from __future__ import annotations

from collections.abc import Callable, Generator
from contextlib import AbstractContextManager, contextmanager
from typing import Any

import flask
import pytest

import stepserve.flask
from stepserve import Context, ContextSync, Inngest, Middleware
from stepserve.testing.contract.fixtures import make_client
from stepserve.testing.contract.harness import Sender
from stepserve.testing.contract.recorder import Recorder
from stepserve.testing.contract.served import App, call_body
from tests.adapters.answering import TRIGGER, answering
from tests.frameworks import servers


@contextmanager
def _served(app: flask.Flask) -> Generator[Sender, None, None]:
    with servers.waitress(app) as port:
        yield Sender(port)


@pytest.mark.parametrize(
    ("prefix", "path", "served"),
    [
        (None, "/api/inngest", "/api/inngest"),
        ("/internal", "/api/inngest", "/internal/api/inngest"),
        ("/internal", "/jobs", "/internal/jobs"),
        ("/internal", "", "/internal"),
    ],
)
def test_a_blueprint_serves_below_its_prefix(
    client: Inngest, recorder: Recorder, prefix: str | None, path: str, served: str
) -> None:
    app = flask.Flask("shop")
    app.register_blueprint(stepserve.flask.blueprint(client, [answering(client, 42)], path=path), url_prefix=prefix)
    with _served(app) as send:
        answered = App(send, served).call("answer")
        send("PUT", served)

    assert answered.json() == 42
    assert recorder.requests[0].json()["url"] == send.origin + served


def test_a_blueprint_takes_the_options_of_serve(client: Inngest, recorder: Recorder) -> None:
    app = flask.Flask("shop")
    made = stepserve.flask.blueprint(
        client, [answering(client, 1)], enable_unauthed_sync=False, serve_origin="foo.com", public_path="/pub"
    )
    app.register_blueprint(made)
    with _served(app) as send:
        unsigned, signed = send("PUT", "/api/inngest"), App(send).request("PUT")

    assert (unsigned.status, signed.status) == (401, 200)
    assert recorder.requests[0].json()["url"] == "https://foo.com/pub"


def test_two_apps_can_be_served_by_one_flask_app(recorder: Recorder) -> None:
    app = flask.Flask("shop")
    first, second = make_client(recorder), make_client(recorder, app_id="billing (eu)")
    stepserve.flask.serve(app, first, [answering(first, 1)])
    stepserve.flask.serve(app, second, [answering(second, 2)], serve_path="/second")
    with _served(app) as send:
        answered = App(send).call("answer")
        other = App(send, "/second").request("POST", call_body(), query="?fnId=billing%20(eu)-answer&stepId=step")

    assert (answered.json(), other.json()) == (1, 2)


def test_a_mounted_app_reports_its_script_name(client: Inngest, recorder: Recorder) -> None:
    from werkzeug.middleware.dispatcher import DispatcherMiddleware

    inner = flask.Flask("shop")
    stepserve.flask.serve(inner, client, [answering(client, 1)])
    outer = flask.Flask("outer")
    dispatcher: Any = DispatcherMiddleware(outer, {"/sub": inner})
    with _served(dispatcher) as send:
        send("PUT", "/sub/api/inngest")

    assert recorder.requests[0].json()["url"] == send.origin + "/sub/api/inngest"


@pytest.mark.parametrize("colour", ["def", "async def"])
def test_the_contexts_of_flask_are_visible(client: Inngest, colour: str) -> None:
    @client.create_function(fn_id="sees", trigger=TRIGGER)
    def sees(ctx: ContextSync) -> list[str]:
        return [flask.current_app.name, flask.request.path, flask.g.user]

    @client.create_function(fn_id="sees", trigger=TRIGGER)
    async def sees_async(ctx: Context) -> list[str]:
        return [flask.current_app.name, flask.request.path, flask.g.user]

    app = flask.Flask("shop")

    @app.before_request
    def set_user() -> None:
        flask.g.user = "ada"

    assert set_user is not None
    stepserve.flask.serve(app, client, [sees if colour == "def" else sees_async])
    with _served(app) as send:
        answered = App(send).call("sees")

    assert answered.json() == ["shop", "/api/inngest", "ada"]


def test_middleware_is_given_the_request_itself(recorder: Recorder) -> None:
    seen: list[object] = []

    class Keeps(Middleware):
        def before_response(self) -> None:
            seen.append(self.raw_request)

    client = make_client(recorder, middleware=[Keeps])
    app = flask.Flask("shop")
    stepserve.flask.serve(app, client, [answering(client, 1)])
    with _served(app) as send:
        App(send).call("answer")
    (raw,) = seen

    # Not the proxy: it would be dead by now.
    assert type(raw) is flask.Request
    assert raw.path == "/api/inngest"


@pytest.mark.parametrize("server", [servers.waitress, servers.werkzeug])
@pytest.mark.parametrize("size", [1, 3_000_000])
def test_hooks_of_the_app_may_read_the_body_first(
    client: Inngest, server: Callable[[Any], AbstractContextManager[int]], size: int
) -> None:
    lengths: list[int] = []
    app = flask.Flask("shop")

    @app.before_request
    def measure() -> None:
        lengths.append(len(flask.request.get_data()))

    assert measure is not None
    stepserve.flask.serve(app, client, [answering(client, 1)])
    body = call_body(data={"text": "x" * size})
    with server(app) as port:
        answered = App(Sender(port)).call("answer", body=body)

    assert answered.json() == 1
    assert lengths == [len(body)]


def test_a_body_above_the_limit_of_the_app_is_refused(client: Inngest) -> None:
    app = flask.Flask("shop")
    app.config["MAX_CONTENT_LENGTH"] = 1_000
    stepserve.flask.serve(app, client, [answering(client, 1)])
    with _served(app) as send:
        small = App(send).call("answer")
        large = App(send).request("POST", call_body(data={"text": "x" * 1_000}), query="?fnId=shop-answer")

    assert small.json() == 1
    assert large.status == 413


def test_other_routes_stay_what_they_are(client: Inngest) -> None:
    app = flask.Flask("shop")
    stepserve.flask.serve(app, client, [answering(client, 1)])

    @app.get("/")
    def index() -> str:
        return "open"

    assert index() == "open"
    with _served(app) as send:
        assert send("GET", "/").body == b"open"
        assert send("GET", "/api/inngest/below").status == 404

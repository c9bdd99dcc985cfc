"""What is special to Pyramid: includes, its security defaults, subscribers that read the body."""

from __future__ import annotations

import warnings
from typing import Any

import pytest

with warnings.catch_warnings():
    # WebOb imports `cgi`, and older Pyramids `pkg_resources`; both are deprecated.
    warnings.simplefilter("ignore")
    import pyramid.config  # type: ignore[import-untyped] # pyright: ignore[reportMissingTypeStubs] # Pyramid has no types
    import pyramid.events  # type: ignore[import-untyped] # pyright: ignore[reportMissingTypeStubs]
    import pyramid.request  # type: ignore[import-untyped] # pyright: ignore[reportMissingTypeStubs]
    import pyramid.response  # type: ignore[import-untyped] # pyright: ignore[reportMissingTypeStubs]

import stepserve.pyramid
from stepserve import Inngest, Middleware
from stepserve.testing.contract.fixtures import make_client
from stepserve.testing.contract.harness import Sender
from stepserve.testing.contract.recorder import Recorder
from stepserve.testing.contract.served import PATH, App, call_body
from tests.adapters.answering import answering
from tests.frameworks import servers


def _own(request: Any) -> Any:
    return pyramid.response.Response("open")


def test_an_included_route_takes_the_options_of_serve(client: Inngest, recorder: Recorder) -> None:
    config: Any = pyramid.config.Configurator()
    functions = [answering(client)]
    included = stepserve.pyramid.routes(
        client, functions, path="/jobs", enable_unauthed_sync=False, serve_origin="foo.com", public_path="/pub"
    )
    config.include(included, route_prefix="internal")
    with servers.waitress(config.make_wsgi_app()) as port:
        unsigned, signed = Sender(port)("PUT", "/internal/jobs"), App(Sender(port), "/internal/jobs").request("PUT")

    assert (unsigned.status, signed.status) == (401, 200)
    assert recorder.requests[0].json()["url"] == "https://foo.com/pub"


def test_defaults_of_the_app_about_people_do_not_apply(client: Inngest) -> None:
    class Nobody:
        def permits(self, request: Any, context: Any, permission: str) -> bool:
            return False

    config: Any = pyramid.config.Configurator()
    config.set_security_policy(Nobody())
    config.set_default_permission("view")
    config.set_default_csrf_options(require_csrf=True)
    config.add_route("own", "/own")
    config.add_view(_own, route_name="own")
    stepserve.pyramid.serve(config, client, [answering(client)])
    with servers.waitress(config.make_wsgi_app()) as port:
        own = Sender(port)("GET", "/own")
        answered = App(Sender(port)).call("answer")

    assert own.status == 403
    assert answered.json() == 42


@pytest.mark.parametrize("size", [1, 4_000])
@pytest.mark.parametrize("how", ["nobody", "body", "body_file"])
def test_subscribers_of_the_app_may_read_the_body_first(recorder: Recorder, size: int, how: str) -> None:
    lengths: list[int] = []
    body = call_body(data={"text": "x" * size})

    class Measures(Middleware):
        def before_response(self) -> None:
            raw: Any = self.raw_request
            lengths.append(len(raw.body))

    def measure(event: Any) -> None:
        request = event.request
        if how == "body_file":
            request.make_body_seekable()
        if how != "nobody":
            lengths.append(len(request.body if how == "body" else request.body_file.read()))

    client = make_client(recorder, middleware=[Measures])
    config: Any = pyramid.config.Configurator()
    config.add_subscriber(measure, pyramid.events.NewRequest)
    stepserve.pyramid.serve(config, client, [answering(client)])
    app = config.make_wsgi_app()
    with servers.waitress(app) as port:
        answered = App(Sender(port)).call("answer", body=body)

    assert answered.json() == 42
    assert lengths == [len(body)] * (1 if how == "nobody" else 2)


def test_middleware_is_given_the_request(recorder: Recorder) -> None:
    seen: list[object] = []

    class Keeps(Middleware):
        def before_response(self) -> None:
            seen.append(self.raw_request)

    client = make_client(recorder, middleware=[Keeps])
    config: Any = pyramid.config.Configurator()
    stepserve.pyramid.serve(config, client, [answering(client)])
    with servers.waitress(config.make_wsgi_app()) as port:
        App(Sender(port)).call("answer")
    (raw,) = seen

    assert isinstance(raw, pyramid.request.Request)
    assert raw.path == PATH


def test_two_apps_can_be_served_by_one_application(recorder: Recorder) -> None:
    first, second = make_client(recorder), make_client(recorder, app_id="billing (eu)")
    config: Any = pyramid.config.Configurator()
    stepserve.pyramid.serve(config, first, [answering(first)])
    stepserve.pyramid.serve(config, second, [answering(second)], serve_path="/second")
    with servers.waitress(config.make_wsgi_app()) as port:
        answered = App(Sender(port)).call("answer")
        query = "?fnId=billing%20(eu)-answer&stepId=step"
        other = App(Sender(port), "/second").request("POST", call_body(), query=query)

    assert (answered.json(), other.json()) == (42, 42)

"""Where an app is served, what it reports as its URL, and what `serve()` refuses (protocol.md 1.3, 1.5)."""

from __future__ import annotations

from typing import Any

import pytest

from stepserve import Inngest, errors
from stepserve.testing.contract.fixtures import Make
from stepserve.testing.contract.harness import Harness
from stepserve.testing.contract.recorder import Recorder
from stepserve.testing.contract.served import APP_ID, App, call_body


@pytest.mark.parametrize(
    ("options", "variables", "mounted", "reported"),
    [
        ({}, {}, "/api/inngest", "{origin}/api/inngest"),
        ({"serve_path": "/jobs"}, {}, "/jobs", "{origin}/jobs"),
        ({"serve_path": "jobs"}, {}, "/jobs", "{origin}/jobs"),
        ({}, {"INNGEST_SERVE_PATH": "/jobs"}, "/jobs", "{origin}/jobs"),
        ({"serve_path": "/a"}, {"INNGEST_SERVE_PATH": "/b"}, "/a", "{origin}/a"),
        ({"public_path": "/pub"}, {}, "/api/inngest", "{origin}/pub"),
        ({"public_path": "/pub", "serve_path": "/jobs"}, {}, "/jobs", "{origin}/pub"),
        ({"serve_origin": "foo.com"}, {}, "/api/inngest", "https://foo.com/api/inngest"),
        ({"serve_origin": "http://foo.com:99/abc", "serve_path": "/p"}, {}, "/p", "http://foo.com:99/p"),
        ({}, {"INNGEST_SERVE_ORIGIN": "https://env.com"}, "/api/inngest", "https://env.com/api/inngest"),
        (
            {"serve_origin": "https://arg.com"},
            {"INNGEST_SERVE_ORIGIN": "https://env.com"},
            "/api/inngest",
            "https://arg.com/api/inngest",
        ),
    ],
)
@pytest.mark.parametrize("colour", ["def"], indirect=True)
def test_the_path_and_the_reported_url_can_be_chosen(
    harness: Harness,
    client: Inngest,
    recorder: Recorder,
    make_functions: Make,
    monkeypatch: pytest.MonkeyPatch,
    options: dict[str, Any],
    variables: dict[str, str],
    mounted: str,
    reported: str,
) -> None:
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    with harness.mount(client, make_functions(client), **options) as send:
        reply = send("PUT", mounted + "?deployId=3")
        inspected = App(send, mounted).request("GET").json()
    url = reported.format(origin=send.origin)
    told = recorder.requests[0].json()

    assert reply.status == 200
    assert told["url"] == url
    assert told["functions"][0]["steps"]["step"]["runtime"]["url"] == f"{url}?fnId=shop-two-steps&stepId=step"
    # These are what the code says, not what the environment says.
    assert inspected["serve_origin"] == options.get("serve_origin")
    assert inspected["serve_path"] == options.get("serve_path")


def test_the_reported_origin_is_that_of_the_request(app: App, recorder: Recorder) -> None:
    app.send("PUT", app.path, headers=[("host", "shop.localhost:123")])

    assert recorder.requests[0].json()["url"] == "http://shop.localhost:123/api/inngest"


def test_query_parameters_may_be_odd(app: App) -> None:
    query = "?stepId=step&fnId=shop%2Dtwo-steps&fnId=other&empty=&=x&&a=%ff&b=%F0%9F%98%80;c&d=+"
    reply = app.request("POST", call_body(), query=query)

    assert reply.status == 206


@pytest.mark.parametrize("query", ["", "?", "?fnId=", "?stepId=step", "?FNID=shop-echo"])
def test_a_call_that_names_no_function_is_an_error(app: App, query: str) -> None:
    reply = app.request("POST", call_body(), query=query)

    assert reply.status == 500
    assert reply.json() == {"code": "query_param_missing", "message": "fnId", "name": "QueryParamMissingError"}


@pytest.mark.parametrize("name", ["shop-unknown", "two-steps", "two-steps-failure", "shop-tw%C3%B6", "%00"])
def test_a_call_of_an_unknown_function_is_an_error(app: App, name: str) -> None:
    reply = app.request("POST", call_body(), query=f"?fnId={name}&stepId=step")

    assert reply.status == 500
    assert reply.json()["code"] == "function_not_found"
    assert reply.json()["name"] == "FunctionNotFoundError"


def test_production_needs_a_signing_key_when_it_starts(
    harness: Harness, make_functions: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("INNGEST_SIGNING_KEY", raising=False)
    client = Inngest(app_id=APP_ID, is_production=True)

    with pytest.raises(errors.SigningKeyMissingError, match="INNGEST_SIGNING_KEY"):
        harness.build(client, make_functions(client), None)


def test_two_functions_with_the_same_id_are_refused_when_the_app_starts(
    harness: Harness, client: Inngest, make_functions: Make
) -> None:
    functions = make_functions(client)

    with pytest.raises(errors.FunctionConfigInvalidError, match="two-steps"):
        harness.build(client, [*functions, functions[0]], None)


def test_what_is_not_a_function_is_refused_when_the_app_starts(harness: Harness, client: Inngest) -> None:
    plain: Any = len

    with pytest.raises(errors.ConfigurationError, match="create_function"):
        harness.build(client, [plain], None)

"""Apps below prefixes and behind proxies: what they report as their URL (protocol.md 1.5)."""

from __future__ import annotations

import pytest

from stepserve import Inngest
from stepserve.testing.contract.fixtures import Make
from stepserve.testing.contract.harness import Harness, Headers, Sender
from stepserve.testing.contract.recorder import Recorder
from stepserve.testing.contract.served import PATH, App

FORWARDED: Headers = [
    ("x-forwarded-for", "203.0.113.9"),
    ("x-forwarded-proto", "https"),
    ("x-forwarded-host", "shop.example.com"),
    ("x-forwarded-prefix", "/shop"),
]
OTHERS: Headers = [
    ("forwarded", "for=203.0.113.9;proto=https;host=other.example.com"),
    ("x-original-url", "/other"),
    ("x-rewrite-url", "/other"),
    ("x-script-name", "/other"),
    ("x-forwarded-path", "/other"),
]


def _expected_url(send: Sender, believed: frozenset[str]) -> str:
    scheme = "https" if "proto" in believed else "http"
    host = "shop.example.com" if "host" in believed else f"127.0.0.1:{send.port}"
    prefix = "/shop" if "prefix" in believed else ""
    return f"{scheme}://{host}{prefix}{PATH}"


def test_what_anybody_says_about_a_proxy_is_not_believed(app: App, harness: Harness, recorder: Recorder) -> None:
    app.send("PUT", PATH, headers=[*FORWARDED, *OTHERS])

    expected = _expected_url(app.send, harness.FORWARDED_BY_DEFAULT)
    assert recorder.requests[0].json()["url"] == expected, "declare FORWARDED_BY_DEFAULT"


@pytest.mark.parametrize("colour", ["def"], indirect=True)
def test_a_proxy_is_believed_where_the_server_is_told_to_trust_it(
    harness: Harness, client: Inngest, recorder: Recorder, make_functions: Make
) -> None:
    if not harness.FORWARDED_IF_TRUSTED:
        pytest.skip(f"{type(harness).__name__} declares no way to trust a proxy")
    with harness.serve_behind_proxy(harness.build(client, make_functions(client), None)) as port:
        send = Sender(port)
        send("PUT", PATH, headers=FORWARDED)
        answered = App(send).call("two-steps").status

    assert recorder.requests[0].json()["url"] == _expected_url(send, harness.FORWARDED_IF_TRUSTED)
    assert answered == 206


@pytest.mark.parametrize("prefix", ["/below", "/a/b", "/api", "/api/inngest"])
@pytest.mark.parametrize("colour", ["def"], indirect=True)
def test_an_app_below_a_prefix_is_found_and_reports_it(
    harness: Harness, client: Inngest, recorder: Recorder, make_functions: Make, prefix: str
) -> None:
    ways = harness.build_below(prefix, client, make_functions(client))
    if not ways:
        pytest.skip(f"{type(harness).__name__} declares no way to serve below a prefix")
    reported: dict[str, str] = {}
    expected: dict[str, str] = {}
    for way, app in ways.items():
        recorder.forget()
        with harness.serve(app) as port:
            send = Sender(port)
            send("PUT", prefix + PATH)
            expected[way] = send.origin + prefix + PATH
            reported[way] = recorder.requests[0].json()["url"]

            assert App(send, prefix + PATH).call("two-steps").status == 206, way

    assert reported == expected

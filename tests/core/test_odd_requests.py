"""Whatever comes, the answer says what is wrong: whoever has no key gets a 401, and nobody meets a bug of ours."""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from stepserve_core import errors
from stepserve_core._protocol import Request
from stepserve_core._signature import verify
from stepserve_core.errors import UnauthorizedError
from stepserve_core.handler import Handler
from tests.core.calls import (
    EVENT,
    KEY,
    OTHER_KEY,
    call_body,
    cloud_client,
    define,
    hashed,
    make_handler,
    post,
    serve,
    sign,
)
from tests.core.colours import COLOURS

QUICK = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])

header_text = st.text(max_size=80) | st.binary(max_size=80).map(lambda raw: raw.decode("latin-1"))
forged = st.builds(
    lambda body, key, age: sign(body, key, at=int(time.time()) - age),
    st.binary(max_size=8),
    st.sampled_from([OTHER_KEY, "", "signkey-test-", KEY.upper()]),
    st.sampled_from([0, 299, -59, 10**9]),
)
"""Signatures that look right, and were made without the key."""
signatures = st.none() | header_text | st.builds("t={}&s={}".format, header_text, header_text) | forged
spoken = header_text | st.sampled_from(["dev", "cloud", "in_band", "out_of_band", "application/json"])
urls = st.sampled_from(["http://app.test/api/inngest", "http://[/api/inngest", "http://a:b/", "//", "http://\udcff/"])
json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=6,
)
MEMOS = {
    hashed("charge"): {"data": {"id": "C-1"}},
    hashed("nap"): None,
    hashed("paid"): {"data": {**EVENT, "name": "shop/paid"}},
    hashed("told"): {"error": {"name": "ValueError", "message": "no", "stack": "…"}},
    hashed("asked"): {"data": [1, 2]},
}
executed: list[str] = []


async def uses_steps(ctx: Any) -> object:
    """Use a step of each kind."""
    executed.append("function")
    charged = await ctx.step.run("charge", lambda: {"id": "C-1"})
    await ctx.step.sleep("nap", 1000)
    paid = await ctx.step.wait_for_event("paid", event="shop/paid", timeout=1000)
    try:
        await ctx.step.run("told", lambda: 1)
    except Exception as error:
        return [str(error), ctx.attempt, ctx.run_id, len(ctx.events), ctx.event.data, paid and paid.name]
    return [charged, await ctx.step.invoke_by_id("asked", function_id="g", data={})]


@pytest.fixture(scope="module", params=COLOURS)
def handler(request: pytest.FixtureRequest) -> Handler:
    client = cloud_client()
    return make_handler(client, define(client, request.param, uses_steps), enable_unauthed_sync=False)


@pytest.fixture
def records(caplog: pytest.LogCaptureFixture) -> Iterator[list[logging.LogRecord]]:
    """Return what was logged with a traceback: errors that nobody thought of."""
    found: list[logging.LogRecord] = []
    yield found
    found += caplog.records

    assert [] == [record.getMessage() for record in found if record.exc_info]


@QUICK
@given(signatures)
@example("t=１&s=ａ")
@example("t=" + "9" * 400 + "&s=ab")
@example("t=1&s=" + "a" * 100_000)
@example("t=-1&s=ab")
def test_any_header_is_a_signature_or_refused(header: str | None) -> None:
    """With an error that becomes a 401."""
    with pytest.raises(UnauthorizedError):
        verify(b"{}", header, [KEY], 1_700_000_000)


@QUICK
@given(
    st.sampled_from(["GET", "POST", "PUT", "HEAD"]),
    st.dictionaries(st.sampled_from(["x-inngest-server-kind", "x-inngest-sync-kind", "content-type"]), spoken),
    signatures,
    st.binary(max_size=200) | json_values.map(lambda value: json.dumps(value).encode()),
    urls,
    st.text(max_size=30) | st.sampled_from(["fnId=app-f&stepId=step", "probe=trust", "fnId=app-f&fnId=x"]),
)
def test_whoever_has_no_key_is_refused(
    handler: Handler, method: str, headers: dict[str, str], signature: str | None, body: bytes, url: str, query: str
) -> None:
    """Whatever is asked, with whatever headers and body; nothing is executed."""
    executed.clear()
    if signature is not None:
        headers = {**headers, "x-inngest-signature": signature}
    reply = serve(handler, Request(method, f"{url}?{query}", headers, body))

    assert (401, {"message": "Unauthorized"}, []) == (reply.status, reply.json, executed)


@pytest.mark.parametrize("url", ["http://[/api/inngest", "http://a.]b/api/inngest", "http://\udcff/api/inngest"])
@pytest.mark.parametrize("colour", COLOURS)
def test_a_host_header_that_is_no_host_is_refused(records: list[logging.LogRecord], colour: Any, url: str) -> None:
    """Before anybody is asked to register it; whoever has no key may ask for a sync where that is not switched off."""
    client = cloud_client()
    reply = serve(make_handler(client, define(client, colour, uses_steps)), Request("PUT", url, {}, b""))

    assert (400, "url_invalid", "URLInvalidError") == (reply.status, reply.json["code"], reply.json["name"])
    del records


@st.composite
def spoilt_calls(draw: st.DrawFn) -> Any:
    """A call in which something is another value than it should be, or is missing."""
    steps, events = draw(st.sampled_from([{}, MEMOS])), draw(st.sampled_from([[], [EVENT, EVENT]]))
    call = json.loads(json.dumps(call_body(steps=steps, events=events)))
    for _ in range(draw(st.integers(1, 3))):
        here: Any = call
        while True:
            if not (isinstance(here, (dict, list)) and here):
                break
            place = draw(st.sampled_from(sorted(here) if isinstance(here, dict) else range(len(here))))
            if isinstance(here[place], (dict, list)) and here[place] and draw(st.booleans()):
                here = here[place]
                continue
            if draw(st.booleans()):
                here[place] = draw(json_values)
            else:
                del here[place]
            break
    return call


@QUICK
@given(spoilt_calls())
def test_a_signed_call_that_is_wrong_is_answered_with_what_is_wrong(handler: Handler, call: Any) -> None:
    """Or served, where that does not matter. The answer is signed, and never an error that nobody thought of."""
    body = json.dumps(call).encode()
    reply = serve(handler, post("app-f", body, headers={"x-inngest-signature": sign(body)}))

    assert reply.status in (200, 206, 400, 500)
    assert "x-inngest-signature" in reply.headers
    if reply.status in (400, 500):
        assert reply.json["code"]
        assert reply.json["message"]
        assert hasattr(errors, reply.json["name"]), reply.json


@QUICK
@given(st.binary(max_size=60) | st.text(max_size=60).map(lambda text: text.encode()))
@example(b"[" * 100_000)
@example(b'{"a":' * 100_000)
@example(b"\xff\xfe")
@example(b"")
def test_a_signed_body_that_is_no_call_is_refused(
    handler: Handler, records: list[logging.LogRecord], body: bytes
) -> None:
    """With what is wrong with it."""
    executed.clear()
    reply = serve(handler, post("app-f", body, headers={"x-inngest-signature": sign(body)}))

    assert ("body_invalid", []) == (reply.json["code"], executed)
    assert "x-inngest-signature" in reply.headers
    del records


@QUICK
@given(st.text(max_size=40), st.text(max_size=40))
def test_any_query_is_answered(
    handler: Handler, records: list[logging.LogRecord], function_id: str, target: str
) -> None:
    """By what is known of such a function, or of such a step."""
    body = json.dumps(call_body(steps=MEMOS)).encode()
    url = f"http://app.test/api/inngest?fnId={function_id}&stepId={target}"
    reply = serve(handler, Request("POST", url, {"x-inngest-signature": sign(body)}, body))

    assert reply.json["code"] in ("function_not_found", "query_param_missing")
    del records

"""What a request costs that nobody signed: what checking its signature costs, whatever its body (design.md 5).

Costs are counted, not timed: calls that the interpreter makes, and bytes that it allocates.
"""

from __future__ import annotations

import json
import sys
import tracemalloc
from collections.abc import Callable
from typing import Any

import pytest

from stepserve_core._protocol import Request
from stepserve_core._refusals import Refusals
from stepserve_core.errors import SignatureExpiredError
from stepserve_core.handler import Handler
from tests.core.calls import OTHER_KEY, call_body, cloud_client, define, make_handler, post, serve, sign
from tests.core.colours import COLOURS

SMALL, LARGE = 1024, 4 * 1024 * 1024
_IN_PIECES = 4
"""Calls that hashing a long body in pieces takes more than hashing a short one at once."""

Refused = Callable[[bytes], dict[str, str]]

REFUSALS: dict[str, Refused] = {
    "no signature": lambda body: {},
    "no text of a signature": lambda body: {"x-inngest-signature": "t=1"},
    "a very long signature": lambda body: {"x-inngest-signature": "t=1&s=" + "a" * 60_000},
    "no ASCII": lambda body: {"x-inngest-signature": "t=１&s=ａ"},
    "too old": lambda body: {"x-inngest-signature": sign(body, at=1_000_000_000)},
    "too new": lambda body: {"x-inngest-signature": sign(body, at=9_000_000_000)},
    "made with another key": lambda body: {"x-inngest-signature": sign(body, OTHER_KEY)},
}
BODIES: dict[str, Callable[[int], bytes]] = {
    "a call": lambda size: json.dumps(call_body(event={"name": "a", "data": {"text": "x" * size}})).encode(),
    "many memos": lambda size: json.dumps(
        call_body(steps={f"{n:040}": {"data": n} for n in range(size // 64)})
    ).encode(),
    "deep JSON": lambda size: b"[" * size,
    "no JSON": lambda size: b"\xff" * size,
    "many numbers": lambda size: b"[" + b"1e308," * (size // 6) + b"1]",
}


async def returns(ctx: Any) -> str:
    """Return at once."""
    del ctx
    return "done"


@pytest.fixture(params=COLOURS)
def handler(request: pytest.FixtureRequest) -> Handler:
    client = cloud_client()
    return make_handler(client, define(client, request.param, returns))


def count_calls(handler: Handler, request: Request, status: int) -> int:
    """Serve a request, and return how many functions, methods and builtins were called for it."""
    count = 0

    def note(frame: object, event: str, argument: object) -> None:
        nonlocal count
        del frame, argument
        count += event in ("call", "c_call")

    sys.setprofile(note)
    try:
        response = handler.handle(request)
    finally:
        sys.setprofile(None)

    assert status == response.status
    return count


def count_bytes(handler: Handler, request: Request) -> int:
    """Serve a request, and return how many bytes it took at its peak beside the body that had come."""
    tracemalloc.start()
    try:
        before = tracemalloc.get_traced_memory()[0]
        handler.handle(request)
        return tracemalloc.get_traced_memory()[1] - before
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("body", BODIES.values(), ids=BODIES)
@pytest.mark.parametrize("refused", REFUSALS.values(), ids=REFUSALS)
def test_a_refusal_costs_the_same_whatever_the_body(
    handler: Handler, refused: Refused, body: Callable[[int], bytes]
) -> None:
    """Nothing grows with it but the pass of the hash over its bytes."""
    small, large = (post("app-f", content, headers=refused(content)) for content in (body(SMALL), body(LARGE)))
    serve(handler, small, entry="handle")

    assert count_calls(handler, large, 401) <= count_calls(handler, small, 401) + _IN_PIECES
    assert count_bytes(handler, large) < 64 * 1024


@pytest.mark.parametrize("refused", REFUSALS.values(), ids=REFUSALS)
def test_a_refusal_costs_less_than_an_accepted_call(handler: Handler, refused: Refused) -> None:
    """Of the least call that there is."""
    content = json.dumps(call_body()).encode()
    accepted = post("app-f", content, headers={"x-inngest-signature": sign(content)})
    unsigned = post("app-f", content, headers=refused(content))
    for request in (accepted, unsigned):  # what is made once, and the one line in the log
        serve(handler, request, entry="handle")

    assert count_calls(handler, unsigned, 401) < count_calls(handler, accepted, 200)


def test_a_short_body_is_tried_again_in_canonical_form_and_no_more(handler: Handler) -> None:
    """That is the one thing that a body costs: at most 16 KiB are parsed (protocol.md 2.4)."""
    wrong = {"x-inngest-signature": sign(b"", OTHER_KEY)}
    longest = b"[" + b"1," * (8 * 1024 - 2) + b"10]"

    assert 16 * 1024 == len(longest)
    assert count_bytes(handler, post("app-f", longest, headers=wrong)) < 1024 * 1024
    assert count_bytes(handler, post("app-f", longest + b" ", headers=wrong)) < 64 * 1024


def test_refusals_are_told_once_in_a_second_and_counted(caplog: pytest.LogCaptureFixture) -> None:
    """So that nobody without a key can fill the log."""
    now = 0.0
    refusals = Refusals(cloud_client(), clock=lambda: now)
    for moment in (0.0, 0.1, 0.9, 1.0, 1.5, 7.0, 9.0):
        now = moment
        refusals.tell(SignatureExpiredError(f"at {moment}"))

    assert [
        "refused a request: at 0.0",
        "refused a request: at 1.0 (and 2 more since the last line)",
        "refused a request: at 7.0 (and 1 more since the last line)",
        "refused a request: at 9.0",
    ] == [record.getMessage() for record in caplog.records]

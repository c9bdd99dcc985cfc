"""Both packages answer random calls of random functions alike."""

from __future__ import annotations

import contextlib
import hashlib
import json
import time
from collections.abc import Callable, Generator
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings

from stepserve_core._canonical import canonicalize
from stepserve_core._signature import sign
from tests.core.local_server import LocalServer, Recorded, Reply
from tests.peers.differential.both import FALLBACK, KEY, Answer, Served
from tests.peers.differential.differences import DIFFERENCES, find_difference
from tests.peers.differential.programs import Do
from tests.peers.differential.requests import BAD_BODIES, Case, cases, make_body

Pair = Callable[..., tuple[Answer, Answer]]
EXAMPLES = 150
LENIENT = ("event is a number", "events are nothing", "event without data", "event with null data")


def took(request: Recorded) -> Reply:
    """Take events, and name them by their number."""
    events: Any = request.json()
    return Reply(200, json.dumps({"ids": [str(n) for n in range(len(events))], "status": 200}).encode())


@pytest.fixture(scope="module", params=["flask", "fast_api"])
def framework(request: pytest.FixtureRequest) -> str:
    """Serve `def` functions from Flask and `async def` functions from FastAPI."""
    return str(request.param)


@pytest.fixture(scope="module")
def event_api() -> Generator[str, None, None]:
    """Serve the API that events are sent to."""
    with LocalServer(took) as server:
        yield server.origin


@contextlib.contextmanager
def pair(framework: str, event_api: str, *, is_production: bool) -> Generator[Pair, None, None]:
    """Make what asks both packages."""
    served = [
        Served(name, framework, is_production=is_production, event_api=event_api) for name in ("inngest", "stepserve")
    ]

    def ask(*request: Any) -> tuple[Answer, Answer]:
        official, ours = (one.answer(*request) for one in served)
        return official, ours

    yield ask
    for one in served:
        one.close()


@pytest.fixture(scope="module")
def dev(framework: str, event_api: str) -> Generator[Pair, None, None]:
    """Ask both packages in dev mode."""
    with pair(framework, event_api, is_production=False) as ask:
        yield ask


@pytest.fixture(scope="module")
def cloud(framework: str, event_api: str) -> Generator[Pair, None, None]:
    """Ask both packages in production, with two keys."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("INNGEST_SIGNING_KEY_FALLBACK", FALLBACK)
        with pair(framework, event_api, is_production=True) as ask:
            yield ask


@given(case=cases())
@settings(
    max_examples=EXAMPLES,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
def test_a_call_is_answered_alike(dev: Pair, case: Case) -> None:
    body = json.dumps(case.body).encode()

    official, ours = dev(case.program, "POST", f"?fnId=app-f&stepId={case.target}", {}, body)

    assert official == ours or find_difference(case, official, ours)


STEP = hashlib.sha1(b"a").hexdigest()
OTHER = hashlib.sha1(b"b").hexdigest()
RUN, COLLIDING, END = Do("run", "a", 1), Do("run", "a:1"), Do("return", "", 1)


def case_of(program: tuple[Do, ...], steps: dict[str, Any], target: str) -> Case:
    """Return a call as servers make it."""
    return Case(program, json.loads(make_body({"steps": steps})), target)


@pytest.mark.parametrize(
    ("name", "case"),
    [
        ("done", case_of((RUN, Do("run", "b", 2), END), {STEP: {"data": 1}}, STEP)),
        ("missed", case_of((END,), {}, STEP)),
        ("missed in a group", case_of((Do("parallel", "", "wait", ((RUN,),)), RUN, END), {}, OTHER)),
        (
            "colliding",
            case_of((Do("parallel", "", "wait", ((RUN, RUN), (Do("run", "a:1"),))),), {STEP: {"data": 1}}, "step"),
        ),
        (
            "work kept",
            case_of(
                (Do("parallel", "", "wait", ((RUN,), (Do("run", "b", 1),))), END),
                {OTHER: {"error": {"name": "E", "message": "m", "stack": None}}},
                STEP,
            ),
        ),
    ],
)
def test_a_listed_difference_is_one(dev: Pair, name: str, case: Case) -> None:
    body = json.dumps(case.body).encode()

    official, ours = dev(case.program, "POST", f"?fnId=app-f&stepId={case.target}", {}, body)

    assert official != ours
    assert name == find_difference(case, official, ours)


def test_every_difference_has_a_reason_and_an_example() -> None:
    assert {"done", "missed", "missed in a group", "colliding", "work kept"} == set(DIFFERENCES)
    assert all(one.reason for one in DIFFERENCES.values())


CALL = "?fnId=app-f&stepId=step"
GOOD = make_body({})
DETAILS = "the message says the same in other words, with a code of its own instead of `unknown`"


@pytest.mark.parametrize(
    ("query", "body", "expected", "reason"),
    [
        *((CALL, body, (500, 500), DETAILS) for name, body in BAD_BODIES.items() if name not in LENIENT),
        (CALL, BAD_BODIES["event is a number"], (500, 200), "events are checked when they are read"),
        (CALL, BAD_BODIES["events are nothing"], (500, 200), "the one event is there"),
        (CALL, BAD_BODIES["event without data"], (200, 200), None),
        (CALL, BAD_BODIES["event with null data"], (200, 200), None),
        ("", GOOD, (500, 500), None),
        ("?stepId=step", GOOD, (500, 500), None),
        ("?fnId=", GOOD, (500, 500), "an empty parameter counts as missing"),
        ("?fnId=app-f", GOOD, (200, 200), None),
        ("?fnId=app-f&stepId=", GOOD, (200, 200), None),
        ("?fnId=app%2Df&stepId=step", GOOD, (200, 200), None),
        ("?fnId=nobody&stepId=step", GOOD, (500, 500), DETAILS),
        ("?fnId=f&stepId=step", GOOD, (500, 500), DETAILS),
        ("?fnId=app-f-failure&stepId=step", GOOD, (500, 500), DETAILS),
    ],
)
def test_what_is_wrong_with_a_call_is_answered_alike(
    dev: Pair, query: str, body: bytes, expected: tuple[int, int], reason: str | None
) -> None:
    official, ours = dev((END,), "POST", query, {}, body)

    assert expected == (official.status, ours.status)
    assert (official == ours) is (reason is None)


@pytest.mark.parametrize(
    ("method", "headers", "status"),
    [
        ("POST", {"x-inngest-signature": "garbage"}, 200),
        ("POST", {"x-inngest-server-kind": "cloud"}, 200),
        ("POST", {"content-type": "text/plain"}, 200),
        ("GET", {}, 200),
        ("GET", {"x-inngest-server-kind": "cloud"}, 403),
        ("PUT", {"x-inngest-server-kind": "cloud"}, 400),
        ("DELETE", {}, 405),
    ],
)
def test_requests_in_dev_mode_are_answered_alike(dev: Pair, method: str, headers: dict[str, str], status: int) -> None:
    official, ours = dev((END,), method, CALL, headers, GOOD if method == "POST" else None)

    assert (status, official) == (ours.status, ours)


IN_BAND = {"x-inngest-sync-kind": "in_band"}
SYNC = b'{"url":"https://x.com/api/inngest"}'
CANONICAL = canonicalize(GOOD)
PRETTY = json.dumps(json.loads(GOOD), indent=1).encode()
EVEN_IF_NOT_CANONICAL = "the bytes that were signed are the bytes that came"


def signed(body: bytes, key: str = KEY, age: int = 0) -> dict[str, str]:
    """Return the signature header of a request."""
    return {"x-inngest-signature": sign(body, key, int(time.time()) - age)}


@pytest.mark.parametrize(
    ("method", "query", "headers", "body", "expected", "reason"),
    [
        ("POST", CALL, lambda: signed(CANONICAL), CANONICAL, (200, 200), None),
        ("POST", CALL, lambda: signed(CANONICAL, FALLBACK), CANONICAL, (200, 200), None),
        ("POST", CALL, lambda: signed(CANONICAL), PRETTY, (200, 200), None),
        ("POST", CALL, lambda: signed(PRETTY), PRETTY, (401, 200), EVEN_IF_NOT_CANONICAL),
        ("POST", CALL, lambda: signed(b"{"), b"{", (401, 500), EVEN_IF_NOT_CANONICAL),
        ("POST", CALL, lambda: signed(CANONICAL, "signkey-test-aaaa"), CANONICAL, (401, 401), None),
        ("POST", CALL, lambda: signed(CANONICAL + b" "), CANONICAL, (401, 401), None),
        ("POST", CALL, dict, CANONICAL, (401, 401), None),
        ("POST", CALL, lambda: {"x-inngest-signature": "garbage"}, CANONICAL, (401, 401), None),
        ("POST", CALL, lambda: signed(CANONICAL, age=3600), CANONICAL, (200, 401), "too old (15.1, 6)"),
        ("POST", CALL, lambda: signed(CANONICAL, age=-3600), CANONICAL, (200, 401), "in the future (15.1, 6)"),
        ("POST", "?probe=trust", lambda: signed(b""), b"", (200, 200), None),
        ("POST", "?probe=trust", dict, b"", (401, 401), None),
        ("POST", "?probe=other", lambda: signed(b""), b"", (500, 500), DETAILS),
        ("GET", "", dict, None, (401, 401), None),
        ("GET", "", lambda: signed(b""), None, (200, 200), None),
        ("GET", "", lambda: signed(b"x"), None, (401, 401), None),
        ("PUT", "", lambda: {**signed(SYNC), **IN_BAND}, SYNC, (200, 200), None),
        ("PUT", "", lambda: IN_BAND, SYNC, (401, 401), None),
        ("PUT", "", lambda: {**signed(b"[]"), **IN_BAND}, b"[]", (500, 500), DETAILS),
    ],
)
def test_requests_in_production_are_answered_alike(
    cloud: Pair,
    method: str,
    query: str,
    headers: Callable[[], dict[str, str]],
    body: bytes | None,
    expected: tuple[int, int],
    reason: str | None,
) -> None:
    official, ours = cloud((END,), method, query, headers(), body)

    assert expected == (official.status, ours.status)
    assert (official == ours) is (reason is None)

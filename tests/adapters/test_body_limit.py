"""A body that is too large is refused before all of it is in memory, whoever sent it (`handler.BODY_LIMIT`)."""

from __future__ import annotations

import gzip
import importlib
import sys
import zlib
from collections.abc import Callable, Iterable

import pytest

import stepserve
from stepserve.testing.contract.harness import Harness, Sender
from stepserve.wsgi import read_body
from tests.frameworks.aiohttp import Aiohttp

LIMIT = 100_000
PATH = "/api/inngest?fnId=limited-f&stepId=step"
HARNESSES = [
    ("aiohttp", "Aiohttp"),
    ("asgi", "ASGIOnUvicorn"),
    ("bottle", "BottleOnWaitress"),
    ("django", "DjangoOnUvicorn"),
    ("django", "DjangoOnWaitress"),
    ("falcon", "FalconOnWaitress"),
    ("fastapi", "FastAPIOnUvicorn"),
    ("flask", "FlaskOnWaitress"),
    ("http_server", "HTTPServer"),
    ("litestar", "LitestarOnUvicorn"),
    ("pyramid", "PyramidOnWaitress"),
    ("starlette", "StarletteOnUvicorn"),
    ("tornado", "Tornado"),
    ("wsgi", "WSGIOnGunicorn"),
]

client = stepserve.Inngest(app_id="limited", is_production=True, signing_key="signkey-test-abcd")


@client.create_function(fn_id="f", trigger=stepserve.TriggerEvent(event="a"))
def function(ctx: stepserve.ContextSync) -> None:
    """Return at once."""
    del ctx


@pytest.fixture(params=HARNESSES, ids=lambda row: row[1])
def harness(request: pytest.FixtureRequest) -> Harness:
    module, name = request.param
    made: Harness = getattr(importlib.import_module(f"tests.frameworks.{module}"), name)()
    return made


def set_limit(monkeypatch: pytest.MonkeyPatch, limit: int) -> Iterable[str]:
    """Lower the limit wherever it is used; return the names of the modules."""
    using = [
        name for name, module in sys.modules.items() if name.startswith("stepserve") and hasattr(module, "BODY_LIMIT")
    ]
    for name in using:
        monkeypatch.setattr(f"{name}.BODY_LIMIT", limit)
    return using


def test_what_is_too_large_is_refused(harness: Harness, monkeypatch: pytest.MonkeyPatch) -> None:
    """With a declared length, and in pieces; what is just small enough is looked at: its signature is missing."""
    app = harness.build(client, [function], None)

    assert "stepserve_core._admission" in set_limit(monkeypatch, LIMIT)
    with harness.serve(app) as port:
        send = Sender(port)
        fitting = send("POST", PATH, b"x" * LIMIT)
        large = send("POST", PATH, b"x" * (LIMIT + 1))
        in_pieces = send("POST", PATH, [b"x" * 10_000] * 11)
        after = send("GET", "/api/inngest")

    assert [401, 413, 413, 401] == [reply.status for reply in (fitting, large, in_pieces, after)]
    assert {"message": "Body too large"} == large.json()
    assert "x-inngest-sdk" not in large.headers


@pytest.mark.parametrize("packed", [gzip.compress, zlib.compress], ids=["gzip", "deflate"])
def test_a_body_that_is_small_only_as_long_as_it_is_packed_is_refused(
    monkeypatch: pytest.MonkeyPatch, packed: Callable[[bytes], bytes]
) -> None:
    """Where the server unpacks it: what counts is what would be in memory."""
    harness = Aiohttp()
    bomb = packed(b"0" * 50 * LIMIT)
    encoding = "gzip" if packed is gzip.compress else "deflate"
    app = harness.build(client, [function], None)
    set_limit(monkeypatch, LIMIT)
    with harness.serve(app) as port:
        refused = Sender(port)("POST", PATH, bomb, [("content-encoding", encoding)])

    assert harness.DECODES_GZIP
    assert len(bomb) < LIMIT / 10
    assert (413, {"message": "Body too large"}) == (refused.status, refused.json())


class Source:
    """A body without end that counts what is read of it."""

    def __init__(self) -> None:
        self.size = 0

    def read(self, size: int) -> bytes:
        """Return as much as is asked for."""
        self.size += size
        return b"x" * size


def test_wsgi_reads_one_byte_more_than_it_takes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever length the request says that it has."""
    set_limit(monkeypatch, LIMIT)
    for environ in ({"CONTENT_LENGTH": str(10**12)}, {"wsgi.input_terminated": True}):
        source = Source()

        assert LIMIT + 1 == len(read_body({**environ, "wsgi.input": source}))
        assert LIMIT + 1 == source.size

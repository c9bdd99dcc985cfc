"""The executor's API under fire: requests made from its OpenAPI document, right ones and wrong ones."""

from __future__ import annotations

import contextlib
import socket
import sys
from collections.abc import Generator
from pathlib import Path
from typing import Any

import httpx
import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from schemathesis import GenerationMode

from stepserve_core.executor.api.openapi import BODIES, QUERIES, describe
from stepserve_core.executor.api.routes import ROUTES
from tests.cli.command import child, environment, running

KEY = "signkey-test-abcd"
DOCUMENT = describe(ROUTES)
OPERATIONS = [(path, method) for path, methods in DOCUMENT["paths"].items() for method in methods]
STREAMS = {"/v1/live", "/v1/realtime/sse"}
"""What does not end by itself once it is answered; whoever may not ask is refused like everywhere."""

OPEN = {("/health", "get")}
"""What everybody may ask, also where there are keys."""

BOMBS = [b"[" * 100_000, b'{"a":' * 50_000, b"\xff\xfe", b"", b"null", b"1e999", b'{"name":' + b"9" * 5000 + b"}"]


@pytest.fixture(scope="module")
def development() -> Generator[str]:
    """Return the URL of a development server that has synced an app."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    app = [sys.executable, "-m", "uvicorn", "--port", str(port), "--log-level", "warning", "tests.cli.shop:app"]
    root = Path(__file__).parents[2]
    with (
        running("dev", "--port", "0", "--poll-interval", "60", "--no-discovery") as server,
        child(app, environment(INNGEST_BASE_URL=server.url), root),
    ):
        for _ in range(400):
            with contextlib.suppress(httpx.TransportError):
                if httpx.put(f"http://127.0.0.1:{port}/api/inngest").status_code == 200:
                    break
        yield server.url

        assert not [line for line in server.log if "Traceback" in line]


@pytest.fixture(scope="module")
def production(tmp_path_factory: pytest.TempPathFactory) -> Generator[str]:
    """Return the URL of a server that wants keys."""
    database = tmp_path_factory.mktemp("production") / "runs.db"
    keys = ("--signing-key", KEY, "--event-key", "event-key")
    with running("start", "--port", "0", *keys, "--db", str(database)) as server:
        yield server.url


def test_every_table_of_the_document_belongs_to_a_route() -> None:
    """A path that is renamed takes its parameters along."""
    posts = {path for path, method in OPERATIONS if method == "post"}

    assert set() == QUERIES.keys() - DOCUMENT["paths"].keys()
    assert set() == BODIES.keys() - posts


@pytest.mark.parametrize(("path", "method"), OPERATIONS)
def test_every_operation_says_what_it_does(path: str, method: str) -> None:
    """In the first sentence of its function's documentation."""
    assert len(DOCUMENT["paths"][path][method]["summary"]) > 3


@pytest.mark.parametrize(("path", "method"), [row for row in OPERATIONS if row[0] not in STREAMS])
def test_no_request_ends_in_an_error_of_the_server(development: str, path: str, method: str) -> None:
    """Right and wrong requests of every operation; whatever is wrong is the request's fault, and is said in JSON."""
    schema = schemathesis.openapi.from_dict(DOCUMENT)
    schema.config.update(base_url=development)
    operation = schema[path][method.upper()]
    right: Any = operation.as_strategy(generation_mode=GenerationMode("positive"))
    wrong: Any = operation.as_strategy(generation_mode=GenerationMode("negative"))

    @settings(
        max_examples=12,
        deadline=None,
        phases=[Phase.explicit, Phase.generate],
        suppress_health_check=[HealthCheck.filter_too_much, HealthCheck.too_slow],
        derandomize=True,
    )
    @given(case=right | wrong)
    def call(case: Any) -> None:
        response = case.call(timeout=20)

        assert response.status_code < 500 or response.status_code == 501, response.text

    call()


@pytest.mark.parametrize("body", BOMBS, ids=lambda body: f"{body[:6]!r} ({len(body)} bytes)")
@pytest.mark.parametrize("path", BODIES)
def test_bodies_that_are_bombs_are_refused(development: str, path: str, body: bytes) -> None:
    """Deep, empty, no JSON at all."""
    url = development + path.replace("{key}", "dev").replace("{", "").replace("}", "")
    response = httpx.post(url, content=body, headers={"content-type": "application/json"}, timeout=20)

    assert response.status_code < 500


@pytest.mark.parametrize(("path", "method"), sorted(set(OPERATIONS) - OPEN))
def test_whoever_has_no_key_learns_nothing(production: str, path: str, method: str) -> None:
    """Also with a key that is wrong; sending wants an event key."""
    url = production + path.replace("{", "").replace("}", "")
    for token in ({}, {"authorization": "Bearer signkey-test-beef"}, {"authorization": "Bearer " + "a" * 60_000}):
        response = httpx.request(method, url, headers=token, content=b"{}")

        assert response.status_code in ((404,) if path == "/dev" else (401, 431))

"""Values that break what was not built for them, in every place where the API takes one: none is an error of ours."""

from __future__ import annotations

import itertools
import json
import re
from collections.abc import AsyncGenerator
from typing import Any
from urllib.parse import quote

import httpx
import pytest

from stepserve_core.executor.api.openapi import BODIES, QUERIES, describe
from stepserve_core.executor.api.routes import ROUTES
from stepserve_core.executor.server import ServerConfig, serving

pytestmark = pytest.mark.anyio

DOCUMENT = describe(ROUTES)
STREAMS = {"/v1/live", "/v1/realtime/sse"}
OPERATIONS = [
    (path, method) for path, methods in DOCUMENT["paths"].items() if path not in STREAMS for method in methods
]
ULID = "01ARZ3NDEKTSV4RRFFQ69G5FAV"

TEXTS = [
    "' OR 1=1 --",
    "\0",
    "../../../etc/passwd",
    "x" * 5_000,
    "٣",
    str(2**63),
    "9" * 5_000,
    "1e400",
    "0001-01-01T00:00:00+23:59",
    "9999-12-31T23:59:59.999999-23:59",
]
VALUES: list[Any] = ["\0", "9" * 5_000, 2**63, -(2**63) - 1, 10**400, 1e308, True, None, [], {"": [None]}]
RAW = ['"\\ud800"', "1e999", "-0", '"\\u0000"', "9" * 5_000]
"""JSON that Python would not write."""

RIGHT: dict[str, Any] = {
    "appName": "shop",
    "data": {},
    "functions": [],
    "generation_id": 1,
    "metadata": [{"kind": "user.a", "op": "merge", "values": {}}],
    "name": "a",
    "run_id": ULID,
    "signal": "s",
    "started_before": "2024-01-01T00:00:00Z",
    "steps": [],
    "url": "http://127.0.0.1:9/api",
    "value": 1,
}
FIELDS: dict[str, tuple[str, ...]] = {
    "/v1/checkpoint/{id}/async": ("fn_id", "qi_id", "generation_id", "steps"),
    "/v1/checkpoint/{id}/steps": ("fn_id", "qi_id", "generation_id", "steps"),
    "/v1/checkpoint": ("run_id", "event", "steps", "request_version", "retries", "fn_slug", "app_id"),
}
"""What else bodies have, beside what the document says."""


@pytest.fixture
def anyio_backend() -> str:
    """Async tests run on asyncio."""
    return "asyncio"


@pytest.fixture
async def http() -> AsyncGenerator[httpx.AsyncClient]:
    """Return a client of a development server."""
    async with (
        serving(ServerConfig(port=0, database=None, poll=False)) as server,
        httpx.AsyncClient(base_url=server.url, timeout=20) as client,
    ):
        yield client


def bare(path: str) -> str:
    """Return a path with something in place of its parameters."""
    return path.replace("{id}", ULID).replace("{", "").replace("}", "")


async def check(http: httpx.AsyncClient, method: str, url: str, **content: Any) -> None:
    """Make a request that is wrong in some way, and see that the server says so."""
    response = await http.request(method, url, **content)

    assert response.status_code < 500 or response.status_code == 501, f"{method} {url[:200]}: {response.text[:500]}"


@pytest.mark.parametrize("path", sorted(QUERIES.keys() - STREAMS))
async def test_in_the_query(http: httpx.AsyncClient, path: str) -> None:
    """Of each parameter that the document knows."""
    for (method, name), text in itertools.product(
        [(method, name) for method in DOCUMENT["paths"][path] for name in QUERIES[path]], TEXTS
    ):
        await check(http, method, bare(path), params=[(name, text)])


async def test_in_the_path(http: httpx.AsyncClient) -> None:
    """In place of each of its parts that are parameters."""
    for (path, method), text in itertools.product([one for one in OPERATIONS if "{" in one[0]], TEXTS):
        await check(http, method, re.sub(r"\{\w+\}", quote(text, safe=""), path), content=b"{}")


@pytest.mark.parametrize("path", [*FIELDS, *(path for path, body in BODIES.items() if "properties" in body)])
async def test_in_the_body(http: httpx.AsyncClient, path: str) -> None:
    """As the value of each field, next to values that are right."""
    fields = FIELDS.get(path) or tuple(BODIES[path]["properties"])
    right = {field: RIGHT.get(field, "x") for field in fields}
    for field, value in itertools.product(fields, [*(json.dumps(value) for value in VALUES), *RAW]):
        others = ",".join(f"{json.dumps(name)}:{json.dumps(right[name])}" for name in fields if name != field)
        body = f"{{{json.dumps(field)}:{value}{',' + others if others else ''}}}"
        await check(http, "POST", bare(path), content=body.encode(), headers={"content-type": "application/json"})


async def test_in_graphql(http: httpx.AsyncClient) -> None:
    """As every variable of a query that takes some."""
    query = """query($time: Time!, $after: String, $first: Int, $q: String, $apps: [UUID!]) {
      runs(filter: {from: $time, query: $q, appIDs: $apps}, after: $after, first: $first,
           orderBy: [{field: QUEUED_AT, direction: DESC}]) { edges { cursor node { id } } totalCount } }"""
    right = {"time": "2024-01-01T00:00:00Z", "first": 5}
    for name, value in itertools.product(("time", "after", "first", "q", "apps"), VALUES):
        variables = json.dumps({**right, name: value})
        await check(http, "POST", "/v0/gql", content=f'{{"query":{json.dumps(query)},"variables":{variables}}}')

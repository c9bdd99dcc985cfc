"""Requests that the executor makes for steps: what leaves, what is memoised, and where it does not go."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Generator
from typing import Any

import pytest

from stepserve_core.executor.gateway_messages import GatewayRequest
from stepserve_core.executor.gateway_policy import CLOUD_ENTRIES, DEV_ENTRIES, DestinationRefusedError, GatewayPolicy
from stepserve_core.executor.gateway_transport import (
    GatewayTransport,
    ReplyTooLargeError,
    TooManyRedirectsError,
    redirected,
)
from stepserve_core.executor.transport import TransportError
from tests.executor.conftest import StartSystem
from tests.executor.raw_app import Call, Fn, Step, StepFailedError, served

pytestmark = pytest.mark.anyio

Steps = Generator[Any, Any, Any]
ON_X = [{"event": "test/x"}]


class Site:
    """A web site that answers by path, and remembers what it was asked."""

    def __init__(self, **pages: tuple[int, dict[str, str], bytes]) -> None:
        self.pages = pages
        self.requests: list[tuple[str, str, dict[str, str], bytes]] = []
        self.hang: asyncio.Event | None = None

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        body = b""
        more = True
        while more:
            message = await receive()
            body += message.get("body", b"")
            more = message.get("more_body", False)
        headers = {name.decode(): value.decode() for name, value in scope["headers"]}
        self.requests.append((scope["method"], scope["path"], headers, body))
        if self.hang is not None:
            await self.hang.wait()
        status, given, content = self.pages[scope["path"].strip("/")]
        raw = [(name.encode(), value.encode()) for name, value in given.items()]
        await send({"type": "http.response.start", "status": status, "headers": raw})
        await send({"type": "http.response.body", "body": content})


def fetch(step_id: str, url: str, **opts: Any) -> Step:
    return Step("Gateway", step_id, opts={"url": url, **opts})


def fetching(url: str, **opts: Any) -> Any:
    def script(_: Call) -> Steps:
        try:
            return (yield fetch("page", url, **opts))
        except StepFailedError as error:
            return error.error

    return script


async def test_the_reply_of_a_fetch_is_the_memo_of_its_step(start: StartSystem) -> None:
    site = Site(page=(404, {"content-type": "text/plain; charset=iso-8859-1", "X-Mine": "yes"}, "né".encode("latin-1")))
    async with served(site) as origin:
        request = {"method": "put", "headers": {"X-Asked": "1", "Host": "evil"}, "body": "hello"}
        async with start(Fn("f", fetching(f"{origin}/page", **request), ON_X)) as system:
            status, output = await system.outcome(await system.send("test/x"))

    assert ("Completed", 404, "né", f"{origin}/page") == (status, output["status_code"], output["body"], output["url"])
    assert "yes" == output["headers"]["x-mine"]
    method, path, headers, body = site.requests[0]
    assert ("PUT", "/page", "1", b"hello") == (method, path, headers["x-asked"], body)
    assert (origin.removeprefix("http://"), "stepserve") == (headers["host"], headers["user-agent"])
    assert "content-type" not in headers


async def test_a_fetch_shows_its_request_in_the_timeline_but_no_headers(start: StartSystem) -> None:
    async with served(Site(page=(200, {}, b"ok"))) as origin:
        opts = {"headers": {"authorization": "secret"}, "body": "hello", "type": "step.fetch"}
        async with start(Fn("f", fetching(f"{origin}/page", **opts), ON_X)) as system:
            run = await system.run_of(await system.send("test/x"))
            step = (await system.trace(run["run_id"]))["steps"][0]

    assert {"input": ["hello"], "type": "step.fetch", "url": f"{origin}/page"} == step["detail"]


async def test_the_timeline_shows_no_credentials_of_a_url(start: StartSystem) -> None:
    async with served(Site(page=(200, {}, b"ok"))) as origin:
        url = origin.replace("//", "//user:secret@") + "/page?key=secret#secret"
        async with start(Fn("f", fetching(url), ON_X)) as system:
            run = await system.run_of(await system.send("test/x"))
            step = (await system.trace(run["run_id"]))["steps"][0]

    assert {"url": f"{origin}/page"} == step["detail"]


async def test_a_fetch_that_nobody_answers_is_retried_and_then_an_error_of_its_step(start: StartSystem) -> None:
    async with start(Fn("f", fetching("http://127.0.0.1:1/"), ON_X, retries=2)) as system:
        run = await system.run_of(await system.send("test/x"))
        step = (await system.trace(run["run_id"]))["steps"][0]

    assert ("Completed", "GatewayError") == (run["status"], run["output"]["name"])
    assert ["Failed", "Failed", "Failed"] == [attempt["status"] for attempt in step["attempts"]]


@pytest.mark.parametrize(
    ("url", "opts", "message"),
    [
        ("http://127.0.0.1:1/", {}, "loopback"),
        ("http://2130706433:1/", {}, "loopback"),
        ("http://0x7f.1:1/", {}, "loopback"),
        ("http://169.254.169.254/latest/meta-data", {}, "metadata"),
        ("http://[::ffff:10.0.0.1]/", {}, "private"),
        ("http://192.0.2.1/", {"method": "GET /x"}, "method"),
        ("http://192.0.2.1/", {"headers": {"a": 1}}, "Expected `str`"),
    ],
)
async def test_a_request_that_cannot_be_made_is_an_error_of_the_step_at_once(
    start: StartSystem, url: str, opts: dict[str, Any], message: str
) -> None:
    async with start(Fn("f", fetching(url, **opts), ON_X), gateway_allow=CLOUD_ENTRIES) as system:
        run = await system.run_of(await system.send("test/x"))
        step = (await system.trace(run["run_id"]))["steps"][0]

    assert "GatewayError" == run["output"]["name"]
    assert message in run["output"]["message"]
    assert 1 == len(step["attempts"])


async def test_the_policy_holds_for_models_too(start: StartSystem) -> None:
    def script(_: Call) -> Steps:
        try:
            yield Step("AIGateway", "ai", opts={"url": "http://169.254.169.254/", "body": {}})
        except StepFailedError as error:
            return error.error

    async with start(Fn("f", script, ON_X)) as system:
        _, error = await system.outcome(await system.send("test/x"))

    assert "AIGatewayError" == error["name"]
    assert "metadata" in error["message"]


async def test_the_key_of_a_model_is_not_in_the_error(start: StartSystem) -> None:
    def script(_: Call) -> Steps:
        try:
            opts = {"url": "http://127.0.0.1:1/models", "format": "gemini", "auth_key": "secret", "body": {}}
            yield Step("AIGateway", "ai", opts=opts)
        except StepFailedError as error:
            return error.error

    async with start(Fn("f", script, ON_X, retries=0)) as system:
        run = await system.run_of(await system.send("test/x"))
        trace = await system.trace(run["run_id"])

    assert "127.0.0.1" in run["output"]["message"]
    assert "secret" not in json.dumps(trace)


async def test_errors_show_urls_without_query_and_credentials() -> None:
    with pytest.raises(DestinationRefusedError, match=r"^'ftp://host.example/a' is not an http or https URL$"):
        await ask(DEV_ENTRIES, "ftp://me:secret@host.example/a?key=secret#b")


async def ask(entries: tuple[str, ...], url: str, resolve: Any = None, timeout: float = 5, **headers: str) -> Any:
    transport = GatewayTransport(GatewayPolicy(entries), resolve=resolve, timeout=timeout)
    try:
        return await transport.send(GatewayRequest("GET", url, headers, b""))
    finally:
        await transport.close()


async def test_the_connection_goes_to_the_address_that_was_checked() -> None:
    asked: list[str] = []

    async def rebinding(host: str, _: int) -> list[str]:
        asked.append(host)
        return ["127.0.0.1"] if len(asked) == 1 else ["169.254.169.254"]

    site = Site(page=(200, {}, b"ok"))
    async with served(site) as origin:
        port = origin.rpartition(":")[2]
        reply = await ask(("rebind.example",), f"http://rebind.example:{port}/page", rebinding)

    assert (200, ["rebind.example"]) == (reply.status, asked)
    assert f"rebind.example:{port}" == site.requests[0][2]["host"]


async def test_another_address_is_tried_if_one_does_not_answer() -> None:
    async def two(_host: str, _port: int) -> list[str]:
        return ["127.0.0.2", "127.0.0.1"]

    async with served(Site(page=(200, {}, b"ok"))) as origin:
        port = origin.rpartition(":")[2]
        reply = await ask(DEV_ENTRIES, f"http://two.example:{port}/page", two)

    assert b"ok" == reply.body


async def test_a_redirect_to_a_forbidden_address_is_refused() -> None:
    site = Site(go=(302, {"location": "http://169.254.169.254/latest"}, b""))
    async with served(site) as origin:
        with pytest.raises(DestinationRefusedError, match=r"169\.254\.169\.254"):
            await ask(DEV_ENTRIES, f"{origin}/go")


async def test_a_redirect_to_another_scheme_is_refused() -> None:
    async with served(Site(go=(302, {"location": "file:///etc/passwd"}, b""))) as origin:
        with pytest.raises(DestinationRefusedError, match="file:"):
            await ask(DEV_ENTRIES, f"{origin}/go")


async def test_redirects_are_followed_and_come_to_an_end() -> None:
    site = Site(go=(302, {"location": "page"}, b""), page=(200, {}, b"ok"), loop=(302, {"location": "loop"}, b""))
    async with served(site) as origin:
        reply = await ask(DEV_ENTRIES, f"{origin}/go")
        with pytest.raises(TooManyRedirectsError, match="more than 10 times"):
            await ask(DEV_ENTRIES, f"{origin}/loop")

    assert (f"{origin}/page", b"ok") == (reply.url, reply.body)


@pytest.mark.parametrize(
    ("method", "status", "location", "expected"),
    [
        ("POST", 302, "/b", ("GET", "http://a.example/b", {"authorization": "k"}, b"")),
        ("POST", 307, "/b", ("POST", "http://a.example/b", {"authorization": "k", "content-type": "t"}, b"x")),
        ("PUT", 301, "/b", ("PUT", "http://a.example/b", {"authorization": "k", "content-type": "t"}, b"x")),
        ("PUT", 303, "/b", ("GET", "http://a.example/b", {"authorization": "k"}, b"")),
        ("POST", 308, "http://c.example/b", ("POST", "http://c.example/b", {"content-type": "t"}, b"x")),
        ("POST", 308, "http://a.example:81/b", ("POST", "http://a.example:81/b", {"content-type": "t"}, b"x")),
    ],
)
async def test_a_redirect_asks_for_this_request(method: str, status: int, location: str, expected: Any) -> None:
    request = GatewayRequest(method, "http://a.example/a", {"authorization": "k", "content-type": "t"}, b"x")
    after = redirected(request, status, location)

    assert expected == (after.method, after.url, after.headers, after.body)


async def test_a_reply_over_the_limit_is_not_read_to_its_end() -> None:
    async with served(Site(page=(200, {}, b"x" * 5_000_000))) as origin:
        with pytest.raises(ReplyTooLargeError, match="4194304"):
            await ask(DEV_ENTRIES, f"{origin}/page")


async def test_a_reply_that_does_not_come_is_given_up() -> None:
    site = Site(page=(200, {}, b"ok"))
    site.hang = asyncio.Event()
    async with served(site) as origin:
        try:
            with pytest.raises(TransportError, match="did not answer"):
                await ask(DEV_ENTRIES, f"{origin}/page", timeout=0.05)
        finally:
            site.hang.set()


async def test_the_input_of_a_step_is_shown(start: StartSystem) -> None:
    def script(_: Call) -> Steps:
        opts = {"type": "step.ai.wrap", "input": [{"prompt": "hi"}, 2]}
        yield Step("StepRun", "one", lambda: 1, opts=opts)
        yield [Step("StepRun", "two", lambda: 2, opts=opts), Step("StepRun", "three", lambda: 3)]

    async with start(Fn("f", script, ON_X)) as system:
        run = await system.run_of(await system.send("test/x"))
        steps = {step["name"]: step for step in (await system.trace(run["run_id"]))["steps"]}

    shown = {"input": [{"prompt": "hi"}, 2], "type": "step.ai.wrap"}
    assert (shown, shown) == (steps["one"]["detail"], steps["two"]["detail"])
    assert "detail" not in steps["three"]
    assert json.dumps(2) == json.dumps(steps["two"]["output"])

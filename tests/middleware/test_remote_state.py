"""Outputs of steps in a store of the user's own, with a real S3-compatible server (protocol.md 9.6)."""

from __future__ import annotations

import json
import logging
import threading
from collections.abc import Iterator
from typing import Any

import pytest

import stepserve
from stepserve.experimental.remote_state_middleware import (
    InMemoryDriver,
    RemoteStateMiddleware,
    S3Driver,
    StateDriver,
)
from tests.core.calls import call, dev_client, hashed

boto3 = pytest.importorskip("boto3", reason="boto3 is not installed")
moto_server = pytest.importorskip("moto.server", reason="moto is not installed")

BUCKET = "step-outputs"


@pytest.fixture(scope="module")
def s3() -> Iterator[Any]:
    """Start an S3-compatible server; give a client with a bucket."""
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    server = moto_server.ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    client = boto3.client(
        "s3",
        endpoint_url=f"http://{host}:{port}",
        region_name="us-east-1",
        aws_access_key_id="id",
        aws_secret_access_key="secret",
    )
    client.create_bucket(Bucket=BUCKET)
    yield client
    client.close()
    server.stop()


@pytest.fixture(params=["memory", "s3"])
def driver(request: pytest.FixtureRequest, s3: Any) -> Any:
    """Run a test with each driver."""
    return InMemoryDriver() if request.param == "memory" else S3Driver(bucket=BUCKET, client=s3)


def client_with(driver: StateDriver) -> stepserve.Inngest:
    """Return a client with the middleware."""
    return dev_client(middleware=[RemoteStateMiddleware.factory(driver)])


async def three_steps(ctx: Any) -> object:
    """Return what three steps returned."""
    return [await ctx.step.run(name, lambda name=name: {"of": name, "é": None}) for name in "abc"]


@pytest.mark.filterwarnings("ignore:datetime.datetime.utcnow:DeprecationWarning")
def test_outputs_are_elsewhere_and_come_back(colour: str, driver: Any) -> None:
    client = client_with(driver)
    steps: dict[str, Any] = {}
    replies = []
    for _ in range(4):
        replies.append(call(colour, three_steps, client=client, steps=steps))
        if replies[-1].status == 206:
            (op,) = replies[-1].json
            steps[op["id"]] = {"data": op["data"]}

    assert (200, [{"of": name, "é": None} for name in "abc"]) == replies[-1][:2]
    assert '"of"' not in json.dumps(steps)  # the keys of the store are random letters


@pytest.mark.parametrize("output", [None, 0, "", [], {"a": [1.5]}])
def test_every_output_comes_back_as_it_was(colour: str, driver: Any, output: Any) -> None:
    async def body(ctx: Any) -> object:
        return await ctx.step.run("a", lambda: output)

    client = client_with(driver)
    (op,) = call(colour, body, client=client).json

    assert (200, output) == call(colour, body, client=client, steps={op["id"]: {"data": op["data"]}})[:2]


def test_what_stands_for_an_output_in_s3(colour: str, s3: Any) -> None:
    async def body(ctx: Any) -> object:
        return await ctx.step.run("a", lambda: {"é": 1})

    (op,) = call(colour, body, client=client_with(S3Driver(bucket=BUCKET, client=s3)), run_id="01HRUN").json

    start = "inngest/remote_state/01HRUN/"
    key = op["data"]["key"]
    expected = {"__REMOTE_STATE__": True, "__STRATEGY__": "inngest/s3", "bucket": BUCKET, "key": key}
    assert expected == op["data"]
    assert (start, 32, True) == (key[: len(start)], len(key) - len(start), key[len(start) :].isalnum())
    assert {"é": 1} == json.loads(s3.get_object(Bucket=BUCKET, Key=key)["Body"].read())


def test_what_stands_for_an_output_in_memory(colour: str) -> None:
    async def body(ctx: Any) -> object:
        return await ctx.step.run("a", lambda: 1)

    (op,) = call(colour, body, client=client_with(InMemoryDriver())).json

    key = op["data"].pop("key")
    assert {"__REMOTE_STATE__": True, "__STRATEGY__": "inngest/memory"} == op["data"]
    assert (32, True) == (len(key), key.isalnum())


class Counting(InMemoryDriver):
    """Counts what is saved, and notes the threads in which it works."""

    def __init__(self) -> None:
        super().__init__()
        self.saved: list[object] = []
        self.threads: set[str] = set()

    def save_step(self, run_id: str, value: object) -> dict[str, object]:
        self.saved.append(value)
        self.threads.add(threading.current_thread().name)
        return super().save_step(run_id, value)


async def _returns(ctx: Any) -> object:
    return "done"


async def _fails(ctx: Any) -> object:
    return await ctx.step.run("a", dict[str, str]().__getitem__, "key")


async def _sleeps(ctx: Any) -> object:
    return await ctx.step.sleep("a", 1000)


async def _plans(ctx: Any) -> object:
    return await ctx.group.parallel((lambda: ctx.step.run("a", lambda: 1), lambda: ctx.step.run("b", lambda: 2)))


@pytest.mark.parametrize("body", [_returns, _fails, _sleeps, _plans])
def test_nothing_but_outputs_of_steps_is_saved(colour: str, body: Any) -> None:
    driver = Counting()

    call(colour, body, client=client_with(driver))

    assert [] == driver.saved


def test_a_driver_may_block_without_blocking_the_loop(colour: str) -> None:
    driver = Counting()

    async def body(ctx: Any) -> object:
        return await ctx.step.run("a", lambda: 1)

    call(colour, body, client=client_with(driver))

    assert [1] == driver.saved
    assert (colour == "sync") == (threading.current_thread().name in driver.threads)


@pytest.mark.parametrize(
    "data",
    [
        {"__REMOTE_STATE__": True, "__STRATEGY__": "mine", "key": "k", "bucket": "b"},
        {"__REMOTE_STATE__": False, "__STRATEGY__": "inngest/s3", "key": "k", "bucket": "b"},
        {"key": "k"},
        "text",
    ],
)
def test_other_memos_are_left_alone(colour: str, driver: Any, data: Any) -> None:
    async def body(ctx: Any) -> object:
        return await ctx.step.run("a", lambda: "new")

    assert (200, data) == call(colour, body, client=client_with(driver), steps={hashed("a"): {"data": data}})[:2]


@pytest.mark.parametrize(
    ("driver", "fields", "message"),
    [
        (InMemoryDriver(), {"key": "gone"}, "the output 'gone' of a step is not in the memory of this process"),
        (InMemoryDriver(), {}, "what stands for the output of a step lacks its key"),
        (S3Driver(bucket=BUCKET, client=None), {"key": "k"}, "what stands for the output of a step lacks its bucket"),
    ],
)
def test_an_output_that_cannot_be_loaded_is_an_error(
    colour: str, driver: Any, fields: dict[str, str], message: str
) -> None:
    data = {"__REMOTE_STATE__": True, "__STRATEGY__": driver._strategy_identifier, **fields}

    reply = call(colour, three_steps, client=client_with(driver), steps={hashed("a"): {"data": data}})

    assert (500, "StateUnavailableError") == (reply.status, reply.json["name"])
    assert message in reply.json["message"]


def test_an_object_that_is_gone_is_the_error_of_the_store(colour: str, s3: Any) -> None:
    data = {"__REMOTE_STATE__": True, "__STRATEGY__": "inngest/s3", "bucket": BUCKET, "key": "gone"}
    client = client_with(S3Driver(bucket=BUCKET, client=s3))

    reply = call(colour, three_steps, client=client, steps={hashed("a"): {"data": data}})

    assert (500, "NoSuchKey") == (reply.status, reply.json["name"])

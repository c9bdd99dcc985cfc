"""Remote state under both packages: what one keeps, the other finds (protocol.md 9.6)."""

from __future__ import annotations

import io
import json
from typing import Any

import pytest

import stepserve
import stepserve.flask
from stepserve.experimental import remote_state_middleware
from tests.core.calls import call_body, hashed

inngest = pytest.importorskip("inngest", reason="the official package is not installed")
pytest.importorskip("inngest.flask", reason="Flask is not installed")
official = pytest.importorskip("inngest.experimental.remote_state_middleware", reason="it is not installed")

SDKS = {
    "official": (inngest, inngest.flask, official),
    "ours": (stepserve, stepserve.flask, remote_state_middleware),
}


class Bucket:
    """Has the two methods of boto3 that drivers use."""

    def __init__(self) -> None:
        self.objects: dict[tuple[str, str], bytes] = {}

    def put_object(self, *, Body: Any, Bucket: str, Key: str) -> None:
        self.objects[Bucket, Key] = Body.encode() if isinstance(Body, str) else Body

    def get_object(self, *, Bucket: str, Key: str) -> dict[str, Any]:
        return {"Body": io.BytesIO(self.objects[Bucket, Key])}


def post(package: str, bucket: Bucket, output: Any, **fields: Any) -> Any:
    """Call a function of one step under one package; return the body of the answer."""
    from flask import Flask

    sdk, framework, remote = SDKS[package]
    driver = remote.S3Driver(bucket="b", client=bucket)
    client = sdk.Inngest(app_id="app", is_production=False, middleware=[remote.RemoteStateMiddleware.factory(driver)])

    def handler(ctx: Any) -> object:
        return ctx.step.run("a", lambda: output)

    function = client.create_function(fn_id="f", trigger=sdk.TriggerEvent(event="e"))(handler)

    app = Flask("app")
    framework.serve(app, client, [function])
    reply = app.test_client().post("/api/inngest?fnId=app-f&stepId=step", data=json.dumps(call_body(**fields)))
    return json.loads(reply.data)


@pytest.mark.parametrize(("writer", "reader"), [("official", "ours"), ("ours", "official")])
@pytest.mark.parametrize("output", [None, 0, "é 😀", [1, {"a": [None]}], {}])
def test_an_output_kept_by_one_is_found_by_the_other(writer: str, reader: str, output: Any) -> None:
    bucket = Bucket()
    (op,) = post(writer, bucket, output)

    assert output == post(reader, bucket, "new", steps={hashed("a"): {"data": op["data"]}})
    assert ("__REMOTE_STATE__", "inngest/s3") == (next(iter(op["data"])), op["data"]["__STRATEGY__"])

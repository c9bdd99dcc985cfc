"""The other side of the wire: signs requests, builds calls, and plays a server that runs a function to its end.

Written from protocol.md sections 2 and 5 with the standard library only, so that it does not share our mistakes.
"""

from __future__ import annotations

import hashlib
import hmac
import http.client
import json
import time
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Any

from stepserve.testing.contract.harness import Body, Headers, Reply, Sender

KEY = "signkey-test-8ee2262a15e8d3c42d6a840db7af3de2aab08ef632b32a37a687f24b34dba3ff"
KEY_HASH = "e4bf4a2e7f55c7eb954b6e72f8f69628fbc409fe7da6d0f6958770987dcf0e02"
FALLBACK_KEY = "signkey-test-000000"
FALLBACK_KEY_HASH = "709e80c88487a2411e1ee4dfb9f22a861492d20c4765150c0c794abd70f8147c"
EVENT_KEY = "ek"
APP_ID = "shop"
PATH = "/api/inngest"
SIGNATURE = "x-inngest-signature"


def mac(body: bytes, timestamp: str, key: str = KEY) -> str:
    """Return the HMAC of a body (2.3)."""
    secret = key.rpartition("-")[2].encode()
    return hmac.new(secret, body + timestamp.encode(), hashlib.sha256).hexdigest()


def sign(body: bytes, *, key: str = KEY, age: float = 0) -> str:
    """Return the signature header of a request that was signed `age` seconds ago."""
    timestamp = str(int(time.time() - age))
    return f"t={timestamp}&s={mac(body, timestamp, key)}"


def step_id(name: str, index: int = 0) -> str:
    """Return the hashed id of a step (6.1)."""
    return hashlib.sha1(f"{name}:{index}".encode() if index else name.encode()).hexdigest()


def json_bytes(value: object) -> bytes:
    """Return JSON as the server writes it: sorted, without spaces, unescaped."""
    return json.dumps(value, ensure_ascii=False, sort_keys=True, separators=(",", ":")).encode()


def call_body(
    *,
    data: object = None,
    steps: Mapping[str, object] | None = None,
    attempt: int = 0,
    max_attempts: int | None = 4,
    plan_only: bool = False,
    events: Sequence[Mapping[str, object]] | None = None,
    run_id: str = "run-1",
) -> bytes:
    """Return the body of a call (5.2). `steps` is keyed by hashed id, in the order in which the steps finished."""
    steps = steps or {}
    event = {"data": data or {}, "id": "event-1", "name": "shop/tested", "ts": 1700000000123, "user": {}}
    ctx: dict[str, object] = {
        "attempt": attempt,
        "disable_immediate_execution": plan_only,
        "env": "",
        "run_id": run_id,
        "stack": {"current": len(steps), "stack": list(steps)},
        "use_api": False,
    }
    if max_attempts is not None:
        ctx["max_attempts"] = max_attempts
    events = events or [event]
    return json_bytes(
        {"ctx": ctx, "event": events[0], "events": events, "steps": steps, "use_api": False, "version": -1}
    )


def assert_signed(reply: Reply, key: str = KEY) -> None:
    """Check that the app signed its reply (2.5)."""
    timestamp, _, signature = reply.headers[SIGNATURE].removeprefix("t=").partition("&s=")

    assert mac(reply.body, timestamp, key) == signature


class App:
    """An app in production mode, as its server sees it."""

    def __init__(self, send: Sender, path: str = PATH) -> None:
        self.send = send
        self.path = path

    def request(
        self,
        method: str,
        body: Body = b"",
        *,
        query: str = "",
        headers: Headers = (),
        signature: str | None = None,
    ) -> Reply:
        """Send a signed request."""
        whole = body if isinstance(body, bytes) else b"".join(body)
        signed = [(SIGNATURE, sign(whole) if signature is None else signature), *headers]
        return self.send(method, self.path + query, body, signed)

    def begin_call(self, function: str, **fields: Any) -> AbstractContextManager[http.client.HTTPConnection]:
        """Call a function, and give the connection before there is a reply."""
        body = call_body(**fields)
        query = f"?fnId={APP_ID}-{function}&stepId=step"
        return self.send.begin("POST", self.path + query, body, [(SIGNATURE, sign(body))])

    def call(
        self,
        function: str,
        *,
        target: str = "step",
        headers: Headers = (),
        body: Body | None = None,
        **fields: Any,
    ) -> Reply:
        """Call a function as the server does, and check that an SDK replies; for `fields` see `call_body`."""
        body = call_body(**fields) if body is None else body
        query = f"?fnId={APP_ID}-{function}&stepId={target}"
        reply = self.request("POST", body, query=query, headers=[("content-type", "application/json"), *headers])
        assert_signed(reply)

        assert reply.headers["x-inngest-sdk"].startswith("inngest-py:v")
        assert reply.headers["content-type"] == "application/json"
        return reply

    def play(self, function: str, answers: Mapping[str, object] | None = None, **fields: Any) -> Any:
        """Run a function to its end and return its result.

        `answers` has the memos of the steps that a server resolves: waits and invocations, by their names.
        """
        steps: dict[str, object] = {}
        targets = ["step"]
        while True:
            target = targets.pop(0)
            reply = self.call(function, target=target, steps=steps, plan_only=target != "step", **fields)
            if reply.status != 206:
                assert reply.status == 200, reply.body
                return reply.json()
            for op in reply.json():
                if op["op"] == "StepPlanned":
                    targets.append(op["id"])
                else:
                    assert op["id"] not in steps, "a finished step was reported again"
                    steps[op["id"]] = {"data": op["data"]} if op["op"] == "StepRun" else (answers or {}).get(op["name"])
            targets = targets or ["step"]


class StreamedApp(App):
    """An app that streams its answers to calls."""

    def request(self, method: str, body: Body = b"", **fields: Any) -> Reply:
        """Send a signed request; of a call, return the real reply, which is in the streamed one."""
        reply = super().request(method, body, **fields)
        return unwrapped(reply) if method == "POST" else reply


def unwrapped(reply: Reply) -> Reply:
    """Return the real reply in a streamed one (5.7)."""
    assert reply.status == 201, reply
    padding, brace, rest = reply.body.partition(b"{")
    envelope = json.loads(brace + rest)

    assert padding == b" " * len(padding)
    assert sorted(envelope) == ["body", "headers", "status"]
    return Reply(envelope["status"], envelope["headers"], envelope["body"].encode())

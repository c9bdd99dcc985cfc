"""Build the function calls that the server would send, with their signatures.

The bodies have the shape of protocol.md 5.2 in canonical JSON and are signed as in protocol.md 2.3. Nothing here
comes from a measured subject, so that a mistake in one of them cannot hide in its own test data.
"""

import hashlib
import hmac
import json
import re
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

APP_ID = "bench"
EVENT_KEY = "bench-event-key"
SIGNING_KEY = "signkey-test-5c8ad0b1f6c54f1f9f6d3d5b7a1e2c4d6f8091a2b3c4d5e6f708192a3b4c5d6e"
SERVE_PATH = "/api/inngest"
EVENT_KB = 1_000
EVENT_MB = 1_000_000
NO_TARGET = "step"

JsonObject = dict[str, object]


@dataclass(frozen=True)
class Request:
    """One function call as bytes: what a server would put on the wire after the request line."""

    query: str
    body: bytes
    headers: tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class Answer:
    """What a subject answered."""

    status: int
    headers: Mapping[str, str] = field(repr=False)
    body: bytes


def canonical(value: object) -> bytes:
    """Encode as RFC 8785 does, for data without integral floats, huge numbers or keys outside ASCII (we send none)."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()


def signature(body: bytes, unix_seconds: int) -> str:
    """Return the value of the signature header (protocol.md 2.3)."""
    key = re.sub(r"^signkey-\w+-", "", SIGNING_KEY)
    mac = hmac.new(key.encode(), body, hashlib.sha256)
    mac.update(str(unix_seconds).encode())
    return f"t={unix_seconds}&s={mac.hexdigest()}"


def is_signed(answer: Answer) -> bool:
    """Say whether the answer carries a valid signature over its raw bytes (protocol.md 2.5)."""
    header = answer.headers.get("x-inngest-signature", "")
    match = re.fullmatch(r"t=(\d+)&s=[0-9a-f]{64}", header)
    return match is not None and signature(answer.body, int(match[1])) == header


def hashed_id(step_id: str) -> str:
    """Return the wire id of a step (protocol.md 6.1)."""
    return hashlib.sha1(step_id.encode(), usedforsecurity=False).hexdigest()


def records(size: int) -> list[JsonObject]:
    """Return record-like JSON (ids, names, prices, booleans, text) that takes at least `size` bytes when encoded."""
    made: list[JsonObject] = []
    length = 2
    while length < size:
        number = len(made)
        record: JsonObject = {
            "id": f"item-{number:07d}",
            "name": f"Walnut desk lamp, model {number % 97}",
            "price": number % 900 + 0.95,
            "quantity": number % 13,
            "in_stock": number % 3 == 0,
            "tags": ["lamp", "desk", f"batch-{number % 11}"],
            "description": 'Solid wood, 40 W, "café" shade; ships in two days.',
        }
        made.append(record)
        length += len(canonical(record)) + 1
    return made


def event_data(size: int, count: int) -> JsonObject:
    """Return event data of about `size` bytes; `count` tells the function how many steps to reach."""
    return {"count": count, "records": records(size)}


def memo(number: int) -> JsonObject:
    """Return the memo of one step of the measured function, under its wire id."""
    return {hashed_id(f"step-{number}"): {"data": {"number": number, "ok": True}}}


def memos(count: int) -> JsonObject:
    """Return the memos of the first `count` steps of the measured function, in the order in which they finished."""
    finished: JsonObject = {}
    for number in range(count):
        finished |= memo(number)
    return finished


def call_body(event: str, data: JsonObject, steps: Mapping[str, object], *, target: str = NO_TARGET) -> bytes:
    """Return the body of one function call; the server sends the event twice, as `event` and in `events`."""
    sent_event = {"data": data, "id": "01M8H7Q1T4XW9R3Z5K7N2B6C8D", "name": event, "ts": 1795365468459, "user": {}}
    planned = target != NO_TARGET
    body = {
        "ctx": {
            "attempt": 0,
            "disable_immediate_execution": planned,
            "env": "",
            "fn_id": "5d1f1d3e-8f0f-4a0e-9b0f-3f6f1f3f7a11",
            "generation_id": len(steps) + 1,
            "job_id": "3hkxlcla79mbh",
            "max_attempts": 4,
            "qi_id": "M2hreGxjbGE3OW1iaDo6ZGVmYXVsdA==",
            "request_id": "01M8H7Q1T4XW9R3Z5K7N2B6C8E",
            "run_id": "01M8H7Q1T4XW9R3Z5K7N2B6C8F",
            "stack": {"current": len(steps), "stack": list(steps)},
            "step_id": NO_TARGET,
            "use_api": False,
        },
        "defers": {},
        "event": sent_event,
        "events": [sent_event],
        "steps": dict(steps),
        "use_api": False,
        "version": 2 if steps or planned else -1,
    }
    return canonical(body)


def request(function_id: str, body: bytes, *, signed: bool, target: str = NO_TARGET) -> Request:
    """Return the call with the headers that the server sends (protocol.md 3.2), signed now when `signed`."""
    headers = [
        ("host", "127.0.0.1:8000"),
        ("user-agent", "Inngest"),
        ("accept-encoding", "gzip"),
        ("content-type", "application/json"),
        ("content-length", str(len(body))),
        ("x-inngest-generation-id", "1"),
        ("x-inngest-job-id", "3hkxlcla79mbh"),
        ("x-inngest-req-version", "2"),
        ("x-inngest-step-id", NO_TARGET),
        ("x-request-id", "01M8H7Q1T4XW9R3Z5K7N2B6C8E"),
        ("x-run-id", "01M8H7Q1T4XW9R3Z5K7N2B6C8F"),
        ("traceparent", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"),
    ]
    if signed:
        headers.append(("x-inngest-signature", signature(body, int(time.time()))))
    return Request(f"fnId={APP_ID}-{function_id}&stepId={target}", body, tuple(headers))


def with_bad_signature(good: Request) -> Request:
    """Return the same call with the last hex digit of its signature changed."""
    flipped = tuple(
        (name, value[:-1] + ("0" if value[-1] != "0" else "1") if name == "x-inngest-signature" else value)
        for name, value in good.headers
    )
    return Request(good.query, good.body, flipped)


def chunks(body: bytes, size: int = 65_536) -> Iterator[bytes]:
    """Cut a body into the pieces in which a socket would deliver it."""
    for start in range(0, len(body), size):
        yield body[start : start + size]

"""Random requests to a function: memos, targets, attempts; and what strangers send."""

from __future__ import annotations

import hashlib
import json
from typing import Any, NamedTuple

from hypothesis import strategies as st

from tests.peers.differential.programs import Do, hashed_ids, json_values, programs

error_memos = st.builds(
    lambda name, message, stack: {"name": name, "message": message, "stack": stack},
    st.sampled_from(["ValueError", "Odd"]),
    st.sampled_from(["bad", ""]),
    st.none() | st.just("trace"),
)
event_memos = st.just({"name": "x", "data": {"x": 1}, "id": "i", "ts": 5})
memos = st.one_of(
    json_values.map(lambda value: {"data": value}),
    json_values.map(lambda value: {"data": value}),
    error_memos.map(lambda error: {"error": error}),
    error_memos.map(lambda error: {"data": None, "error": error}),
    json_values.filter(lambda value: not isinstance(value, dict)),
)
MEMOS = {"wait": st.none() | event_memos, "sleep": st.none(), "sleep_until": st.none()}
"""What servers memoise for steps that are theirs."""
UNKNOWN = hashlib.sha1(b"nobody").hexdigest()


class Case(NamedTuple):
    """A function and a call of it."""

    program: tuple[Do, ...]
    body: Any
    target: str


@st.composite
def cases(draw: st.DrawFn) -> Case:
    """Draw a function, and a state in which a server could call it."""
    program = draw(programs)
    kinds = hashed_ids(program)
    ids = list(kinds)
    count = draw(st.integers(0, len(ids)))
    done = ids[:count] if draw(st.booleans()) else draw(st.lists(st.sampled_from(ids), unique=True)) if ids else []
    steps = {one: draw(MEMOS.get(kinds[one], memos)) for one in done}
    ctx: dict[str, Any] = {
        "attempt": draw(st.integers(0, 4)),
        "disable_immediate_execution": draw(st.booleans()),
        "run_id": "01H",
        "fn_id": "x",
        "stack": {"stack": done, "current": len(done)},
        "use_api": False,
    }
    if draw(st.booleans()):
        ctx["max_attempts"] = draw(st.integers(1, 5))
    event = {"name": "start", "data": {"k": [1, {"z": None}]}, "id": "e", "ts": 1}
    body = {"ctx": ctx, "event": event, "events": [event], "steps": steps, "use_api": False, "version": 2}
    target = draw(st.sampled_from(["step", "step", "step", *ids, UNKNOWN]))
    return Case(program, body, target)


def make_body(change: dict[str, Any], *, drop: str = "") -> bytes:
    event = {"name": "start", "data": {}, "id": "e", "ts": 1}
    ctx = {"attempt": 0, "disable_immediate_execution": False, "run_id": "r", "stack": {"stack": []}, "use_api": False}
    body = {"ctx": ctx, "event": event, "events": [event], "steps": {}, "use_api": False, **change}
    body.pop(drop, None)
    return json.dumps(body).encode()


BAD_BODIES = {
    "empty": b"",
    "not json": b"{",
    "not an object": b"[]",
    "no ctx": make_body({}, drop="ctx"),
    "no event": make_body({}, drop="event"),
    "no steps": make_body({}, drop="steps"),
    "steps are a list": make_body({"steps": []}),
    "event is a number": make_body({"event": 5}),
    "attempt is text": make_body({"ctx": {"attempt": "x"}}),
    "events are nothing": make_body({"events": None}),
    "event without data": make_body({"event": {"name": "x", "id": "", "ts": 0}}),
    "event with null data": make_body({"event": {"name": "x", "data": None, "id": "", "ts": 0}}),
}

"""Step ids and ops on the wire (protocol.md 5.6, 6.1)."""

from __future__ import annotations

import json

import msgspec
import pytest

import stepserve_core as core
from stepserve_core._opcodes import ErrorObject, Op, Opcode, Userland, hash_step_id


@pytest.mark.parametrize(
    ("step_id", "expected"),
    [
        ("a", "86f7e437faa5a7fce15d1ddcb9eaeaea377667b8"),
        ("a:1", "de89bfaf06245091a7873290a793604612302247"),
        ("", "da39a3ee5e6b4b0d3255bfef95601890afd80709"),
        ("é", "bf15be717ac1b080b4f1c456692825891ff5073d"),
        ("my step", "df13e8fffda04ebc9ab6528b18233769616665cf"),
        ("x:1", "825b938e1bf063c8ae74c6b0689861a0c2c0ae63"),
        ("step", "bd370d1b6f9b3580a77083b3ed3256c621f44a99"),
        ("complete", "0737c22d3bfae812339732d14d8c7dbd6dc4e09c"),
    ],
)
def test_the_hash_of_a_step_id(step_id: str, expected: str) -> None:
    assert expected == hash_step_id(step_id)


def test_an_op_has_the_seven_keys_in_order() -> None:
    op = Op("a", "86f7", "a", "StepRun", None, Userland("a", None), data={"x": 1})

    assert (
        b'{"displayName":"a","id":"86f7","name":"a","op":"StepRun","opts":null,'
        b'"userland":{"id":"a","index":null},"data":{"x":1}}'
    ) == msgspec.json.encode(op)


def test_an_error_stands_before_the_data() -> None:
    op = Op(
        "a", "86f7", "a", "StepError", None, Userland("a", 1), error=ErrorObject("unknown", "m", "ValueError", None)
    )

    encoded = json.loads(msgspec.json.encode(op))

    assert ["displayName", "id", "name", "op", "opts", "userland", "error", "data"] == list(encoded)
    assert {"code": "unknown", "message": "m", "name": "ValueError", "stack": None} == encoded["error"]
    assert {"id": "a", "index": 1} == encoded["userland"]
    assert encoded["data"] is None


def test_the_opcodes_are_spelled_as_the_server_spells_them() -> None:
    assert {
        "AIGateway",
        "DeferAbort",
        "DeferAdd",
        "Gateway",
        "InvokeFunction",
        "StepPlanned",
        "RunComplete",
        "Sleep",
        "StepError",
        "StepFailed",
        "StepRun",
        "WaitForEvent",
        "WaitForSignal",
    } == {opcode.value for opcode in Opcode}


def test_the_parallel_modes() -> None:
    assert {"RACE": "race", "WAIT": "wait"} == {mode.name: mode.value for mode in core.ParallelMode}


def test_an_invocation_is_named_as_in_the_official_package() -> None:
    assert "INVOKE" == Opcode("InvokeFunction").name

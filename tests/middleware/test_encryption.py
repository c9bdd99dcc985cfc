"""Encryption: what the server is given to store, and what functions see (protocol.md 9.5)."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest
from nacl.secret import SecretBox

import stepserve
from stepserve.encryption import EncryptionMiddleware
from stepserve_core.errors import ConfigurationError
from tests.core import local_server
from tests.core.calls import call, dev_client, hashed

COLOURS = ("sync", "async")
KEY = "my-secret"
HEX = b"27de66c60d4aa0d3dec6674ea66e093a90e38155cbac50512ac021ee8d63e9d2"
BOX = SecretBox(bytes.fromhex(HEX.decode()))
VECTOR = {
    "__ENCRYPTED__": True,
    "__STRATEGY__": "inngest/libsodium",
    "data": "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXbQjdz4/pTLV/SZYqRZ/K/XnGrOADqh7L",
}
"""`{"a": 1}` under KEY, with the nonce 00..17 (protocol.md 9.5)."""

pytestmark = pytest.mark.parametrize("colour", COLOURS)


def envelope(value: object, box: SecretBox = BOX) -> dict[str, object]:
    """Encrypt as another SDK does."""
    return {**VECTOR, "data": base64.b64encode(box.encrypt(json.dumps(value).encode())).decode()}


def shown(value: Any) -> Any:
    """Decrypt all envelopes in `value`; they become {"secret": …}."""
    if isinstance(value, dict) and "__ENCRYPTED__" in value:
        assert {"__ENCRYPTED__": True, "__STRATEGY__": "inngest/libsodium", "data": value["data"]} == value
        return {"secret": json.loads(BOX.decrypt(base64.b64decode(value["data"])))}
    if isinstance(value, dict):
        return {name: shown(item) for name, item in value.items()}
    return [shown(item) for item in value] if isinstance(value, list) else value


def client_with(key: Any = KEY, **options: Any) -> stepserve.Inngest:
    """Return a client with the middleware."""
    return dev_client(middleware=[EncryptionMiddleware.factory(key, **options)])


async def tells(ctx: Any) -> object:
    """Return what the function sees, without encryption."""
    ctx.logger.info("tells")
    return [dict(ctx.event.data), [dict(event.data) for event in ctx.events]]


def seen(colour: str, data: dict[str, Any], **options: Any) -> Any:
    """Return what a function sees of an event."""
    told: list[Any] = []

    async def body(ctx: Any) -> None:
        told.append(dict(ctx.event.data))

    event = {"data": data, "id": "1", "name": "e", "ts": 1}
    reply = call(colour, body, client=client_with(**options), event=event)

    assert 200 == reply.status, reply.json
    return told[0]


# What leaves the app


@pytest.mark.parametrize("output", [{"a": 1}, None, 0, "text", [1, {"b": None}]])
def test_outputs_of_functions_are_encrypted(colour: str, output: Any) -> None:
    async def body(ctx: Any) -> object:
        return output

    reply = call(colour, body, client=client_with())

    assert (200, {"secret": output}) == (reply.status, shown(reply.json))


def test_outputs_of_steps_are_encrypted(colour: str) -> None:
    async def body(ctx: Any) -> object:
        return await ctx.step.run("a", lambda: {"card": "4242"})

    (op,) = call(colour, body, client=client_with()).json

    assert {"secret": {"card": "4242"}} == shown(op["data"])


def test_the_same_value_is_encrypted_differently_each_time(colour: str) -> None:
    async def body(ctx: Any) -> object:
        return 1

    first, second = (call(colour, body, client=client_with()).json["data"] for _ in range(2))

    assert first != second


@pytest.mark.parametrize("plan_only", [True, False])
def test_what_has_no_output_is_not_given_one(colour: str, plan_only: bool) -> None:
    async def body(ctx: Any) -> object:
        return await (ctx.step.run("a", lambda: 1) if plan_only else ctx.step.sleep("a", 1000))

    (op,) = call(colour, body, client=client_with(), plan_only=plan_only).json

    assert op["data"] is None


def test_errors_stay_readable(colour: str) -> None:
    async def body(ctx: Any) -> object:
        return await ctx.step.run("a", dict[str, str]().__getitem__, "key")

    (op,) = call(colour, body, client=client_with()).json

    assert ("StepError", "KeyError", None) == (op["op"], op["error"]["name"], op["data"])


def test_what_is_encrypted_already_is_left_with_a_warning(colour: str, caplog: pytest.LogCaptureFixture) -> None:
    async def body(ctx: Any) -> object:
        return VECTOR

    assert VECTOR == call(colour, body, client=client_with()).json
    assert ["a function is encrypted already; it is left as it is"] == caplog.messages


PAYLOAD = {"encrypted": {"card": "4242"}, "order": 7}


async def invokes(ctx: Any) -> object:
    """Invoke one function."""
    return await ctx.step.invoke_by_id("a", function_id="g", data=PAYLOAD)


async def invokes_two(ctx: Any) -> object:
    """Invoke two functions in a group."""
    return await ctx.group.parallel(
        tuple(lambda name=name: ctx.step.invoke_by_id(name, function_id="g", data=PAYLOAD) for name in "ab")
    )


@pytest.mark.parametrize("body", [invokes, invokes_two])
def test_one_field_of_invocations_is_encrypted_also_in_groups(colour: str, body: Any) -> None:
    ops = call(colour, body, client=client_with()).json

    expected = {"encrypted": {"secret": {"card": "4242"}}, "order": 7}
    assert [expected] * len(ops) == [shown(op["opts"]["payload"]["data"]) for op in ops]
    assert {"encrypted": {"card": "4242"}, "order": 7} == PAYLOAD


@pytest.mark.parametrize("decrypt_only", [False, True])
@pytest.mark.parametrize("ends", [True, False])
def test_one_field_of_what_is_deferred_is_encrypted(colour: str, ends: bool, decrypt_only: bool) -> None:
    async def body(ctx: Any) -> object:
        ctx.step.defer("later", function="app-g", data=PAYLOAD)
        return None if ends else await ctx.step.sleep("a", 1000)

    ops = call(colour, body, client=client_with(decrypt_only=decrypt_only)).json

    (deferred,) = [op for op in ops if op["op"] == "DeferAdd"]
    card = {"card": "4242"} if decrypt_only else {"secret": {"card": "4242"}}
    assert {"encrypted": card, "order": 7} == shown(deferred["opts"]["input"])
    assert "app-g" == deferred["opts"]["fn_slug"]


@pytest.mark.parametrize("kind", ["run", "wrap"])
def test_arguments_that_are_told_to_the_server_are_encrypted_and_read_again(colour: str, kind: str) -> None:
    async def body(ctx: Any) -> object:
        step = ctx.step.run if kind == "run" else ctx.step.ai.wrap
        return await step("a", lambda prompt: {"answer": prompt}, "a prompt")

    client = client_with()
    (op,) = call(colour, body, client=client).json
    steps = {op["id"]: {"input": [envelope("another prompt")]}}
    (again,) = call(colour, body, client=client, steps=steps, stack=[]).json

    assert ([{"secret": "a prompt"}], {"secret": {"answer": "a prompt"}}) == (
        shown(op["opts"]["input"]),
        shown(op["data"]),
    )
    assert {"secret": {"answer": "another prompt"}} == shown(again["data"])


def test_one_field_of_events_is_encrypted(colour: str) -> None:
    event = stepserve.Event(name="x", data=PAYLOAD)

    async def body(ctx: Any) -> object:
        return await ctx.step.send_event("a", [event, stepserve.Event(name="y", data={"order": 7})])

    with local_server.serving(local_server.Reply(200, b'{"ids":["1","2"]}')) as server:
        client = dev_client(event_api_base_url=server.origin, middleware=[EncryptionMiddleware.factory(KEY)])
        call(colour, body, client=client)

    sent = json.loads(server.requests[0].body)
    assert [{"encrypted": {"secret": {"card": "4242"}}, "order": 7}, {"order": 7}] == [
        shown(one["data"]) for one in sent
    ]
    assert PAYLOAD == event.data


def test_the_field_may_have_another_name(colour: str) -> None:
    async def body(ctx: Any) -> object:
        return await ctx.step.invoke_by_id("a", function_id="g", data={"card": "4242", "encrypted": 1})

    (op,) = call(colour, body, client=client_with(event_encryption_field="card")).json

    assert {"card": {"secret": "4242"}, "encrypted": 1} == shown(op["opts"]["payload"]["data"])


@pytest.mark.parametrize("body", [invokes, invokes_two])
def test_who_only_decrypts_encrypts_nothing(colour: str, body: Any) -> None:
    ops = call(colour, body, client=client_with(decrypt_only=True)).json

    assert [PAYLOAD] * len(ops) == [op["opts"]["payload"]["data"] for op in ops]


def test_who_only_decrypts_returns_outputs_as_they_are(colour: str) -> None:
    async def body(ctx: Any) -> object:
        return {"read": ctx.event.data["encrypted"]}

    event = {"data": {"encrypted": envelope("open")}, "id": "1", "name": "e", "ts": 1}

    assert {"read": "open"} == call(colour, body, client=client_with(decrypt_only=True), event=event).json


# What comes in


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        ({"encrypted": VECTOR, "b": 2}, {"encrypted": {"a": 1}, "b": 2}),
        ({"other": VECTOR, "b": 2}, {"other": {"a": 1}, "b": 2}),
        ({"encrypted": VECTOR, "other": VECTOR}, {"encrypted": {"a": 1}, "other": VECTOR}),
        ({**VECTOR, "_inngest": {"name": "x"}}, {"a": 1, "_inngest": {"name": "x"}}),
        ({"deep": {"encrypted": VECTOR}}, {"deep": {"encrypted": VECTOR}}),
        ({"encrypted": {**VECTOR, "__STRATEGY__": "mine"}}, {"encrypted": {**VECTOR, "__STRATEGY__": "mine"}}),
        ({"encrypted": {**VECTOR, "__ENCRYPTED__": False}}, {"encrypted": {**VECTOR, "__ENCRYPTED__": False}}),
        ({"b": 2}, {"b": 2}),
    ],
)
def test_what_a_function_sees_of_an_event(colour: str, data: dict[str, Any], expected: dict[str, Any]) -> None:
    assert expected == seen(colour, data)


def test_all_events_of_a_batch_are_decrypted(colour: str) -> None:
    told: list[Any] = []

    async def body(ctx: Any) -> None:
        told.extend(event.data["encrypted"] for event in [ctx.event, *ctx.events])

    events = [{"data": {"encrypted": envelope(number)}, "id": "1", "name": "e", "ts": 1} for number in (1, 2)]
    call(colour, body, client=client_with(), event=events[0], events=events)

    assert [1, 1, 2] == told


@pytest.mark.parametrize(
    ("memo", "expected"),
    [
        ({"data": VECTOR}, {"a": 1}),
        ({"data": {"plain": 1}}, {"plain": 1}),
        ({"data": {**VECTOR, "__STRATEGY__": "mine"}}, {**VECTOR, "__STRATEGY__": "mine"}),
    ],
)
def test_memos_are_decrypted(colour: str, memo: Any, expected: Any) -> None:
    told: list[Any] = []

    async def body(ctx: Any) -> None:
        told.append(await ctx.step.run("a", lambda: None))

    call(colour, body, client=client_with(), steps={hashed("a"): memo})

    assert [expected] == told


def test_an_event_that_a_step_waited_for_is_decrypted(colour: str) -> None:
    told: list[Any] = []

    async def body(ctx: Any) -> None:
        event = await ctx.step.wait_for_event("a", event="x", timeout="1h")
        told.append(event.data)

    memo = {"name": "x", "id": "1", "ts": 1, "data": {"encrypted": VECTOR, "b": 2}}
    call(colour, body, client=client_with(), steps={hashed("a"): memo})

    assert [{"encrypted": {"a": 1}, "b": 2}] == told


def test_a_handler_of_failures_sees_the_event_of_the_failed_run_decrypted(colour: str) -> None:
    told: list[Any] = []

    async def body(ctx: Any) -> None:
        told.append(ctx.event.data)

    original = {"data": {"encrypted": VECTOR, "b": 2}, "id": "1", "name": "x", "ts": 1}
    failed = {"data": {"event": original, "run_id": "01H"}, "id": "2", "name": "inngest/function.failed", "ts": 2}
    call(colour, body, client=client_with(), event=failed, events=[failed])

    assert [{"event": {**original, "data": {"encrypted": {"a": 1}, "b": 2}}, "run_id": "01H"}] == told


# Keys


def test_a_key_may_be_given_as_hexadecimal_bytes(colour: str) -> None:
    assert {"encrypted": {"a": 1}} == seen(colour, {"encrypted": VECTOR}, key=HEX)


@pytest.mark.parametrize("fallback", [KEY, HEX])
def test_an_old_key_still_decrypts(colour: str, fallback: Any) -> None:
    options = {"key": "new", "fallback_decryption_keys": ["older", fallback]}

    assert {"encrypted": {"a": 1}} == seen(colour, {"encrypted": VECTOR}, **options)


def test_an_old_key_does_not_encrypt(colour: str) -> None:
    async def body(ctx: Any) -> object:
        return 1

    output = call(colour, body, client=client_with("new", fallback_decryption_keys=[KEY])).json

    with pytest.raises(Exception, match="Decryption failed"):
        shown(output)


@pytest.mark.parametrize(
    "broken", [VECTOR, {**VECTOR, "data": "AAAA"}, {**VECTOR, "data": "é"}, {**VECTOR, "data": ""}]
)
def test_what_cannot_be_decrypted_is_an_error(colour: str, broken: Any) -> None:
    event = {"data": {"encrypted": broken}, "id": "1", "name": "e", "ts": 1}

    reply = call(colour, tells, client=client_with("other"), event=event)

    assert (500, "decryption_failed", "DecryptionError") == (reply.status, reply.json["code"], reply.json["name"])
    assert reply.json["message"].startswith("Failed to decrypt data")


def test_the_data_of_an_event_must_be_an_object(colour: str) -> None:
    event = {"data": envelope([1]), "id": "1", "name": "e", "ts": 1}

    reply = call(colour, tells, client=client_with(), event=event)

    assert (500, "the decrypted data of an event is not an object") == (reply.status, reply.json["message"])


@pytest.mark.parametrize("key", [b"short", b"zz" * 32, HEX + b"00", "", b""])
@pytest.mark.parametrize("place", ["main", "fallback"])
def test_a_key_that_cannot_be_used_is_refused_while_the_program_starts(colour: str, key: Any, place: str) -> None:
    del colour
    main, fallbacks = (key, []) if place == "main" else (KEY, [key])

    with pytest.raises(ConfigurationError, match="EncryptionMiddleware: "):
        EncryptionMiddleware.factory(main, fallback_decryption_keys=fallbacks)

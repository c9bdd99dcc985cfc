"""Keys, bearer hashes and body signatures: the vectors of protocol.md 2.2 and 2.6, and everything refused."""

from __future__ import annotations

import time
from collections.abc import Callable

import pytest

from stepserve_core import _signature, errors
from stepserve_core._canonical import canonicalize
from stepserve_core._signature import CANONICAL_LIMIT, MAX_AGE, MAX_AHEAD, hash_event_key, hash_signing_key, verify
from stepserve_core._signing_key import check_key
from tests.core import calls

K1 = "signkey-test-8ee2262a15e8d3c42d6a840db7af3de2aab08ef632b32a37a687f24b34dba3ff"
K2 = "signkey-prod-12345678"
T = 1_700_000_000

VECTORS = [
    ("V1", K1, T, '{"a":1}', "4e7c74ad8c770412e9f95f3906421639b0dbcd4b4168a7669f7291e344e85d1f"),
    (
        "V2",
        K1,
        T,
        '{ "b" : 2,\n "a" : [1, 2] }',
        "b62b4d163b04e356d9a6d2c5f376ba42231f5e795b94864c44ab385e4150d229",
    ),
    ("V3", K1, T, '{"msg":"héllo 世界 😀"}', "35f751e8ebd65558bfa90f93114182028a9bde2194b4395aa379203659365bb4"),
    (
        "V3b",
        K1,
        T,
        '{"msg":"h\\u00e9llo \\u4e16\\u754c \\ud83d\\ude00"}',
        "35f751e8ebd65558bfa90f93114182028a9bde2194b4395aa379203659365bb4",
    ),
    (
        "V4",
        K1,
        T,
        '{"n":[1.0,1e21,1E-7,0.1,-0.0,100000000000000000000,333333333.33333329]}',
        "fb8357c8623b989961650be53df9f755ddddc131d3c543a07fa27e80d67f299a",
    ),
    (
        "V5",
        K1,
        T,
        '{"e":"a \\u003c b \\u0026\\u0026 c \\u003e d"}',
        "7859f85441df0cc6ee79b5f73419719f63409b1bbf7abad333c6f9c54c1d0e43",
    ),
    ("V6", K1, T, "", "184c94497772c48c5a48f48d89e62f7a0ab3199f6ba6d29d23b3db67eed57ea3"),
    (
        "V7",
        K2,
        1_732_000_000,
        '{"url":"https://example.com/api/inngest"}',
        "af9a976263a392a8169faca20d80dca1d70b39a37dbc7760c4cbca0f2c22a290",
    ),
    (
        "V8",
        K2,
        T,
        '{"\ufb33":1,"😀":2,"a":3}',
        "a287a27a48e86d0a60a810944488fb530fadd68b843a9a4a4797ab21116afa72",
    ),
    (
        "V9",
        K2,
        T,
        '{"s":"\\u0000\\b\\t\\n\\u001f\\u007f\\u2028\\/\\""}',
        "34fd32266f9908e33beb8cf0e50c97493654cf78f74f5b6f6222facae712bb8f",
    ),
    (
        "V10",
        K2,
        T,
        '{"a":9007199254740993,"b":123456789012345678901}',
        "561751e921ff9c19f6edcabf9679a23ef35e90aac6176b0339fad0b8fa842035",
    ),
    (
        "V11",
        K1,
        1_710_000_000,
        (
            '{"ctx": {"attempt": 0, "run_id": "01H"}, "event": {"data": {"amount": 12.5}, "name": "shop/order"},'
            ' "events": [], "steps": {}, "use_api": false}'
        ),
        "e4d804c4805c6ddc4fdeebb6b1278e8418a92011e0fea2110cde443fa2c791a3",
    ),
]
RAW_VECTORS = [
    ("V2", "a319b399faf9b41f4790c28b3792a9797da1d06dd959dab561a4c1cb2578ac91"),
    ("V3b", "128ee18ea0045a480b70186ef7eb3830197470bb77f7c3587ba5eb40dc7adae1"),
    ("V4", "96d1d21b3e028e3b1d6966a385af6db32852063522bbb5abff979562005f3722"),
    ("V11", "d221141a0d64397ce698fba3dd6a2b3fb9efc7c498c91579ca17b5a96375f965"),
]
BY_NAME = {vector[0]: vector for vector in VECTORS}
VALID = f"t={T}&s={VECTORS[0][4]}"


@pytest.mark.parametrize(("name", "key", "timestamp", "body", "signature"), VECTORS, ids=[v[0] for v in VECTORS])
def test_a_request_signature_verifies(name: str, key: str, timestamp: int, body: str, signature: str) -> None:
    del name
    header = f"t={timestamp}&s={signature}"

    assert key == verify(body.encode(), header, [key], timestamp + 1)


@pytest.mark.parametrize(("name", "key", "timestamp", "body", "signature"), VECTORS, ids=[v[0] for v in VECTORS])
def test_one_wrong_digit_is_refused(name: str, key: str, timestamp: int, body: str, signature: str) -> None:
    del name
    last = "0" if signature[-1] != "0" else "1"

    with pytest.raises(errors.SigVerificationFailedError):
        verify(body.encode(), f"t={timestamp}&s={signature[:-1]}{last}", [key], timestamp)


@pytest.mark.parametrize(("name", "signature"), RAW_VECTORS)
def test_a_response_is_signed_over_its_raw_bytes(name: str, signature: str) -> None:
    _, key, timestamp, body, _ = BY_NAME[name]

    assert f"t={timestamp}&s={signature}" == _signature.sign(body.encode(), key, timestamp)


def test_a_null_body_is_signed_as_text() -> None:
    expected = f"t={T}&s=87277dcb6c19d0d93fd0e05fa25674b4c1db83ad8659b194195105fa4906b04e"

    assert expected == _signature.sign(b"null", K2, T)


@pytest.mark.parametrize(
    ("key", "expected"),
    [
        (K1, "e4bf4a2e7f55c7eb954b6e72f8f69628fbc409fe7da6d0f6958770987dcf0e02"),
        (K2, "b2ed992186a5cb19f6668aade821f502c1d00970dfd0e35128d51bac4649916c"),
        ("signkey-prod-000000", "709e80c88487a2411e1ee4dfb9f22a861492d20c4765150c0c794abd70f8147c"),
        ("signkey-branch-abcd", "123d4c7ef2d1600a1b3a0f6addc60a10f05a3495c9409f2ecbf4cc095d000a6b"),
        ("abcd", "123d4c7ef2d1600a1b3a0f6addc60a10f05a3495c9409f2ecbf4cc095d000a6b"),
    ],
)
def test_the_bearer_token_hashes_the_decoded_key(key: str, expected: str) -> None:
    assert expected == hash_signing_key(key)


def test_the_hash_of_an_event_key_is_over_its_text() -> None:
    assert "5e930b1b2b6c65de47679df72b3a7316a54a84f4b0d1e2159f483657fba3be43" == hash_event_key("ek")


@pytest.mark.parametrize("key", [K1, K2, "abcd", "ABCD", "signkey-my_env-abcd"])
def test_a_usable_key_is_returned_unchanged(key: str) -> None:
    assert key == check_key(key, "here")


@pytest.mark.parametrize("key", ["signkey-test-xyz", "abc", "", "signkey-test-", "signkey-test-abcg", "ab cd", "ab\n"])
def test_a_key_that_is_not_hex_is_refused_without_showing_it(key: str) -> None:
    with pytest.raises(errors.SigningKeyInvalidError) as caught:
        check_key(key, "INNGEST_SIGNING_KEY")

    assert "INNGEST_SIGNING_KEY" in str(caught.value)
    assert len(key) < 5 or key not in str(caught.value)


@pytest.mark.parametrize(
    "header",
    [
        "garbage",
        "t=1",
        f"t={T}",
        f"s={VECTORS[0][4]}",
        f"t=0&s={VECTORS[0][4]}x",
        "t=abc&s=00",
        f"t=&s={VECTORS[0][4]}",
        f"t=-1&s={VECTORS[0][4]}",
        f"t=+{T}&s={VECTORS[0][4]}",
        f"t={T}.0&s={VECTORS[0][4]}",
        f"t={'9' * 13}&s=00",
        f"t={T}&s=",
        f"t={T}&s={'0' * 129}",
        f"s={VECTORS[0][4]}&t={T}",
        f" {VALID}",
        f"{VALID}\n",
        f"{VALID}&x=1",
        f"{VALID}&s=00",
        f"t={T}&s=ä{VECTORS[0][4][1:]}",
        f"t=١٧٠٠٠٠٠٠٠٠&s={VECTORS[0][4]}",
        f"t={T}&s={VECTORS[0][4][:-1]}\uff11",
        "\x00",
        "ÿþ",
    ],
)
def test_a_malformed_header_is_refused(header: str) -> None:
    with pytest.raises(errors.SignatureMalformedError):
        verify(b'{"a":1}', header, [K1], T)


@pytest.mark.parametrize("header", [None, ""])
def test_a_missing_header_is_refused(header: str | None) -> None:
    with pytest.raises(errors.HeaderMissingError):
        verify(b'{"a":1}', header, [K1], T)


def test_a_header_without_timestamp_is_refused_although_its_mac_is_right() -> None:
    bare = "dc9e8cdb310ee54ce6b128a2b816cd6c04ab790416659a3d2e2d53735a0e03bb"

    with pytest.raises(errors.SignatureMalformedError):
        verify(b'{"a":1}', f"s={bare}", [K1], T)


@pytest.mark.parametrize(
    ("now", "accepted"),
    [
        (T, True),
        (T + MAX_AGE, True),
        (T + MAX_AGE + 0.001, False),
        (T + 86_400, False),
        (T - MAX_AHEAD, True),
        (T - MAX_AHEAD - 0.001, False),
        (0, False),
    ],
)
def test_a_signature_is_good_from_a_minute_ahead_to_five_minutes_old(now: float, accepted: bool) -> None:
    if accepted:
        assert K1 == verify(b'{"a":1}', VALID, [K1], now)
    else:
        with pytest.raises(errors.SignatureExpiredError):
            verify(b'{"a":1}', VALID, [K1], now)


def test_the_key_that_matched_is_returned() -> None:
    assert K1 == verify(b'{"a":1}', VALID, [K2, K1], T)


def test_the_key_that_matched_the_canonical_form_is_returned() -> None:
    _, key, timestamp, body, signature = BY_NAME["V2"]

    assert key == verify(body.encode(), f"t={timestamp}&s={signature}", [K2, key], timestamp)


def test_upper_case_hex_is_the_same_signature() -> None:
    assert K1 == verify(b'{"a":1}', f"t={T}&s={VECTORS[0][4].upper()}", [K1], T)


def test_the_timestamp_is_part_of_what_is_signed() -> None:
    with pytest.raises(errors.SigVerificationFailedError):
        verify(b'{"a":1}', f"t={T + 1}&s={VECTORS[0][4]}", [K1], T)


def test_a_zero_before_the_timestamp_is_another_signature() -> None:
    with pytest.raises(errors.SigVerificationFailedError):
        verify(b'{"a":1}', f"t=0{T}&s={VECTORS[0][4]}", [K1], T)


def test_nobody_is_let_in_without_a_key() -> None:
    with pytest.raises(errors.SigVerificationFailedError):
        verify(b'{"a":1}', VALID, [], T)


@pytest.mark.parametrize("body", [b"notjson", b'"\\ud800"', b"NaN", b"\xff\xfe", b'{"a":', b"[" * 10_000, b"1e999"])
def test_a_body_that_has_no_canonical_form_is_refused(body: bytes) -> None:
    with pytest.raises(errors.SigVerificationFailedError):
        verify(body, f"t={T}&s=00", [K1], T)


def test_a_body_that_is_not_json_verifies_as_it_came() -> None:
    body = b"\xff plain \x00 bytes"

    assert K1 == verify(body, calls.sign(body, K1, at=T), [K1], T)


def test_an_altered_body_is_refused() -> None:
    with pytest.raises(errors.SigVerificationFailedError):
        verify(b'{"a":2}', VALID, [K1], T)


@pytest.fixture
def parses(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Count how often a body is parsed, and how long it was."""
    lengths: list[int] = []
    genuine: Callable[[bytes], bytes] = canonicalize

    def counting(body: bytes) -> bytes:
        lengths.append(len(body))
        return genuine(body)

    monkeypatch.setattr(_signature, "canonicalize", counting)
    return lengths


@pytest.mark.parametrize(
    ("length", "expected"),
    [(0, []), (2, [2]), (CANONICAL_LIMIT, [CANONICAL_LIMIT]), (CANONICAL_LIMIT + 1, []), (4_000_000, [])],
)
def test_nothing_is_parsed_above_the_limit(parses: list[int], length: int, expected: list[int]) -> None:
    body = b'"' + b"x" * (length - 2) + b'"' if length else b""

    with pytest.raises(errors.SigVerificationFailedError):
        verify(body, f"t={T}&s=00", [K1, K2], T)

    assert expected == parses


def test_nothing_is_parsed_where_the_bytes_verify_as_sent(parses: list[int]) -> None:
    verify(b'{"a":1}', VALID, [K2, K1], T)

    assert [] == parses


@pytest.mark.parametrize("header", [None, "garbage", f"t={T - 301}&s=00", f"t={T + 61}&s=00"])
def test_nothing_is_parsed_where_the_header_alone_is_reason_enough(parses: list[int], header: str | None) -> None:
    with pytest.raises(errors.UnauthorizedError):
        verify(b'{"a":1}', header, [K1], T)

    assert [] == parses


def test_macs_are_compared_in_constant_time(monkeypatch: pytest.MonkeyPatch) -> None:
    compared: list[tuple[str, str]] = []

    def compare(one: str, other: str) -> bool:
        compared.append((one, other))
        return False

    monkeypatch.setattr("stepserve_core._signature.hmac.compare_digest", compare)
    with pytest.raises(errors.SigVerificationFailedError):
        verify(b"x", f"t={T}&s={'0' * 64}", [K1, K2], T)

    assert 2 == len(compared)


def test_what_we_sign_we_accept() -> None:
    body = b'{"a":[1,2,{"b":null}]}'
    now = round(time.time())

    assert K2 == verify(body, _signature.sign(body, K2, now), [K1, K2], now)

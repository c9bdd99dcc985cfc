"""Bearer hashes and body signatures (protocol.md section 2). No I/O; the clock is an argument."""

from __future__ import annotations

import hashlib
import hmac
import re
from collections.abc import Sequence
from functools import lru_cache

from stepserve_core._canonical import canonicalize
from stepserve_core._signing_key import strip_prefix
from stepserve_core.errors import (
    HeaderMissingError,
    SignatureExpiredError,
    SignatureMalformedError,
    SigVerificationFailedError,
)

MAX_AGE = 5 * 60
"""Seconds after which a signed request is refused."""

MAX_AHEAD = 60
"""Seconds that the sender's clock may run ahead of ours."""

CANONICAL_LIMIT = 16 * 1024
"""Bytes up to which a body that does not verify as sent is canonicalized and tried again. The server signs
the bytes that it sends; only its small sync bodies may differ (2.3). The bound keeps a sender without a key
from making us parse and sort megabytes."""

_ONE_SHOT_LIMIT = 64 * 1024
"""Bytes up to which copying a body, to hash it in one call, costs less than the objects that hash it in pieces."""

_HEADER = re.compile(r"t=([0-9]{1,12})&s=([0-9a-fA-F]{1,128})")


def hash_signing_key(key: str) -> str:
    """Return the bearer token for `key`: SHA-256 over the decoded hex, as hex (2.2)."""
    return hashlib.sha256(bytes.fromhex(strip_prefix(key))).hexdigest()


def hash_event_key(key: str) -> str:
    """Return the hash under which introspection names an event key: SHA-256 over its text (2.2)."""
    return hashlib.sha256(key.encode()).hexdigest()


def sign(body: bytes, key: str, timestamp: int) -> str:
    """Return the signature header for exactly these bytes at `timestamp` (Unix seconds) (2.3, 2.5)."""
    return f"t={timestamp}&s={_mac(body, key, str(timestamp).encode())}"


def verify(body: bytes, header: str | None, keys: Sequence[str], now: float) -> str:
    """Check a request signature and return the key of `keys` that made it.

    The bytes are tried as they came; only short bodies are tried again in canonical form (2.4).

    Raises:
        HeaderMissingError: there is no signature header.
        SignatureMalformedError: the header is not `t=<seconds>&s=<hex>`.
        SignatureExpiredError: it was made more than `MAX_AGE` seconds ago or `MAX_AHEAD` seconds ahead of `now`.
        SigVerificationFailedError: no key made it.
    """
    signature, timestamp = _parse(header)
    _check_age(int(timestamp), now)
    for key in keys:
        if hmac.compare_digest(signature, _mac(body, key, timestamp)):
            return key
    if body and len(body) <= CANONICAL_LIMIT:
        canonical = _canonical_or_none(body)
        if canonical is not None and canonical != body:
            for key in keys:
                if hmac.compare_digest(signature, _mac(canonical, key, timestamp)):
                    return key
    raise SigVerificationFailedError("no configured signing key made this signature")


def _parse(header: str | None) -> tuple[str, bytes]:
    if not header:
        raise HeaderMissingError("the request has no x-inngest-signature header")
    match = _HEADER.fullmatch(header)
    if match is None:
        raise SignatureMalformedError(
            "the x-inngest-signature header is malformed; it must read t=<unix seconds>&s=<hex>"
        )
    return match[2].lower(), match[1].encode()


def _check_age(timestamp: int, now: float) -> None:
    if timestamp < now - MAX_AGE:
        raise SignatureExpiredError(f"the signature is older than {MAX_AGE} seconds; is this machine's clock right?")
    if timestamp > now + MAX_AHEAD:
        raise SignatureExpiredError(
            f"the signature is more than {MAX_AHEAD} seconds ahead of this machine's clock; is the clock right?"
        )


def _mac(body: bytes, key: str, timestamp: bytes) -> str:
    secret = _secret(key)
    if len(body) <= _ONE_SHOT_LIMIT:
        return hmac.digest(secret, body + timestamp, "sha256").hex()
    mac = hmac.new(secret, body, hashlib.sha256)
    mac.update(timestamp)
    return mac.hexdigest()


@lru_cache(maxsize=16)
def _secret(key: str) -> bytes:
    # The text of the key is the HMAC key; only bearer hashing decodes the hex (2.3).
    return strip_prefix(key).encode()


def _canonical_or_none(body: bytes) -> bytes | None:
    try:
        return canonicalize(body)
    except (ValueError, RecursionError):
        return None

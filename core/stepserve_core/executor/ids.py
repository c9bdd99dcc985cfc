"""Ids that the server makes: ULIDs, seeded event ids, stable UUIDs, job ids (executor.md 2.3, 1.8 and 4.6)."""

from __future__ import annotations

import base64
import binascii
import functools
import hashlib
import itertools
import os
import re
import uuid
from collections.abc import Iterator

_ENTROPY_BYTES = 10
_DIGITS = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
_PAIRS = [first + second for first in _DIGITS for second in _DIGITS]
_SHIFTS = range(70, -1, -10)
_ALL_SHIFTS = range(120, -1, -10)
_VALUES = str.maketrans(_DIGITS, "0123456789ABCDEFGHIJKLMNOPQRSTUV")
"""To the digits that Python has for base 32."""

_is_ulid = re.compile("[0-7][0-9A-HJKMNP-TV-Z]{25}", re.IGNORECASE | re.ASCII).fullmatch
_LATEST_MILLISECOND = 2**48 - 1


def new_id(now: float) -> str:
    """Return a fresh ULID for the moment `now`. Those of one moment grow in the order in which they are made."""
    # Every call and every event has one. 80 bits are just 8 pairs.
    entropy = next(_entropy)
    return _digits_of(int(now * 1000)) + "".join([_PAIRS[entropy >> shift & 1023] for shift in _SHIFTS])


def _count_entropy() -> Iterator[int]:
    """Count from a random number on, with half of the range ahead. Safe to share between threads."""
    return itertools.count(int.from_bytes(os.urandom(_ENTROPY_BYTES), "big") >> 1)


_entropy = _count_entropy()


def _count_anew() -> None:
    global _entropy  # noqa: PLW0603 - one count for each process: a fork must not make the ids of its parent
    _entropy = _count_entropy()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_count_anew)


@functools.lru_cache(maxsize=16)
def _digits_of(milliseconds: int) -> str:
    """Return the ten digits with which the ULIDs of a millisecond begin."""
    return _text_of(milliseconds, bytes(_ENTROPY_BYTES))[:10]


def _text_of(milliseconds: int, entropy: bytes) -> str:
    """Return the ULID of a moment and ten bytes: its 128 bits as 26 digits of five bits each."""
    number = milliseconds << 8 * _ENTROPY_BYTES | int.from_bytes(entropy, "big")
    return "".join([_PAIRS[number >> shift & 1023] for shift in _ALL_SHIFTS])


def is_ulid(text: str) -> bool:
    """Say whether `text` is a ULID."""
    return _is_ulid(text) is not None


def bytes_of(ulid: str) -> bytes:
    """Return the 16 bytes of a ULID."""
    return int(ulid.upper().translate(_VALUES), 32).to_bytes(16, "big")


def moment_of(ulid: str) -> float:
    """Return the moment of a ULID, in Unix seconds."""
    return int.from_bytes(bytes_of(ulid)[:6], "big") / 1000


def first_id(moment: float) -> str:
    """Return the smallest ULID of the millisecond of `moment`, for searches by time."""
    milliseconds = min(max(int(moment * 1000), 0), _LATEST_MILLISECOND)
    return _text_of(milliseconds, bytes(_ENTROPY_BYTES))


def read_seed(header: str | None) -> tuple[int, bytes] | None:
    """Read an event id seed, `<ms>,<base64 of 10 bytes>`; a missing or malformed one is None (executor.md 2.3)."""
    milliseconds, comma, entropy = (header or "").partition(",")
    if not comma or not milliseconds.isascii() or not milliseconds.isdigit() or len(milliseconds) > 15:
        return None
    try:
        decoded = base64.b64decode(entropy, validate=True)
    except (binascii.Error, ValueError):
        return None
    if len(decoded) != _ENTROPY_BYTES or int(milliseconds) > _LATEST_MILLISECOND:
        return None
    return int(milliseconds), decoded


def seeded_id(seed: tuple[int, bytes], index: int) -> str:
    """Return the ULID of the event at `index` (from 1) of a request with this seed.

    The last four bytes of the entropy are a big-endian number to which the index is added (executor.md 2.3).
    """
    milliseconds, entropy = seed
    counter = (int.from_bytes(entropy[6:], "big") + index) & 0xFFFFFFFF
    return _text_of(milliseconds, entropy[:6] + counter.to_bytes(4, "big"))


def derived_id(run_id: str, subject: str, now: float) -> str:
    """Return the ULID that belongs to something of a run: always the same one, whoever asks again."""
    entropy = hashlib.sha256(f"{run_id}:{subject}".encode()).digest()[:_ENTROPY_BYTES]
    return _text_of(int(now * 1000), entropy)


def app_id(name: str) -> str:
    """Return the id of the app `name`."""
    return str(uuid.uuid5(uuid.NAMESPACE_OID, name))


def function_id(app: str, slug: str) -> str:
    """Return the id of a function: the same slug of the same app always has the same one."""
    return str(uuid.uuid5(uuid.UUID(app), slug))


def job_id(run_id: str, kind: str, subject: str = "") -> str:
    """Return the id of a queue item. It is derived, so that queueing the same work twice collapses.

    Ids of a run's items begin with the id of the run and a colon; the store removes them by that prefix.
    """
    return f"{run_id}:{kind}:{subject}" if subject else f"{run_id}:{kind}"

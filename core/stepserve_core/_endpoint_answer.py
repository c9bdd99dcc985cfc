"""What a durable endpoint answers, as it is kept by the server and given to a client later (protocol.md 13.2)."""

from __future__ import annotations

import base64
from collections.abc import AsyncIterable, Iterable
from typing import Any, NamedTuple

from stepserve_core._opcodes import Op, Userland, hash_step_id
from stepserve_core._serialize import encode_wire
from stepserve_core.errors import EndpointUnsupportedError

LARGEST_BODY = 2 * 1024 * 1024
"""Bytes of a request or of an answer: both are kept by the server, in base64."""

JSON_HEADERS = {"content-type": "application/json"}

_COOKIE = "set-cookie"


class Plain(NamedTuple):
    """An answer as every framework has it."""

    status: int
    headers: dict[str, str]
    body: bytes


class Answered(NamedTuple):
    """An answer for the server to keep, and the same for the framework to give to a client that still waits."""

    plain: Plain
    returned: Any


def fold_headers(headers: Iterable[tuple[str, str]]) -> dict[str, str]:
    """Return headers with one value for each name, which is what the server keeps.

    Values of one name are joined, as HTTP allows. Cookies cannot be: each gets a spelling of `Set-Cookie` of its own,
    and all of them are one name again where they are sent.
    """
    folded: dict[str, str] = {}
    names: dict[str, str] = {}
    cookies = 0
    for name, value in headers:
        if name.lower() == _COOKIE:
            folded[_spelling(cookies)] = value
            cookies += 1
            continue
        known = names.setdefault(name.lower(), name)
        folded[known] = f"{folded[known]}, {value}" if known in folded else value
    return folded


def _spelling(number: int) -> str:
    """Return one of the 512 spellings of Set-Cookie: each bit of the number makes a letter a capital."""
    letters = list(_COOKIE)
    places = (place for place, letter in enumerate(letters) if letter.isalpha())
    for bit, place in enumerate(places):
        if number >> bit & 1:
            letters[place] = letters[place].upper()
    return "".join(letters)


def collect(chunks: Iterable[bytes]) -> bytes:
    """Return a streamed body whole.

    Raises:
        EndpointUnsupportedError: it is larger than what can be kept.
    """
    body = bytearray()
    for chunk in chunks:
        body += chunk
        check_size(len(body))
    return bytes(body)


async def acollect(chunks: AsyncIterable[bytes]) -> bytes:
    """Return a streamed body whole; see `collect`."""
    body = bytearray()
    async for chunk in chunks:
        body += chunk
        check_size(len(body))
    return bytes(body)


def check_size(size: int) -> None:
    """Refuse a body that is too large to be kept.

    Raises:
        EndpointUnsupportedError: it has more than `LARGEST_BODY` bytes.
    """
    if size > LARGEST_BODY:
        raise EndpointUnsupportedError(f"a durable endpoint answers with up to {LARGEST_BODY} bytes")


def refusal(status: int, message: str) -> Plain:
    """Return the answer to a request that is not served."""
    return Plain(status, JSON_HEADERS, encode_wire({"error": message}))


def complete(plain: Plain) -> Op:
    """Return the op that ends the run with an answer (protocol.md 5.6)."""
    opcode, name = "SyncRunComplete", "complete"
    body = base64.b64encode(plain.body).decode()
    op = Op(name, hash_step_id(name), name, opcode, None, Userland(name, None))
    op.data = {"data": {"status": plain.status, "headers": plain.headers, "body": body}}
    return op

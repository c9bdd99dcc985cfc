"""The messages of the protocol: JSON-RPC 2.0, one in each request (executor.md 1.6). No I/O."""

from __future__ import annotations

from typing import Any

import msgspec

from stepserve_core.executor.nesting import TOO_DEEP, is_too_deep

VERSIONS = ("2025-11-25", "2025-06-18", "2025-03-26")
"""Versions of the protocol that are spoken, the newest first. Later ones have another handshake; their clients fall
back to this one when `server/discover` is not known."""

PARSE_ERROR, INVALID_REQUEST, METHOD_NOT_FOUND, INVALID_PARAMS = -32700, -32600, -32601, -32602


class MessageError(Exception):
    """A message that is answered with an error of JSON-RPC."""

    def __init__(self, code: int, message: str) -> None:
        super().__init__(message)
        self.code = code


class Message(msgspec.Struct, frozen=True):
    """A request, or a notification: that has no `id` and no answer."""

    method: str
    id: str | int | None = None
    params: dict[str, Any] = {}


class _Raw(msgspec.Struct):
    jsonrpc: str
    method: str | None = None
    id: str | int | None = None
    params: dict[str, Any] | None = None


def read_message(body: bytes) -> Message | None:
    """Read a message; None is an answer, which this server never asked for.

    Raises:
        MessageError: it is none.
    """
    if is_too_deep(body):
        raise MessageError(PARSE_ERROR, f"the message is {TOO_DEEP}")
    try:
        raw = msgspec.json.decode(body, type=_Raw)
    except msgspec.ValidationError as error:
        raise MessageError(INVALID_REQUEST, f"the body is not one message of JSON-RPC: {error}") from None
    except (ValueError, RecursionError) as error:
        raise MessageError(PARSE_ERROR, f"the body is not JSON: {error}") from None
    if raw.jsonrpc != "2.0":
        raise MessageError(INVALID_REQUEST, "jsonrpc must be 2.0")
    return None if raw.method is None else Message(raw.method, raw.id, raw.params or {})


def choose_version(wanted: object) -> str:
    """Return the version to speak: the one that a client asks for, where it is known, else our newest."""
    return wanted if isinstance(wanted, str) and wanted in VERSIONS else VERSIONS[0]


def write_result(message_id: str | int, result: object) -> dict[str, Any]:
    """Return the answer to a request."""
    return {"jsonrpc": "2.0", "id": message_id, "result": result}


def write_error(message_id: str | int | None, error: MessageError) -> dict[str, Any]:
    """Return the answer to a message that cannot be carried out."""
    return {"jsonrpc": "2.0", "id": message_id, "error": {"code": error.code, "message": str(error)}}

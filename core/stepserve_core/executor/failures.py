"""Errors as the server keeps them: of a step, of a function, of the transport (executor.md 4.4 and 6). No I/O."""

from __future__ import annotations

from typing import Any

import msgspec

from stepserve_core._canonical import canonicalize
from stepserve_core.executor import fragments

_KEPT = ("cause", "data", "message", "name", "noRetry", "stack")


class Failure(msgspec.Struct, frozen=True):
    """A failed attempt of a function.

    `summary` is the server's own words (`invalid status code: 500`, `not_sdk`). `body` is the app's error object as
    canonical JSON, which becomes the output of the run; without one an object is made of `name` and `message`.
    """

    summary: str
    message: str
    name: str = "Error"
    stack: str | None = None
    cause: bytes | None = None
    body: bytes | None = None
    retriable: bool = True

    @property
    def output(self) -> bytes:
        """The output of a run that ends with this failure."""
        if self.body is not None:
            return self.body
        parts = {"message": self.message, "name": self.name}
        return fragments.encode({**parts, "stack": self.stack} if self.stack else parts)

    @property
    def event_error(self) -> bytes:
        """The `data.error` of the events about this failure (executor.md 2.8)."""
        parts = {key: fragments.text(getattr(self, key)) for key in ("message", "name")}
        parts["error"] = fragments.text(self.summary)
        if self.stack is not None:
            parts["stack"] = fragments.text(self.stack)
        if self.cause is not None:
            parts["cause"] = self.cause
        return fragments.join_object(parts)


def read_error_body(body: bytes, summary: str) -> Failure:
    """Read the error that an app answered with; plain text and odd shapes are tolerated."""
    try:
        canonical = canonicalize(body)
        value = msgspec.json.decode(canonical or b"null")
    except (ValueError, RecursionError):
        return Failure(summary, body.decode(errors="replace") or summary)
    if isinstance(value, str):
        return Failure(summary, value, body=canonical)
    fields = _error_fields(value)
    return Failure(
        summary,
        message=_text(fields.get("message")) or summary,
        name=_text(fields.get("name")) or "Error",
        stack=_text(fields.get("stack")),
        cause=None if fields.get("cause") is None else fragments.encode(fields["cause"]),
        body=canonical or None,
    )


def step_error_memo(raw: bytes | msgspec.Raw, no_retry: bool) -> bytes:
    """Return the memo of a step that failed for good: `{"error": …}` with the keys that the server keeps."""
    fields = _error_fields(msgspec.json.decode(raw))
    kept: dict[str, Any] = {key: fields[key] for key in _KEPT if fields.get(key) is not None}
    kept["name"] = _text(fields.get("name")) or "Error"
    kept["message"] = _text(fields.get("message")) or ""
    if no_retry:
        kept["noRetry"] = True
    return fragments.encode({"error": kept})


def error_memo(name: str, message: str, *, error: str | None = None) -> bytes:
    """Return the memo of a failure that the server itself found."""
    fields = {"name": name, "message": message}
    return fragments.encode({"error": {**fields, "error": error} if error else fields})


def _error_fields(value: object) -> dict[str, Any]:
    if not isinstance(value, dict):
        return {"message": value} if isinstance(value, str) else {}
    fields: dict[str, Any] = value  # pyright: ignore[reportUnknownVariableType] - objects of JSON have string keys
    nested = fields.get("error")
    if "message" not in fields and isinstance(nested, dict):
        return nested  # pyright: ignore[reportUnknownVariableType] - as above
    return fields


def _text(value: object) -> str | None:
    return value if isinstance(value, str) else None

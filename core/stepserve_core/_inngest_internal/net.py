"""Signatures and URLs, under the names of the official `inngest._internal.net`; most errors are returned there."""

from __future__ import annotations

import time

from stepserve_core import _protocol
from stepserve_core._canonical import canonicalize
from stepserve_core._inngest_internal import without_counterpart
from stepserve_core._inngest_internal.server_lib import Framework, ServerKind
from stepserve_core._registration import serve_url
from stepserve_core._settings import parse_origin
from stepserve_core._signature import sign, verify
from stepserve_core.errors import Error, SigningKeyMissingError

__all__ = [
    "create_headers",
    "create_serve_url",
    "normalize_headers",
    "parse_url",
    "sign_request",
    "sign_response",
    "validate_request_sig",
    "validate_response_sig",
]


def sign_request(body: bytes, signing_key: str, unix_ms: int | None = None) -> str:
    """Return the signature header of a request (protocol.md 2.3). `unix_ms` holds seconds, there too."""
    return sign(canonicalize(body) if body else body, signing_key, _seconds(unix_ms))


def sign_response(body: bytes, signing_key: str, unix_ms: int | None = None) -> str:
    """Return the signature header of a response (protocol.md 2.5). `unix_ms` holds seconds, there too."""
    return sign(body, signing_key, _seconds(unix_ms))


def validate_request_sig(
    *,
    body: bytes,
    headers: dict[str, str],
    mode: ServerKind,
    signing_key: str | None,
    signing_key_fallback: str | None,
) -> str | Exception | None:
    """Return the key that signed a request, None in dev mode, or what is wrong (protocol.md 2.4)."""
    if mode is ServerKind.DEV_SERVER:
        return None
    keys = [key for key in (signing_key, signing_key_fallback) if key]
    if not keys:
        return SigningKeyMissingError("cannot validate signature in production mode without a signing key")
    try:
        return verify(body, headers.get(_protocol.SIGNATURE), keys, time.time())
    except Error as error:
        return error


def validate_response_sig(
    *, body: bytes, headers: dict[str, str], mode: ServerKind, signing_key: str
) -> str | Exception | None:
    """Return the key that signed a response, None in dev mode, or what is wrong."""
    return validate_request_sig(
        body=body, headers=headers, mode=mode, signing_key=signing_key, signing_key_fallback=None
    )


def create_headers(*, env: str | None, framework: Framework | None, server_kind: ServerKind | None) -> dict[str, str]:
    """Return the headers of an outgoing request (protocol.md 3.1)."""
    headers = {
        "content-type": "application/json",
        "user-agent": _protocol.SDK_HEADER_VALUE,
        _protocol.SDK: _protocol.SDK_HEADER_VALUE,
        _protocol.REQ_VERSION: _protocol.REQUEST_VERSION,
    }
    optional = {
        _protocol.ENV: env,
        _protocol.FRAMEWORK: framework and framework.value,
        _protocol.EXPECTED_SERVER_KIND: server_kind and server_kind.value,
    }
    return {**headers, **{name: value for name, value in optional.items() if value is not None}}


def create_serve_url(
    *, public_path: str | None, request_url: str, serve_origin: str | None, serve_path: str | None
) -> str:
    """Return the URL that is registered for an app (protocol.md 1.5)."""
    return serve_url(request_url, serve_origin=serve_origin, path=public_path or serve_path)


def normalize_headers(headers: dict[str, str] | dict[str, list[str]]) -> dict[str, str]:
    """Return headers with lower-case names and one value each, the first."""
    return {name.lower(): value if isinstance(value, str) else value[0] for name, value in headers.items()}


def parse_url(url: str, mode: ServerKind) -> str | Exception:
    """Return a URL as an origin, or what is wrong with it (protocol.md 1.4)."""
    try:
        return parse_origin(url, "cloud" if mode is ServerKind.CLOUD else "dev")
    except ValueError as error:
        return error


def _seconds(unix: int | None) -> int:
    return int(time.time()) if unix is None else unix


__getattr__ = without_counterpart(__name__)

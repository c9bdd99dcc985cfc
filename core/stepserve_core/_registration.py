"""Introspection and sync: what an app tells a server about itself (protocol.md section 4)."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode, urlsplit, urlunsplit

import msgspec

from stepserve_core import _http, _protocol
from stepserve_core._config import strip_nulls
from stepserve_core._runtime import Runtime
from stepserve_core._serialize import encode_wire
from stepserve_core._signature import hash_event_key, hash_signing_key
from stepserve_core._version import VERSION
from stepserve_core.errors import FunctionConfigInvalidError, RegistrationFailedError, URLInvalidError

if TYPE_CHECKING:
    from stepserve_core._client import Inngest
    from stepserve_core._function import Function

CAPABILITIES = {"connect": "v1", "in_band_sync": "v1", "trust_probe": "v1"}
TIMEOUT = 30.0
"""Seconds for the server's answer to a registration (1.6)."""


def serve_url(request_url: str, *, serve_origin: str | None, path: str | None) -> str:
    """Return the URL under which the app is reached, without query (1.5).

    Args:
        request_url: the URL of the request as the framework sees it.
        serve_origin: replaces scheme and host; https is assumed where it names no scheme.
        path: replaces the path.

    Raises:
        URLInvalidError: the Host header, which anybody may send, makes no URL.
    """
    try:
        url = urlsplit(request_url)
        request_url.encode()
    except ValueError as error:
        raise URLInvalidError(message=f"the URL of the request cannot be used: {error}") from None
    scheme, host = url.scheme, url.netloc
    if serve_origin and "://" in serve_origin:
        origin = urlsplit(serve_origin)
        scheme, host = origin.scheme, origin.netloc
    elif serve_origin:
        scheme, host = "https", serve_origin
    return urlunsplit((scheme, host, path or url.path, "", ""))


def function_configs(functions: Iterable[Function[Any]], app_url: str) -> list[dict[str, Any]]:
    """Return what is registered for `functions`, each with its handlers of failures and cancellations.

    Raises:
        FunctionConfigInvalidError: there are none.
    """
    configs = []
    for function in functions:
        config = function.get_config(app_url)
        configs.append(config.main)
        configs += [companion for companion in (config.on_failure, config.on_cancel) if companion is not None]
    if not configs:
        raise FunctionConfigInvalidError("no functions found; pass the functions of this app to serve()")
    return configs


def inspection(client: Inngest, function_count: int) -> dict[str, Any]:
    """Return what anybody may know in dev mode (4.1)."""
    return {
        "schema_version": "2024-05-24",
        "function_count": function_count,
        "has_event_key": client.event_key is not None,
        "has_signing_key": client.signing_key is not None,
        "has_signing_key_fallback": client.signing_key_fallback is not None,
        "mode": client.settings.mode,
    }


def authenticated_inspection(
    client: Inngest, function_count: int, framework: str, *, serve_origin: str | None, serve_path: str | None
) -> dict[str, Any]:
    """Return what a server that signed its request may know: hashes of keys, never keys (4.1)."""
    return {
        **inspection(client, function_count),
        "api_origin": client.api_origin,
        "app_id": client.app_id,
        "authentication_succeeded": True,
        "capabilities": CAPABILITIES,
        "env": client.env,
        "event_api_origin": client.event_api_origin,
        "event_key_hash": client.event_key and hash_event_key(client.event_key),
        "framework": framework,
        "sdk_language": "py",
        "sdk_version": VERSION,
        "serve_origin": serve_origin,
        "serve_path": serve_path,
        "signing_key_fallback_hash": client.signing_key_fallback and hash_signing_key(client.signing_key_fallback),
        "signing_key_hash": client.signing_key and hash_signing_key(client.signing_key),
    }


def in_band_reply(
    client: Inngest, configs: list[dict[str, Any]], *, framework: str, url: str, inspected: dict[str, Any]
) -> dict[str, Any]:
    """Return the answer to an in-band sync (4.4)."""
    reply: dict[str, Any] = strip_nulls(
        {
            "app_id": client.app_id,
            "appVersion": client.app_version,
            "env": client.env,
            "framework": framework,
            "functions": configs,
            "inspection": inspected,
            "sdk_author": "inngest",
            "sdk_language": "py",
            "sdk_version": VERSION,
            "url": url,
        }
    )
    return reply


async def register(
    client: Inngest,
    runtime: Runtime,
    configs: list[dict[str, Any]],
    *,
    framework: str,
    url: str,
    server_kind: str | None,
    deploy_id: str | None,
) -> dict[str, Any]:
    """Register the functions with the server; return its answer (4.5).

    Raises:
        RegistrationFailedError: it could not be reached, or refused them; the message says why.
    """
    body = encode_wire(
        strip_nulls(
            {
                "appname": client.app_id,
                "appVersion": client.app_version,
                "capabilities": CAPABILITIES,
                "deployType": "ping",
                "framework": framework,
                "functions": configs,
                "sdk": _protocol.SDK_SYNC_VALUE,
                "url": url,
                "v": "0.1",
            }
        )
    )
    headers = {**client.headers, _protocol.FRAMEWORK: framework}
    if server_kind:
        headers[_protocol.EXPECTED_SERVER_KIND] = server_kind
    target = client.settings.api_url("/fn/register")
    if deploy_id:
        target += "?" + urlencode({"deployId": deploy_id})
    try:
        response = await send_authenticated(
            client, runtime, "POST", target, headers=headers, body=body, timeout=TIMEOUT
        )
    except _http.HTTPFailedError as error:
        raise RegistrationFailedError(f"the server at {target} could not be reached: {error}") from None
    return _read_reply(response)


async def send_authenticated(
    client: Inngest,
    runtime: Runtime,
    method: str,
    url: str,
    *,
    headers: dict[str, str],
    body: bytes | None = None,
    timeout: float,
    repeatable: bool = False,
) -> _http.HTTPResponse:
    """Send a request with the bearer token; try the fallback key once if the server refuses the first (2.2)."""
    tokens: list[str | None] = [hash_signing_key(key) for key in client.settings.keys]
    first, *others = tokens or [None]

    async def attempt(token: str | None) -> _http.HTTPResponse:
        authorized = headers if token is None else {**headers, "authorization": f"Bearer {token}"}
        return await _http.ask(
            client, runtime, method, url, headers=authorized, body=body, timeout=timeout, repeatable=repeatable
        )

    response = await attempt(first)
    for token in others:
        if response.status in (401, 403):
            response = await attempt(token)
    return response


def _read_reply(response: _http.HTTPResponse) -> dict[str, Any]:
    try:
        reply = msgspec.json.decode(response.body)
    except (msgspec.DecodeError, UnicodeDecodeError):
        text = response.body[:200].decode("utf-8", "replace")
        raise RegistrationFailedError(
            f"the server answered HTTP {response.status}: response is not valid JSON: {text}"
        ) from None
    if not isinstance(reply, dict):
        raise RegistrationFailedError(f"the server answered HTTP {response.status}: response is not an object")
    if response.status >= 400:
        raise RegistrationFailedError(f"the server answered HTTP {response.status}: {reply.get('error') or reply}")
    return reply


class SyncResponder:
    """Answers sync requests of one served app; `Handler` decides which kind is allowed."""

    def __init__(self, client: Inngest, functions: Iterable[Function[Any]], framework: str) -> None:
        self._client = client
        self._functions = list(functions)
        self._framework = framework

    def in_band(self, url: str, inspected: dict[str, Any]) -> bytes:
        """Return the body that lists the functions."""
        configs = function_configs(self._functions, url)
        return encode_wire(
            in_band_reply(self._client, configs, framework=self._framework, url=url, inspected=inspected)
        )

    async def out_of_band(
        self, runtime: Runtime, url: str, server_kind: str | None, deploy_id: str | None
    ) -> dict[str, Any]:
        """Register the functions, and return the server's answer."""
        configs = function_configs(self._functions, url)
        return await register(
            self._client,
            runtime,
            configs,
            framework=self._framework,
            url=url,
            server_kind=server_kind,
            deploy_id=deploy_id,
        )

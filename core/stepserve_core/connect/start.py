"""What a worker asks the server over HTTP: where to connect, and to take answers (protocol.md 12.1 and 12.5)."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from stepserve_core import _http
from stepserve_core._registration import send_authenticated
from stepserve_core._runtime import AsyncRuntime
from stepserve_core.connect.messages import (
    CONTENT_TYPE,
    FLUSH_PATH,
    START_PATH,
    StartRequest,
    StartResponse,
    WorkerReply,
)
from stepserve_core.connect.schema import Message, MessageInvalidError
from stepserve_core.errors import ConfigurationError, ConnectError, ConnectRefusedError

if TYPE_CHECKING:
    from stepserve_core._client import Inngest


async def ask_for_gateway(client: Inngest, timeout: float) -> StartResponse:
    """Ask the server which gateway to connect to.

    Raises:
        ConnectRefusedError: it does not accept the signing key.
        ConnectError: it could not be reached, or gave something else.
    """
    response = await _post(client, START_PATH, StartRequest(), timeout)
    if response.status in (401, 403):
        hint = "is INNGEST_SIGNING_KEY that of the server?" if client.signing_key else "it needs INNGEST_SIGNING_KEY"
        raise ConnectRefusedError(
            f"unauthorized: the server at {client.api_origin} does not let this worker connect; {hint}"
        )
    if response.status != 200:
        text = response.body[:200].decode("utf-8", "replace")
        raise ConnectError(f"the server at {client.api_origin} answered HTTP {response.status}: {text}")
    try:
        return StartResponse.decode(response.body)
    except MessageInvalidError as error:
        raise ConnectError(f"the server at {client.api_origin} does not speak Connect: {error}") from None


async def flush(client: Inngest, reply: WorkerReply, timeout: float) -> None:
    """Hand in an answer that the gateway did not acknowledge.

    Raises:
        ConnectError: the server did not take it.
    """
    response = await _post(client, FLUSH_PATH, reply, timeout)
    if response.status != 200:
        raise ConnectError(f"the server at {client.api_origin} answered HTTP {response.status}")


async def _post(client: Inngest, path: str, message: Message, timeout: float) -> _http.HTTPResponse:
    url = client.settings.api_url(path)
    headers = {**client.headers, "content-type": CONTENT_TYPE}
    body, runtime = message.encode(), AsyncRuntime()
    try:
        if not client.is_production:  # in dev mode no key is shown, even if there is one (1.3)
            return await _http.send(runtime, "POST", url, headers=headers, body=body, timeout=timeout)
        return await send_authenticated(client, runtime, "POST", url, headers=headers, body=body, timeout=timeout)
    except _http.HTTPFailedError as error:
        raise ConnectError(f"the server at {client.api_origin} could not be reached: {error}") from None


def rewrite(endpoint: str, rewriter: Callable[[str], str] | None) -> str:
    """Return where to connect to, after the user's changes.

    Raises:
        ConfigurationError: it is no WebSocket URL.
    """
    rewritten = endpoint if rewriter is None else rewriter(endpoint)
    try:
        parts = urlsplit(rewritten)
        is_usable = parts.scheme in ("ws", "wss") and bool(parts.hostname)
    except (ValueError, AttributeError):
        is_usable = False
    if not is_usable:
        source = "the server" if rewriter is None else "rewrite_gateway_endpoint"
        raise ConfigurationError(f"{source} named {rewritten!r} as gateway, which is not ws://host or wss://host")
    return rewritten

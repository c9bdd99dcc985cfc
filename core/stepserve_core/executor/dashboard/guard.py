"""Keeping other web sites out of a development server, which asks for no key.

A page of any site can make the browser that shows it send requests here: directly, or under a name of its own that it
lets point to 127.0.0.1 (DNS rebinding). Browsers say under which name (`Host`) and from which page (`Origin`).
"""

from __future__ import annotations

import ipaddress
from collections.abc import Sequence
from urllib.parse import urlsplit

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

from stepserve_core.executor.api.http import json_response

_LOCAL_NAMES = frozenset({"localhost", "host.docker.internal", "host.containers.internal"})


def host_name(authority: str) -> str:
    """Return the name of `name:port`, in lower case; empty where it cannot be read."""
    try:
        return (urlsplit(f"//{authority}").hostname or "").rstrip(".")
    except ValueError:
        return ""


def is_local_host(name: str, allowed: Sequence[str]) -> bool:
    """Say whether a `Host` can be meant: addresses and names without a dot are nobody's in the DNS of the internet."""
    if name in _LOCAL_NAMES or name.endswith(".localhost") or name in allowed:
        return True
    return _is_address(name) or (bool(name) and "." not in name)


def is_local_origin(origin: str, host: str, allowed: Sequence[str]) -> bool:
    """Say whether a page may use this server: one of its own, of this machine, or of a name that was allowed."""
    try:
        parts = urlsplit(origin)
        name = (parts.hostname or "").rstrip(".")
    except ValueError:
        return False
    if parts.netloc.lower() == host.lower() or name in allowed:
        return True
    return name == "localhost" or name.endswith(".localhost") or _is_loopback(name)


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True


def _is_loopback(name: str) -> bool:
    return _is_address(name) and ipaddress.ip_address(name).is_loopback


class LocalOnlyMiddleware:
    """Refuses requests under foreign names and from foreign pages. `allowed` are further names."""

    def __init__(self, app: ASGIApp, allowed: Sequence[str]) -> None:
        self._app = app
        self._allowed = frozenset(name.lower() for name in allowed)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on, or answer 403."""
        problem = self._problem(Headers(scope=scope)) if scope["type"] in ("http", "websocket") else None
        if problem is None:
            await self._app(scope, receive, send)
        elif scope["type"] == "websocket":
            await receive()
            await send({"type": "websocket.close", "code": 4403})
        else:
            await json_response({"error": problem, "data": None, "status": 403}, 403)(scope, receive, send)

    def _problem(self, headers: Headers) -> str | None:
        host, origin = headers.get("host"), headers.get("origin")
        allowed = tuple(self._allowed)
        if host is not None and not is_local_host(host_name(host), allowed):
            return f"this development server does not answer to {host[:100]!r}; --allowed-host lets it"
        if origin is not None and not is_local_origin(origin, host or "", allowed):
            return f"pages of {origin[:100]!r} may not use this development server; --allowed-host lets them"
        return None

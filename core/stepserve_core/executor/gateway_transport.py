"""Requests to anywhere, for gateway steps: resolve, check, connect to what was checked (executor.md 5.9).

A name is resolved once for each hop, and the connection goes to one of the addresses that were checked. So a name
server that answers differently the second time (DNS rebinding) gains nothing.
"""

from __future__ import annotations

import asyncio
import io
import ipaddress
import socket
from collections.abc import Awaitable, Callable

import aiohttp
import yarl

from stepserve_core.executor import limits
from stepserve_core.executor.addresses import show_url
from stepserve_core.executor.gateway_messages import GatewayReply, GatewayRequest
from stepserve_core.executor.gateway_policy import DestinationRefusedError, GatewayPolicy, GatewayRefusedError
from stepserve_core.executor.http_transport import REDIRECTS, KeptSession, read_body
from stepserve_core.executor.transport import TransportError, within

Resolve = Callable[[str, int], Awaitable[list[str]]]

DEFAULT_TIMEOUT = 600.0
"""Seconds that a request may take, redirects and body included; models may think for minutes."""

_CONNECT = aiohttp.ClientTimeout(total=None, sock_connect=10.0)
_SECRETS = frozenset({"authorization", "cookie", "proxy-authorization", "x-api-key", "x-goog-api-key", "api-key"})
"""Headers that a redirect does not carry to another origin."""

_BODY_HEADERS = frozenset({"content-type", "content-length", "content-encoding"})


class TooManyRedirectsError(GatewayRefusedError):
    """The redirects do not come to an end."""


class ReplyTooLargeError(GatewayRefusedError):
    """The reply is larger than a step's output may be."""


class GatewayTransport:
    """Makes the requests of gateway steps, within a policy.

    Args:
        policy: where it may connect to.
        timeout: seconds for a whole request.
        resolve: gives the addresses of a name; the system's resolver by default.
    """

    def __init__(
        self, policy: GatewayPolicy, *, timeout: float = DEFAULT_TIMEOUT, resolve: Resolve | None = None
    ) -> None:
        self._policy = policy
        self._timeout = timeout
        self._resolve = resolve or resolve_name
        self._session = KeptSession()

    async def send(self, request: GatewayRequest) -> GatewayReply:
        """Return the reply, whatever its status.

        Raises:
            GatewayRefusedError: the policy forbids it, or a redirect leads to where it does, or a limit was passed.
            TransportError: there is no reply.
        """
        try:
            return await within(self._timeout, self._follow(request))
        except asyncio.TimeoutError:
            message = f"{show_url(request.url)} did not answer within {self._timeout:g} s"
            raise TransportError("request_duration_too_long", message) from None
        except (aiohttp.ClientError, OSError, ValueError) as error:
            raise TransportError("http_unreachable", f"{show_url(request.url)} cannot be reached: {error}") from None

    async def _follow(self, request: GatewayRequest) -> GatewayReply:
        for _ in range(limits.GATEWAY_REDIRECTS + 1):
            reply = await self._send_once(request)
            location = reply.headers.get("location")
            if reply.status not in REDIRECTS or not location:
                return reply
            request = redirected(request, reply.status, location)
        message = f"{show_url(request.url)} redirects more than {limits.GATEWAY_REDIRECTS} times"
        raise TooManyRedirectsError(message)

    async def _send_once(self, request: GatewayRequest) -> GatewayReply:
        target = _read_url(request.url)
        host, port = target.host or "", target.port or 0
        addresses = _literal(host) or await self._resolve(host, port)
        self._policy.check(host, port, addresses)
        failure: Exception | None = None
        for address in addresses:
            try:
                return await self._send_to(address, target, request)
            except aiohttp.ClientConnectorError as error:  # nothing was sent: another address may answer
                failure = error
        assert failure is not None
        raise failure

    async def _send_to(self, address: str, target: yarl.URL, request: GatewayRequest) -> GatewayReply:
        """Connect to an address that was checked; the name stays in the Host header and in the certificate check."""
        headers = {"user-agent": "stepserve", **request.headers, "host": target.authority.rpartition("@")[2]}
        async with self._session.open().request(
            request.method,
            target.with_host(address),
            # aiohttp asks for large bodies as files, so that it can send them in pieces.
            data=io.BytesIO(request.body) if request.body else None,
            headers=headers,
            skip_auto_headers=("content-type",),
            timeout=_CONNECT,
            allow_redirects=False,
            server_hostname=target.host if target.scheme == "https" and target.host != address else None,
        ) as response:
            body = await read_body(response, limits.GATEWAY_BODY)
        if len(body) > limits.GATEWAY_BODY:
            raise ReplyTooLargeError(f"the reply of {show_url(str(target))} is larger than {limits.GATEWAY_BODY} bytes")
        return GatewayReply(str(target), response.status, _join_headers(response), body)

    async def close(self) -> None:
        """Close the kept connections."""
        await self._session.close()


def redirected(request: GatewayRequest, status: int, location: str) -> GatewayRequest:
    """Return the request that a redirect asks for: as browsers do, a POST becomes a GET unless 307 or 308 say no.

    Credentials are not carried to another origin.
    """
    before = yarl.URL(request.url)
    after = _read_url(str(before.join(yarl.URL(location))))
    method, body, dropped = request.method, request.body, frozenset[str]()
    if status == 303 or (status in (301, 302) and method == "POST"):
        method, body, dropped = "HEAD" if method == "HEAD" else "GET", b"", _BODY_HEADERS
    if before.origin() != after.origin():
        dropped |= _SECRETS
    headers = {name: value for name, value in request.headers.items() if name not in dropped}
    return GatewayRequest(method, str(after), headers, body)


def _join_headers(response: aiohttp.ClientResponse) -> dict[str, str]:
    headers: dict[str, str] = {}
    for name, value in response.headers.items():
        known = headers.get(name.lower())
        headers[name.lower()] = value if known is None else f"{known}, {value}"
    return headers


async def resolve_name(host: str, port: int) -> list[str]:
    """Return the addresses of a name, each once, in the system's order."""
    found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(entry[4][0]) for entry in found))


def _read_url(text: str) -> yarl.URL:
    try:
        url = yarl.URL(text)
    except ValueError as error:
        raise DestinationRefusedError(f"{show_url(text)!r} is not a URL: {error}") from None
    if url.scheme not in ("http", "https") or not url.host:
        raise DestinationRefusedError(f"{show_url(text)!r} is not an http or https URL")
    return url


def _literal(host: str) -> list[str]:
    """Return the address that a host is, if it is one.

    Odd spellings of addresses ("2130706433", "0x7f.1") are no literals here; the resolver turns them into addresses.
    """
    try:
        return [str(ipaddress.ip_address(host))]
    except ValueError:
        return []

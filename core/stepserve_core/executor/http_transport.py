"""Reaching an app over HTTP with keep-alive (executor.md 4.3, "Transport")."""

from __future__ import annotations

import asyncio
import io
from collections.abc import Mapping

import aiohttp
import yarl

from stepserve_core.executor import limits
from stepserve_core.executor.answers import Reply
from stepserve_core.executor.transport import TransportError, within

_CONNECT = aiohttp.ClientTimeout(total=None, sock_connect=10.0)
REDIRECTS = frozenset({301, 302, 303, 307, 308})


class KeptSession:
    """The connections of a transport, opened with its first request."""

    def __init__(self) -> None:
        self._session: aiohttp.ClientSession | None = None

    def open(self) -> aiohttp.ClientSession:
        """Return what makes requests. How many are under way is bounded by the loop, not here."""
        if self._session is None:
            connector = aiohttp.TCPConnector(limit=0, keepalive_timeout=limits.UNUSED_CONNECTION)
            self._session = aiohttp.ClientSession(connector=connector, cookie_jar=aiohttp.DummyCookieJar())
        return self._session

    async def close(self) -> None:
        """Close the kept connections."""
        if self._session is not None:
            await self._session.close()
            self._session = None


class HttpTransport:
    """Sends over HTTP and keeps connections. With 50 calls under way aiohttp takes a tenth of httpx's time."""

    def __init__(self) -> None:
        self._session = KeptSession()

    async def send(self, method: str, url: str, headers: Mapping[str, str], body: bytes, timeout: float) -> Reply:
        """Return the answer; bodies are cut off above the size limit, redirects are followed up to a limit."""
        try:
            return await within(timeout, self._send(method, url, headers, body))
        except asyncio.TimeoutError:
            raise TransportError("request_duration_too_long", f"{url} did not answer within {timeout:g} s") from None
        except (aiohttp.InvalidURL, aiohttp.NonHttpUrlClientError):
            raise TransportError("unsupported_protocol", f"{url} is not an http or https URL") from None
        except (aiohttp.ClientError, OSError, ValueError) as error:
            raise TransportError("http_unreachable", f"{url} cannot be reached: {error}") from None

    async def _send(self, method: str, url: str, headers: Mapping[str, str], body: bytes) -> Reply:
        """Follow redirects by hand: method, headers and body are sent again, whatever the redirect's status."""
        target = yarl.URL(url)
        for _ in range(limits.REDIRECTS + 1):
            # aiohttp asks for large bodies as files, so that it can send them in pieces.
            data = io.BytesIO(body) if len(body) > limits.MEBIBYTE // 2 else body
            async with self._session.open().request(
                method, target, data=data, headers=headers, timeout=_CONNECT, allow_redirects=False
            ) as response:
                location = response.headers.get("location")
                if response.status not in REDIRECTS or not location:
                    answer_headers = {name.lower(): value for name, value in response.headers.items()}
                    return Reply(response.status, answer_headers, await read_body(response, limits.ANSWER_BODY))
                target = target.join(yarl.URL(location))
        raise TransportError("too_many_redirects", f"{url} redirects more than {limits.REDIRECTS} times")

    async def close(self) -> None:
        """Close the kept connections."""
        await self._session.close()


async def read_body(response: aiohttp.ClientResponse, limit: int) -> bytes:
    """Read a body. What comes after the chunk that goes over `limit` is not read, and the result is longer than it."""
    chunks: list[bytes] = []
    received = 0
    async for chunk in response.content.iter_any():
        chunks.append(chunk)
        received += len(chunk)
        if received > limit:
            response.close()
            break
    return b"".join(chunks)

"""What a server and an app answer when they are looked at. Nothing is changed by looking."""

from __future__ import annotations

import email.utils
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

import httpx
import msgspec

from stepserve_core import _protocol
from stepserve_core._signature import hash_signing_key, sign

_TIMEOUT = 10.0
_LARGEST_BODY = 8 * 1024 * 1024


@dataclass(frozen=True)
class Answer:
    """An HTTP answer.

    `content` is its JSON value, or None where it is none. `ahead` is by how many seconds the sender's clock is
    ahead of ours (negative: behind), as far as the Date header tells that for certain; None without one.
    """

    status: int
    headers: Mapping[str, str]
    content: Any = None
    ahead: float | None = None

    @property
    def fields(self) -> Mapping[str, Any]:
        """The JSON object that was sent; empty where it was none."""
        return self.content if isinstance(self.content, dict) else {}


@dataclass(frozen=True)
class Silence:
    """No answer, and why."""

    reason: str


@dataclass(frozen=True)
class ServerLook:
    """What a server says: of itself, and of the apps that it knows (`None`: it was not asked, or did not tell).

    `slugs` are those of the functions of each app, by the app's id.
    """

    url: str
    health: Answer | Silence
    listing: Answer | None = None
    apps: tuple[Mapping[str, Any], ...] | None = None
    slugs: Mapping[str, frozenset[str]] | None = None


@dataclass(frozen=True)
class AppLook:
    """What an app says: of itself, and, to whoever has its key, what it serves (`in_band`)."""

    url: str
    inspection: Answer | Silence
    in_band: Answer | Silence | None = None


class Observer:
    """Looks at servers and apps. `signing_key` opens those that are in production mode.

    Args:
        http: sends the requests; it must not follow redirects, which are something to be told of.
        now: the time, in Unix seconds.
    """

    def __init__(self, http: httpx.Client, signing_key: str | None, now: Callable[[], float] = time.time) -> None:
        self._http = http
        self._key = signing_key
        self._now = now

    def server(self, url: str) -> ServerLook:
        """Look at a server, and at what is registered there."""
        url = url.rstrip("/")
        health = self._look("GET", f"{url}/health")
        if isinstance(health, Silence) or health.status != 200:
            return ServerLook(url, health)
        bearer = {} if self._key is None else {"authorization": f"Bearer {hash_signing_key(self._key)}"}
        listing = self._look("GET", f"{url}/v2/apps", bearer)
        apps = None if isinstance(listing, Silence) or listing.status != 200 else listing.fields.get("data")
        if isinstance(listing, Silence) or not isinstance(apps, list):
            return ServerLook(url, health, None if isinstance(listing, Silence) else listing)
        slugs = {}
        for app in apps:
            functions = self._look("GET", f"{url}/v2/apps/{quote(app['id'], safe='')}/functions", bearer)
            if isinstance(functions, Answer) and functions.status == 200:
                slugs[app["id"]] = frozenset(function["slug"] for function in functions.fields.get("data", []))
        return ServerLook(url, health, listing, tuple(apps), slugs)

    def app(self, url: str, kind: str | None) -> AppLook:
        """Look at an app, as a server of this kind (dev, cloud or unknown) would."""
        headers = {} if kind is None else {_protocol.SERVER_KIND: kind}
        inspection = self._look("GET", url, {**headers, **self._signature(b"")})
        fields = {} if isinstance(inspection, Silence) else inspection.fields
        if not fields.get("authentication_succeeded"):
            return AppLook(url, inspection)
        # Only an app in production mode lists what it serves; in development it would register itself.
        body = msgspec.json.encode({"url": url})
        asking = {**headers, **self._signature(body), _protocol.SYNC_KIND: "in_band"}
        return AppLook(url, inspection, self._look("PUT", url, {**asking, "content-type": "application/json"}, body))

    def _signature(self, body: bytes) -> dict[str, str]:
        return {} if self._key is None else {_protocol.SIGNATURE: sign(body, self._key, int(self._now()))}

    def _look(
        self, method: str, url: str, headers: Mapping[str, str] | None = None, body: bytes | None = None
    ) -> Answer | Silence:
        before = self._now()
        try:
            response = self._http.request(method, url, headers=headers, content=body, timeout=_TIMEOUT)
        except (httpx.TransportError, httpx.InvalidURL) as error:
            return Silence(str(error) or type(error).__name__)
        ahead = clock_difference(response.headers.get("date"), before, self._now())
        return Answer(response.status_code, dict(response.headers), _json(response.content), ahead)


def clock_difference(date: str | None, before: float, after: float) -> float | None:
    """Return by how many seconds the clock that wrote `date` is ahead of ours at the least.

    The header has whole seconds and may be a second old (servers keep it that long); it was written between `before`
    and `after`.
    """
    try:
        written = email.utils.parsedate_to_datetime(date or "").timestamp()
    except ValueError:
        return None
    earliest, latest = written, written + 2
    if earliest > after:
        return earliest - after
    return min(0.0, latest - before)


def _json(content: bytes) -> Any:
    try:
        return msgspec.json.decode(content) if len(content) <= _LARGEST_BODY else None
    except (ValueError, RecursionError):
        return None

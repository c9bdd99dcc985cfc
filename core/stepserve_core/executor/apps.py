"""Keeping apps in sync: asking each URL to register itself, and again while it is in error (executor.md 1.4)."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import uuid
from collections.abc import Sequence
from typing import Any

import msgspec

from stepserve_core import _protocol
from stepserve_core._signature import sign
from stepserve_core.executor import fragments
from stepserve_core.executor.addresses import normalize_url
from stepserve_core.executor.answers import Reply
from stepserve_core.executor.discovery import Discovery
from stepserve_core.executor.executor import Executor
from stepserve_core.executor.store.apps import App
from stepserve_core.executor.store.tables import Tables
from stepserve_core.executor.transport import Transport, TransportError

_log = logging.getLogger(__name__)

TIMEOUT = 10.0

_BY_STATUS = {
    401: "unauthorized",
    403: "forbidden",
    404: "url_not_found",
    500: "internal_server_error",
}
_CODES_OF_400 = (
    "invalid_signing_key",
    "no_functions",
    "invalid_function",
    "missing_signing_key",
    "missing_branch_env_name",
)
_REGISTRATION_FAILED = "registration_failed"
_ADVICE = {
    "not_sdk": "something answers there, but no SDK; is the path right? apps are usually served at /api/inngest",
    "invalid_signing_key": "does the app have the same signing key as this server?",
    "missing_signing_key": "the app is in production mode and has no signing key; set INNGEST_SIGNING_KEY,"
    " or INNGEST_DEV=1 for development",
    "no_functions": "the app serves no functions; pass them to serve()",
    "invalid_function": "a function has options that cannot be used; the app's own log says which",
    "unauthorized": "does the app have the same signing key as this server?",
    "forbidden": "is the app in the mode (development or production) of this server?",
    "url_not_found": "is the path right? apps are usually served at /api/inngest",
    "internal_server_error": "the app failed; its own log says why",
    _REGISTRATION_FAILED: "the app did not reach the server that it registers with: is its INNGEST_DEV, or"
    " INNGEST_BASE_URL, the URL of this server?",
    "unreachable": "does the app run, and does it listen at this address?",
    "unsupported_protocol": "the URL must begin with http:// or https://",
}


def remedy_of(error: str) -> str:
    """Return what to look at where an app could not be synced."""
    if error.startswith("Sync rejected"):  # what SDKs say to a server of the other kind
        return _ADVICE["forbidden"]
    return _ADVICE.get(error, "see the log of the app")


class AppSync:
    """Syncs apps when it starts, then at every interval those in error, and the others too if `poll_healthy`.

    Args:
        executor: where the apps register.
        transport: how they are reached.
        urls: the apps to sync.
        kind: dev or cloud.
        signing_key: signs the requests, where there is one.
        interval: seconds between two rounds.
        poll_healthy: whether apps without error are asked again, so that changes are seen.
        discovery: looks for apps while none is known.
    """

    def __init__(
        self,
        executor: Executor,
        transport: Transport,
        *,
        urls: Sequence[str],
        kind: str,
        signing_key: str | None,
        interval: float = 5.0,
        poll_healthy: bool = False,
        discovery: Discovery | None = None,
    ) -> None:
        self._executor = executor
        self._transport = transport
        self._urls = list(urls)
        self._kind = kind
        self._signing_key = signing_key
        self._interval = interval
        self._poll_healthy = poll_healthy
        self._discovery = discovery
        self._stopped = asyncio.Event()

    async def run(self) -> None:
        """Sync until `stop` is called."""
        await self._sync_all(self._urls)
        await self._discover()
        while not self._stopped.is_set():
            with contextlib.suppress(asyncio.TimeoutError):
                await asyncio.wait_for(self._stopped.wait(), self._interval)
                return
            await self._round()
            await self._discover()

    def stop(self) -> None:
        """End `run` after the round that is under way."""
        self._stopped.set()

    async def sync(self, url: str) -> str | None:
        """Ask the app at `url` to register itself; return and store the error code, or None where it worked."""
        body = fragments.encode({"url": url})
        headers = {"content-type": "application/json", _protocol.SERVER_KIND: self._kind}
        if self._signing_key is not None:
            now = int(self._executor.clock.now())
            headers["x-inngest-signature"] = sign(body, self._signing_key, now)
        detail = ""
        try:
            error = error_of(await self._transport.send("PUT", url, headers, body, TIMEOUT))
        except TransportError as problem:
            error = "unsupported_protocol" if problem.code == "unsupported_protocol" else "unreachable"
            detail = f" ({problem})"
        await self._note(url, error, detail)
        return error

    async def _round(self) -> None:
        apps = await self._executor.read(lambda tables: tables.apps.all())
        failed = {app.url for app in apps if app.error is not None}
        healthy = {app.url for app in apps if app.error is None} if self._poll_healthy else set[str]()
        known = {normalize_url(app.url) for app in apps}
        urls = failed | healthy | {url for url in self._urls if normalize_url(url) not in known and self._poll_healthy}
        await self._sync_all(sorted(url for url in urls if url.startswith("http")))

    async def _discover(self) -> None:
        """Look for apps until the first one is known, then never again (executor.md 1.3)."""
        if self._discovery is None:
            return
        if await self._executor.read(lambda tables: tables.apps.all()):
            self._discovery = None
            return
        found = await self._discovery.look()
        for url in found:
            _log.info("found an app at %s (--no-discovery turns this off)", url)
        self._executor.discovered.update(map(normalize_url, found))
        await self._sync_all(found)

    async def _sync_all(self, urls: Sequence[str]) -> None:
        """Sync several apps at once; a failure inside the executor must not end the rounds."""
        outcomes = await asyncio.gather(*(self.sync(url) for url in urls), return_exceptions=True)
        for url, outcome in zip(urls, outcomes, strict=True):
            if isinstance(outcome, BaseException):
                _log.error("syncing %s failed inside the executor", url, exc_info=outcome)

    async def _note(self, url: str, error: str | None, detail: str) -> None:
        now = self._executor.clock.now()
        before = await self._executor.store.write(lambda tables: _note(tables, url, error, now))
        if error is not None and before != error:
            _log.warning("the app at %s could not be synced (%s): %s%s", url, error, remedy_of(error), detail)
        elif error is None and before is not None:
            _log.info("the app at %s is in sync again", url)


def error_of(reply: Reply) -> str | None:
    """Return the code under which a sync's failure is stored; None where it worked."""
    if 200 <= reply.status < 300:
        return None if reply.headers.get(_protocol.SDK) else "not_sdk"
    if reply.status == 400:
        return _message_code(reply.body)
    if reply.status == 500 and f'"code":"{_REGISTRATION_FAILED}"'.encode() in reply.body:
        return _REGISTRATION_FAILED
    return _BY_STATUS.get(reply.status, f"http_{reply.status}")


def _message_code(body: bytes) -> str:
    try:
        fields = msgspec.json.decode(body, type=dict[str, Any])
    except (ValueError, RecursionError):
        return "bad_request"
    texts = [value for key in ("code", "message", "error") if isinstance(value := fields.get(key), str)]
    known = next((code for text in texts for code in _CODES_OF_400 if code in text), None)
    return known or next(iter(texts[1:] or texts), "bad_request")


def _note(tables: Tables, url: str, error: str | None, now: float) -> str | None:
    """Store the outcome; return the error that was stored before."""
    apps = tables.apps.of_url(url)
    before = next((app.error for app in apps if app.error is not None), None)
    if error is None:
        tables.apps.remove_placeholder(url)
    elif not apps:
        placeholder = App(
            str(uuid.uuid5(uuid.NAMESPACE_OID, normalize_url(url))), "", url, "", "", None, "", error, now
        )
        tables.apps.put(placeholder)
    for app in apps:
        tables.apps.set_error(app.id, error)
    return before

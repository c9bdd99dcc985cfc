"""Sending checkpoints to the server (protocol.md 13.1)."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, TypeVar
from urllib.parse import quote

import msgspec

from stepserve_core import _http
from stepserve_core._opcodes import Op
from stepserve_core._registration import send_authenticated
from stepserve_core._runtime import Runtime
from stepserve_core._serialize import encode_wire

if TYPE_CHECKING:
    from stepserve_core._client import Inngest

T = TypeVar("T")

ATTEMPTS = 5
TIMEOUT = 10.0
"""Seconds for each attempt."""

PATIENCE = 15.0
"""Seconds after which there is no further attempt."""

PAUSE = 30.0
"""Seconds for which an app does not try to checkpoint after the server could not be reached, or did not offer it."""

_STALE = 409
_NOT_OFFERED = (404, 405, 501)


class CheckpointFailedError(Exception):
    """Steps could not be saved. With `is_stale`, the server says that the call is not under way any more."""

    def __init__(self, message: str, *, is_stale: bool = False) -> None:
        super().__init__(message)
        self.is_stale = is_stale


class CallReference(msgspec.Struct, frozen=True):
    """What names a call to the server."""

    run_id: str
    fn_id: str
    qi_id: str
    request_id: str
    generation_id: int
    request_started_at: int


class CheckpointAPI:
    """The checkpoint API as one client sees it. Where it fails, it is left alone for a while."""

    def __init__(self, client: Inngest) -> None:
        self._client = client
        self._paused_until = 0.0

    @property
    def is_available(self) -> bool:
        """Say whether it is worth trying."""
        return time.monotonic() >= self._paused_until

    async def save(self, runtime: Runtime, call: CallReference | None, steps: Sequence[Op]) -> None:
        """Save steps of a call. Saving one again changes nothing, so that attempts may be repeated.

        Raises:
            CheckpointFailedError: they were not saved, as far as is known.
        """
        assert call is not None
        fields = {**msgspec.structs.asdict(call), "steps": steps, "ts": int(time.time() * 1000)}
        path = f"/v1/checkpoint/{quote(call.run_id, safe='')}/async"
        reply = await self.post(runtime, path, encode_wire(fields))
        if reply:
            self.read(reply, object)

    def read(self, reply: bytes, kind: type[T]) -> T:
        """Return what the server answered.

        Raises:
            CheckpointFailedError: it cannot have been the server, which saved nothing then: a proxy's login page, say.
        """
        try:
            return msgspec.json.decode(reply, type=kind)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            self._paused_until = time.monotonic() + PAUSE
            raise CheckpointFailedError(f"what answers at {self._client.api_origin} is no server: {error}") from None

    async def post(self, runtime: Runtime, path: str, body: bytes) -> bytes:
        """Send a request, several times if need be; return the body of the answer.

        Raises:
            CheckpointFailedError: the server refused it, or no attempt brought an answer.
        """
        url = self._client.settings.api_url(path)
        failure, ends_at = "", time.monotonic() + PATIENCE
        for attempt in range(ATTEMPTS):
            if attempt:
                if time.monotonic() >= ends_at:
                    break
                await runtime.sleep(_http.pause_before(attempt))
            try:
                response = await send_authenticated(
                    self._client,
                    runtime,
                    "POST",
                    url,
                    headers=self._client.headers,
                    body=body,
                    timeout=TIMEOUT,
                    repeatable=True,
                )
            except _http.HTTPFailedError as error:
                failure = str(error)
                continue
            if response.status < 300:
                return response.body
            failure = f"HTTP {response.status} {response.body[:200].decode('utf-8', 'replace')}"
            if response.status < 500 and response.status != 429:
                self._refuse(response.status, url, failure)
        self._paused_until = time.monotonic() + PAUSE
        raise CheckpointFailedError(f"{url} could not be reached, or failed: {failure}")

    def _refuse(self, status: int, url: str, failure: str) -> None:
        if status in _NOT_OFFERED:
            self._paused_until = time.monotonic() + PAUSE
        raise CheckpointFailedError(f"{url} answered {failure}", is_stale=status == _STALE)

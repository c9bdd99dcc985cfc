"""Runs that an app begins itself: how the server learns of them (protocol.md 13.2)."""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import msgspec

from stepserve_core._checkpoint_api import CallReference, CheckpointAPI
from stepserve_core._endpoint_events import EndpointEvents
from stepserve_core._opcodes import Op
from stepserve_core._runtime import Runtime
from stepserve_core._serialize import encode_wire

if TYPE_CHECKING:
    from stepserve_core._client import Inngest

_ALPHABET = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"


class _Opened(msgspec.Struct):
    fn_id: str
    app_id: str
    token: str = ""
    realtime_token: str = ""


class _Reply(msgspec.Struct):
    data: _Opened


class EndpointAPI(CheckpointAPI):
    """Saves the steps of one run; the first ones begin it.

    Args:
        request: the data of the run's event.
        retries: how often a failed step is tried again.
        events: what the client hears; steps that are saved are final.
    """

    def __init__(
        self, client: Inngest, request: dict[str, str], retries: int, events: EndpointEvents | None = None
    ) -> None:
        super().__init__(client)
        self.run_id = new_run_id()
        self._events = events
        self._request = request
        self._retries = retries
        self._opened: _Opened | None = None

    @property
    def is_open(self) -> bool:
        """Say whether the server knows the run."""
        return self._opened is not None

    @property
    def token(self) -> str:
        """What lets a client fetch the result."""
        return "" if self._opened is None else self._opened.token

    @property
    def result_url(self) -> str:
        """Where a client finds the result."""
        path = f"/v1/http/runs/{self.run_id}/output?token={quote(self.token, safe='')}"
        return self._client.settings.api_url(path)

    @property
    def stream_url(self) -> str:
        """Where a client goes on listening; at the result, if the server lets nobody listen."""
        token = "" if self._opened is None else self._opened.realtime_token
        if not token:
            return self.result_url
        return self._client.settings.api_url(f"/v1/realtime/sse?token={quote(token, safe='')}")

    async def save(self, runtime: Runtime, call: CallReference | None, steps: Sequence[Op]) -> None:
        """Save steps of the run, and begin it if need be.

        Raises:
            CheckpointFailedError: they were not saved, as far as is known.
        """
        del call
        await self._save(runtime, steps)
        if self._events is not None:
            self._events.commit(None, *(step.id for step in steps))
            self._events.redirect(self.run_id, self.stream_url)

    async def end_call(self, runtime: Runtime, ops: Sequence[dict[str, Any]]) -> None:
        """Save what the call ends with, for the server to go on with the run.

        Raises:
            CheckpointFailedError: as `save`.
        """
        await self._save(runtime, ops)
        if self._events is not None:
            self._events.settle(ops)
            self._events.redirect(self.run_id, self.stream_url)

    async def _save(self, runtime: Runtime, steps: Sequence[object]) -> None:
        fields: dict[str, Any] = {"run_id": self.run_id, "steps": steps, "ts": int(time.time() * 1000)}
        if self._opened is not None:
            fields.update(fn_id=self._opened.fn_id, app_id=self._opened.app_id)
            await self.post(runtime, f"/v1/checkpoint/{self.run_id}/steps", encode_wire(fields))
            return
        fields["event"] = {"name": "inngest/http.request", "data": self._request}
        fields.update(request_version=2, retries=self._retries)
        reply = await self.post(runtime, "/v1/checkpoint", encode_wire(fields))
        self._opened = self.read(reply, _Reply).data


def new_run_id() -> str:
    """Return a fresh ULID."""
    number = int(time.time() * 1000) << 80 | int.from_bytes(os.urandom(10), "big")
    return "".join(_ALPHABET[number >> shift & 31] for shift in range(125, -1, -5))

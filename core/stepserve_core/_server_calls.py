"""What a client asks of its server besides sending events; `Inngest` inherits it. Each call exists in both colours."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, cast

from stepserve_core import _metadata, _signals
from stepserve_core._metadata import score, user_metadata
from stepserve_core._runtime import AsyncRuntime, Runtime, SyncRuntime, run_sync

if TYPE_CHECKING:
    from stepserve_core._client import Inngest


class ServerCalls:
    """Calls of the server's REST API. All raise `ServerAPIError` where the server does not do it."""

    async def send_signal(self, signal: str, data: object = None) -> str | None:
        """Send a signal from async code; return the id of the run that waited for it, or None where none did."""
        return await _signals.send_signal(self._client(), AsyncRuntime(), signal, data)

    def send_signal_sync(self, signal: str, data: object = None) -> str | None:
        """Send a signal from sync code; see `send_signal`."""
        return run_sync(_signals.send_signal(self._client(), SyncRuntime(), signal, data))

    async def cancel_run(self, run_id: str) -> bool:
        """Cancel a run from async code. Return False where there is none that could be cancelled: unknown, or ended.

        The function's `on_cancel` handler is called, if it has one.
        """
        return await _cancel_run(self._client(), AsyncRuntime(), run_id)

    def cancel_run_sync(self, run_id: str) -> bool:
        """Cancel a run from sync code; see `cancel_run`."""
        return run_sync(_cancel_run(self._client(), SyncRuntime(), run_id))

    async def add_metadata(self, run_id: str, kind: str, values: Mapping[str, object]) -> None:
        """Add something that people shall see with a run, from async code. Values of the same kind are merged."""
        await _metadata.send_metadata(self._client(), AsyncRuntime(), run_id, user_metadata(kind, values, "run"))

    def add_metadata_sync(self, run_id: str, kind: str, values: Mapping[str, object]) -> None:
        """Add something that people shall see with a run, from sync code; see `add_metadata`."""
        run_sync(_metadata.send_metadata(self._client(), SyncRuntime(), run_id, user_metadata(kind, values, "run")))

    async def add_score(self, run_id: str, name: str, value: float) -> None:
        """Give a run a score, a number or a bool, from async code; the run may have ended."""
        await _metadata.send_metadata(self._client(), AsyncRuntime(), run_id, score(name, value, "run"))

    def add_score_sync(self, run_id: str, name: str, value: float) -> None:
        """Give a run a score from sync code; see `add_score`."""
        run_sync(_metadata.send_metadata(self._client(), SyncRuntime(), run_id, score(name, value, "run")))

    def _client(self) -> Inngest:
        return cast("Inngest", self)


async def _cancel_run(client: Inngest, runtime: Runtime, run_id: str) -> bool:
    from stepserve_core._rest import ask_server, run_path  # noqa: PLC0415 - most programs cancel nothing

    purpose = f"the run {run_id} could not be cancelled"
    response = await ask_server(client, runtime, "DELETE", run_path(run_id), purpose=purpose, accept=(400, 404, 409))
    return response.status < 300

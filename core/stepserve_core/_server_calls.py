"""What a client asks of its server besides sending events; `Inngest` inherits it. Each call exists in both colours."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, cast

from stepserve_core._runtime import AsyncRuntime, Runtime, SyncRuntime, run_sync

if TYPE_CHECKING:
    from stepserve_core._client import Inngest


class ServerCalls:
    """Calls of the server's REST API. All raise `ServerAPIError` where the server does not do it."""

    async def send_signal(self, signal: str, data: object = None) -> str | None:
        """Send a signal from async code; return the id of the run that waited for it, or None where none did."""
        return await _send_signal(self._client(), AsyncRuntime(), signal, data)

    def send_signal_sync(self, signal: str, data: object = None) -> str | None:
        """Send a signal from sync code; see `send_signal`."""
        return run_sync(_send_signal(self._client(), SyncRuntime(), signal, data))

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
        await _add_metadata(self._client(), AsyncRuntime(), run_id, kind, values)

    def add_metadata_sync(self, run_id: str, kind: str, values: Mapping[str, object]) -> None:
        """Add something that people shall see with a run, from sync code; see `add_metadata`."""
        run_sync(_add_metadata(self._client(), SyncRuntime(), run_id, kind, values))

    async def add_score(self, run_id: str, name: str, value: float) -> None:
        """Give a run a score, a number or a bool, from async code; the run may have ended."""
        await _add_score(self._client(), AsyncRuntime(), run_id, name, value)

    def add_score_sync(self, run_id: str, name: str, value: float) -> None:
        """Give a run a score from sync code; see `add_score`."""
        run_sync(_add_score(self._client(), SyncRuntime(), run_id, name, value))

    def _client(self) -> Inngest:
        return cast("Inngest", self)


# Few programs make any of these calls, so what makes them is imported here.


async def _send_signal(client: Inngest, runtime: Runtime, signal: str, data: object) -> str | None:
    from stepserve_core._signals import send_signal  # noqa: PLC0415 - see above

    return await send_signal(client, runtime, signal, data)


async def _add_metadata(
    client: Inngest, runtime: Runtime, run_id: str, kind: str, values: Mapping[str, object]
) -> None:
    from stepserve_core._metadata import send_metadata, user_metadata  # noqa: PLC0415

    await send_metadata(client, runtime, run_id, user_metadata(kind, values, "run"))


async def _add_score(client: Inngest, runtime: Runtime, run_id: str, name: str, value: float) -> None:
    from stepserve_core._metadata import score, send_metadata  # noqa: PLC0415

    await send_metadata(client, runtime, run_id, score(name, value, "run"))


async def _cancel_run(client: Inngest, runtime: Runtime, run_id: str) -> bool:
    from stepserve_core._rest import ask_server, run_path  # noqa: PLC0415

    purpose = f"the run {run_id} could not be cancelled"
    response = await ask_server(client, runtime, "DELETE", run_path(run_id), purpose=purpose, accept=(400, 404, 409))
    return response.status < 300

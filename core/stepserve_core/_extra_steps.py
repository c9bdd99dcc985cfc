"""Steps that the official Python SDK does not have (protocol.md section 13), in both colours.

`Step` and `StepSync` inherit them.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Mapping
from typing import Any

from stepserve_core._asks import Read
from stepserve_core._fetch import FetchResponse, ask_fetch, read_response
from stepserve_core._found import Ask


class ExtraStepsSync:
    """More steps of a `def` function."""

    def fetch(
        self,
        step_id: str,
        url: str,
        *,
        method: str = "GET",
        headers: Mapping[str, str] | None = None,
        params: Mapping[str, object] | None = None,
        body: str | bytes | None = None,
        json: object = None,
    ) -> FetchResponse:
        """Let the server make an HTTP request; the app is not busy meanwhile. Return the response, whatever its status.

        The server tries again if nobody answers, as often as a failed step is tried again. Bodies must be text.
        """
        given = url, method, headers, body, json, params
        return self._reach(step_id, read_response, ask_fetch, *given)  # type: ignore[no-any-return]

    def _reach(self, step_id: str, read: Read | None, ask: Callable[..., Ask], *args: object) -> Any:
        raise NotImplementedError  # `StepSync` has it


class ExtraSteps:
    """More steps of an `async def` function; every one must be awaited."""

    def fetch(
        self,
        step_id: str,
        url: str,
        *,
        method: str = "GET",
        headers: Mapping[str, str] | None = None,
        params: Mapping[str, object] | None = None,
        body: str | bytes | None = None,
        json: object = None,
    ) -> Coroutine[Any, Any, FetchResponse]:
        """Let the server make an HTTP request; the app is not busy meanwhile. Return the response, whatever its status.

        The server tries again if nobody answers, as often as a failed step is tried again. Bodies must be text.
        """
        return self._reach(step_id, read_response, ask_fetch, url, method, headers, body, json, params)

    def _reach(
        self, step_id: str, read: Read | None, ask: Callable[..., Ask], *args: object
    ) -> Coroutine[Any, Any, Any]:
        raise NotImplementedError  # `Step` has it

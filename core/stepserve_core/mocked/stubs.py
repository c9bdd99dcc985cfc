"""What `step_stubs` says of a step."""

from __future__ import annotations

from typing import Any

import msgspec

from stepserve_core._failure import to_wire
from stepserve_core._serialize import encode_output, encode_wire
from stepserve_core.mocked.errors import UnstubbedStepError

Timeout = object()
"""A stub for a step that waits: what it waits for does not come."""


class Stubs:
    """The stubs of a run, by the step ids that users wrote."""

    def __init__(self, stubs: dict[str, object]) -> None:
        self._stubs = stubs

    def __contains__(self, step_id: str) -> bool:
        return step_id in self._stubs

    def memo(self, step_id: str) -> dict[str, Any]:
        """Return what the server would have memoised. A stub that is an exception makes the step fail with it.

        Raises:
            UnstubbedStepError: there is no stub.
        """
        if step_id not in self._stubs:
            raise UnstubbedStepError(step_id)
        stub = self._stubs[step_id]
        if stub is Timeout:
            return {"data": None}
        if isinstance(stub, Exception):
            return {"error": through_json(encode_wire(to_wire(stub)))}
        return {"data": through_json(encode_output(stub, f"the stub of step {step_id!r}"))}

    def error(self, step_id: str) -> Exception:
        """Return the stub of a step that fails."""
        stub = self._stubs[step_id]
        assert isinstance(stub, Exception)
        return stub


def through_json(encoded: bytes) -> Any:
    """Return what a server would hand back."""
    return msgspec.json.decode(encoded)

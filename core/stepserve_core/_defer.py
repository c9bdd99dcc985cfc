"""Deferred functions: started when the run that asked for them has ended, however it ended (protocol.md 13.6)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import msgspec

from stepserve_core._opcodes import Op, Opcode, Userland, hash_step_id
from stepserve_core._serialize import encode_given
from stepserve_core.errors import UnsupportedByServerError

if TYPE_CHECKING:
    from stepserve_core._function import Function


class _Known(msgspec.Struct):
    abortable: bool = True


class Deferred:
    """A function that will be started when the run has ended (protocol.md 13.6)."""

    def __init__(self, defers: Defers, hashed: str, slug: str) -> None:
        self._defers = defers
        self._hashed = hashed
        self._slug = slug

    def abort(self) -> None:
        """Do not start it after all. Doing so again, or too late, changes nothing."""
        self._defers.abort(self._hashed, self._slug)


class Defers:
    """What one call of a function defers. `ops` go out with whatever else the call has to report."""

    def __init__(self, app_id: str, raw: msgspec.Raw) -> None:
        """`raw` is what the server knows of the run's defers; empty where it sends no such thing."""
        self._app_id = app_id
        self._raw = raw
        self._known: dict[str, _Known] | None = None
        self._used: set[str] = set()
        self.ops: list[Op] = []

    def add(self, defer_id: str, function: Function[Any] | str, data: Mapping[str, object] | None) -> Deferred:
        """Ask once for a function to be started when the run has ended.

        Raises:
            ValueError: the id was used before in this function.
            UnsupportedByServerError: the server knows no defers.
            OutputUnserializableError: JSON cannot carry the data.
        """
        known = self._read_known()
        hashed = hash_step_id(defer_id)
        if hashed in self._used:
            raise ValueError(f"the id {defer_id!r} was deferred twice; give each one its own")
        self._used.add(hashed)
        slug = function if isinstance(function, str) else f"{self._app_id}-{function.local_id}"
        if hashed not in known:
            given = msgspec.Raw(encode_given(dict(data or {}), f"the data deferred as {defer_id!r}"))
            self._emit(Opcode.DEFER_ADD, hashed, defer_id, {"fn_slug": slug, "input": given})
            known[hashed] = _Known()
        return Deferred(self, hashed, slug)

    def abort(self, hashed: str, slug: str) -> None:
        """Take a defer back unless it was before."""
        known = self._read_known()[hashed]
        if known.abortable:
            known.abortable = False
            abort_id = f"{hashed}:abort"
            opts: dict[str, object] = {"fn_slug": slug, "target_hashed_id": hashed}
            self._emit(Opcode.DEFER_ABORT, hash_step_id(abort_id), abort_id, opts)

    def _emit(self, opcode: Opcode, hashed: str, name: str, opts: dict[str, object]) -> None:
        userland = Userland(name, None)
        self.ops.append(Op(display_name=name, id=hashed, name=name, op=opcode.value, opts=opts, userland=userland))

    def _read_known(self) -> dict[str, _Known]:
        if self._known is None:
            if not memoryview(self._raw):
                raise UnsupportedByServerError("the server that runs this function knows no defers; upgrade it")
            known: dict[str, _Known] | None = msgspec.json.decode(self._raw, type=dict[str, _Known] | None)
            self._known = {} if known is None else known
        return self._known

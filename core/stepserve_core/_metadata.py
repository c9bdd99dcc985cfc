"""Metadata and scores: what steps and runs say about themselves, for people who look at them (protocol.md 13.8)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import msgspec

from stepserve_core._engine import executing_step
from stepserve_core._runtime import Runtime
from stepserve_core._serialize import encode_given

if TYPE_CHECKING:
    from stepserve_core._client import Inngest

SCORE = "inngest.score"
EXPERIMENT = "inngest.experiment"
_LONGEST_NAME = 128


class Metadata(msgspec.Struct, frozen=True):
    """An entry on the wire. Entries of one kind are merged, key by key."""

    kind: str
    scope: str
    op: str
    values: msgspec.Raw


def user_metadata(kind: str, values: Mapping[str, object], scope: str) -> Metadata:
    """Return an entry of a kind that the user chose.

    Raises:
        ValueError: the kind has no name.
        OutputUnserializableError: JSON cannot carry the values.
    """
    if not isinstance(kind, str) or not kind:
        raise ValueError("metadata has a kind, such as 'tokens'")
    return Metadata(f"userland.{kind}", scope, "merge", _encode(dict(values), f"metadata {kind!r}"))


def score(name: str, value: float, scope: str) -> Metadata:
    """Return the entry of a score.

    Raises:
        ValueError: the name or the value cannot be one.
    """
    if not isinstance(name, str) or not name or len(name.encode()) > _LONGEST_NAME:
        raise ValueError(f"the name of a score has 1 to {_LONGEST_NAME} bytes")
    if not name.isprintable() or "'" in name:
        raise ValueError(f"the name of a score has neither control characters nor quotes: {name!r}")
    if not isinstance(value, (int, float)):
        raise ValueError(f"a score is a number or a bool, not {type(value).__name__}")
    return Metadata(SCORE, scope, "merge", _encode({name: {"value": value}}, f"score {name!r}"))


def attach(entry: Metadata) -> None:
    """Let the step that is being executed carry an entry; it goes out with its result.

    Raises:
        RuntimeError: no step is being executed.
    """
    found = executing_step()
    if found is None:
        raise RuntimeError(
            "step.add_metadata and step.add_score belong inside the function that a step calls; for a run, use"
            " client.add_metadata(run_id, …) or client.add_score(run_id, …)"
        )
    found.metadata = (*found.metadata, entry)


async def send_metadata(client: Inngest, runtime: Runtime, run_id: str, entry: Metadata) -> None:
    """Add an entry to a run, which may have ended.

    Raises:
        ServerAPIError: the server does not know the run, or knows no metadata.
    """
    from stepserve_core._rest import ask_server, run_path  # noqa: PLC0415 - most programs send no metadata

    body = msgspec.json.encode(
        {
            "target": {"run_id": run_id},
            "metadata": [{"kind": entry.kind, "op": entry.op, "values": entry.values}],
        }
    )
    path = f"{run_path(run_id)}/metadata"
    await ask_server(client, runtime, "POST", path, purpose=f"metadata of the run {run_id} was not added", body=body)


def _encode(values: object, what: str) -> msgspec.Raw:
    return msgspec.Raw(encode_given(values, what))

"""Metadata and scores of runs and steps (executor.md 1.6, protocol.md 13.8). `add_metadata` runs in a transaction."""

from __future__ import annotations

from typing import Any

import msgspec

from stepserve_core._canonical import canonicalize
from stepserve_core.executor import limits
from stepserve_core.executor.nesting import TOO_DEEP, is_too_deep
from stepserve_core.executor.scope import Scope
from stepserve_core.executor.store.metadata import RUN

_LONGEST_KIND = 255


class MetadataInvalidError(ValueError):
    """An entry that cannot be taken; `too_large` says that only its size is wrong."""

    def __init__(self, message: str, *, too_large: bool = False) -> None:
        super().__init__(message)
        self.too_large = too_large


class Entry(msgspec.Struct, frozen=True):
    """Values of one kind, to be merged into what is known of it; `content` is a canonical JSON object."""

    kind: str
    content: bytes


class _Raw(msgspec.Struct):
    kind: str
    values: msgspec.Raw
    op: str = "merge"


_decode_object = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode


def read_entries(raws: bytes | msgspec.Raw) -> list[Entry]:
    """Read a list of entries as SDKs send it.

    Raises:
        MetadataInvalidError: it is something else.
    """
    if is_too_deep(bytes(raws)):
        raise MetadataInvalidError(f"metadata is {TOO_DEEP}")
    try:
        given = msgspec.json.decode(raws, type=list[_Raw])
        entries = [Entry(raw.kind, canonicalize(bytes(raw.values))) for raw in given]
    except (ValueError, RecursionError) as error:
        raise MetadataInvalidError(f"metadata cannot be read: {error}") from None
    for raw, entry in zip(given, entries, strict=True):
        if not raw.kind or len(raw.kind) > _LONGEST_KIND:
            raise MetadataInvalidError(f"the kind of metadata has 1 to {_LONGEST_KIND} characters")
        if raw.op != "merge":
            raise MetadataInvalidError(f"metadata can be merged, not {raw.op!r}")
        if entry.content[:1] != b"{":
            raise MetadataInvalidError(f"the values of metadata {raw.kind!r} must be an object")
    return entries


def add_metadata(scope: Scope, run_id: str, step_hash: str, entries: list[Entry]) -> None:
    """Merge entries into those of a step, or of the run where `step_hash` is empty.

    Raises:
        MetadataInvalidError: they would be larger than a step or a run may have.
    """
    metadata = scope.tables.metadata
    merged: dict[str, bytes] = {}
    for entry in entries:
        known = merged.get(entry.kind) or metadata.get(run_id, step_hash, entry.kind)
        merged[entry.kind] = entry.content if known is None else merge(known, entry.content)
    # Counted as they will be stored, names included: a value that replaces another does not count twice.
    of_run, of_step = metadata.sizes_without(run_id, step_hash, list(merged))
    added = sum(len(kind.encode()) + len(content) for kind, content in merged.items())
    if of_run + added > limits.RUN_METADATA or (step_hash != RUN and of_step + added > limits.STEP_METADATA):
        message = f"a step may have {limits.STEP_METADATA} bytes of metadata, a run {limits.RUN_METADATA}"
        raise MetadataInvalidError(message, too_large=True)
    for kind, content in merged.items():
        metadata.put(run_id, step_hash, kind, content)


def merge(known: bytes, added: bytes) -> bytes:
    """Add the keys of an object to another one; later values replace earlier ones."""
    return canonicalize(msgspec.json.encode({**_decode_object(known), **_decode_object(added)}))


def show(known: dict[str, dict[str, msgspec.Raw]], steps: list[dict[str, Any]]) -> dict[str, msgspec.Raw]:
    """Put the metadata of steps into their entries of a timeline; return those of the run."""
    for step in steps:
        if step["id"] and step["id"] in known:
            step["metadata"] = known[step["id"]]
    return known.get(RUN, {})

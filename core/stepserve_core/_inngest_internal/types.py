"""Types, under the names of the official `inngest._internal.types`."""

from __future__ import annotations

from typing import Any, TypeGuard, TypeVar

import msgspec
from typing_extensions import TypeVarTuple

from stepserve_core import JSON
from stepserve_core._inngest_internal import without_counterpart
from stepserve_core._model import Model as BaseModel
from stepserve_core._serialize import UNSET as empty_sentinel  # noqa: N811 - the name it has there

__all__ = ["JSON", "BaseModel", "EmptySentinel", "T", "TTuple", "empty_sentinel", "is_dict", "is_list"]

EmptySentinel = msgspec.UnsetType

T = TypeVar("T")
TTuple = TypeVarTuple("TTuple")


def is_dict(v: object) -> TypeGuard[dict[Any, Any]]:
    """Say whether `v` is a dict."""
    return isinstance(v, dict)


def is_list(v: object) -> TypeGuard[list[Any]]:
    """Say whether `v` is a list."""
    return isinstance(v, list)


__getattr__ = without_counterpart(__name__)

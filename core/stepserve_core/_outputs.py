"""Which converter an output has: that of `output_type=`, else that of the return annotation."""

from __future__ import annotations

import functools
import types
import weakref
from collections.abc import Callable, Hashable
from typing import TYPE_CHECKING, Any, Final

from stepserve_core._annotations import UNTYPED, reads_closure, returned_by
from stepserve_core._converter import Converter, MisfitError, converter_for
from stepserve_core._serialize import UNSET, Serializer
from stepserve_core._shapes import name_of_type, shape_of_type, shape_of_value
from stepserve_core.errors import MemoMismatchError

if TYPE_CHECKING:
    from stepserve_core._function import Function

PLAIN: Final[set[types.FunctionType]] = set()
"""Functions of modules whose output plain JSON gives back: a step of theirs has nothing to look up."""

LAMBDA: Final = "<lambda>"
"""The name of functions that cannot be annotated."""

_KNOWN: Final[dict[Hashable, Converter | None]] = {}
_DECORATED: Final[weakref.WeakKeyDictionary[types.FunctionType, Converter | None]] = weakref.WeakKeyDictionary()
_UNKNOWN: Any = object()


def converter_of(handler: Callable[..., Any], output_type: object, serializer: Serializer | None) -> Converter | None:
    """Return what takes the output of `handler` through JSON; None if JSON gives it back as it is.

    The client's serializer is used where `output_type` was given, and only there (protocol.md 10.7).
    """
    if output_type is UNSET:
        return _annotated(handler)
    return converter_for(output_type) if serializer is None else _SerializerConverter(serializer, output_type)


def converter_of_function(
    function: Function[Any], serializer: Serializer | None, *, companion: Callable[..., Any] | None = None
) -> Converter | None:
    """Return what takes the output of a function, or of its handler `companion`, through JSON."""
    if companion is not None:
        return _annotated(companion)
    return converter_of(function.handler, function.output_type, serializer)


def reader(converter: Converter | None, step_id: str) -> Callable[[Any], Any] | None:
    """Return what reads the memo of a step whose output has `converter`."""
    return None if converter is None else functools.partial(_load, converter, step_id)


def _load(converter: Converter, step_id: str, memo: Any) -> Any:
    try:
        return converter.load(memo)
    except MisfitError as misfit:
        raise MemoMismatchError(
            f"the memo of step {step_id!r} does not fit {name_of_type(converter.typ)} {misfit}. The memo is"
            f" {shape_of_value(memo)}, the type {shape_of_type(converter.typ)}. If the code has changed since the step"
            " ran, deploy a type that takes both; the run tries again until its retries are used up"
        ) from None


def _annotated(handler: Any) -> Converter | None:
    function: Any = handler
    owner: type | None = None
    while type(function) is functools.partial:
        function = function.func
    if type(function) is types.MethodType:
        bound = function.__self__
        function, owner = function.__func__, bound if isinstance(bound, type) else type(bound)
    if type(function) is not types.FunctionType:
        return _make(handler)
    key = function if owner is None else (function, owner)
    known = _KNOWN.get(key, _UNKNOWN)
    return _first_time(handler, function, key) if known is _UNKNOWN else known


def _first_time(handler: Any, function: types.FunctionType, key: Hashable) -> Converter | None:
    """Find the converter, and remember it if that can be: functions of modules live on, those of functions do not."""
    try:
        annotation = function.__annotations__.get("return")
    except NameError:  # annotations that are evaluated when they are asked for (PEP 649)
        annotation = UNTYPED
    if "<locals>" in function.__qualname__:
        if annotation is None:
            return None
        if not isinstance(annotation, str) or key is not function or reads_closure(function, annotation):
            return _make(handler)
        key = annotation, function.__module__, function.__qualname__
    elif key is function and function.__closure__ is not None:
        # Made by a decorator, which gives it the name of what it wraps; perhaps anew for each step.
        if function not in _DECORATED:
            _DECORATED[function] = _make(handler)
        return _DECORATED[function]
    if key not in _KNOWN:
        _KNOWN[key] = None if annotation is None else _make(handler)
    if key is function and _KNOWN[key] is None:
        PLAIN.add(function)
    return _KNOWN[key]


def _make(handler: Callable[..., Any]) -> Converter | None:
    typ = returned_by(handler)
    return None if typ is UNTYPED or typ is None else converter_for(typ)


class _SerializerConverter:
    """The user's own serializer, which raises its own errors."""

    def __init__(self, serializer: Serializer, typ: object) -> None:
        self.typ = typ
        self._serializer = serializer

    def dump(self, value: object, where: str) -> object:
        """Let the serializer serialize."""
        del where
        return self._serializer.serialize(value, self.typ)

    def load(self, memo: object) -> object:
        """Let the serializer deserialize."""
        return self._serializer.deserialize(memo, self.typ)

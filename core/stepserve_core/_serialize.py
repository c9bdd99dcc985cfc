"""Values in and out of JSON.

msgspec carries dataclasses, TypedDict, attrs classes, msgspec Structs, datetime, UUID, Decimal and Enum by
itself; pydantic models go through the hook. What JSON cannot carry is an error that names the place.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Any, Protocol, cast, runtime_checkable

import msgspec

from stepserve_core.errors import OutputUnserializableError

UNSET = msgspec.UNSET


@runtime_checkable
class Serializer(Protocol):
    """Turns values into what JSON can carry, and back, where an `output_type` was given (protocol.md 10.7)."""

    def serialize(self, obj: object, typ: object) -> object:
        """Return what JSON can carry for `obj`, which has the type `typ`."""
        ...

    def deserialize(self, obj: object, typ: object) -> object:
        """Return a value of the type `typ` for what `serialize` returned."""
        ...


class PydanticSerializer:
    """Serializes with pydantic; `typ` is what a TypeAdapter takes (protocol.md 10.7). Needs `stepserve[pydantic]`."""

    def __init__(self) -> None:
        self._adapters: dict[object, Any] = {}

    def _adapter(self, typ: object) -> Any:
        key = typ if getattr(typ, "__hash__", None) else id(typ)
        adapter = self._adapters.get(key)
        if adapter is None:
            try:
                from pydantic import TypeAdapter  # noqa: PLC0415 - only programs that use pydantic pay for importing it
            except ImportError:
                raise ImportError(
                    "PydanticSerializer needs pydantic: python -m pip install 'stepserve[pydantic]'"
                ) from None
            if len(self._adapters) >= 512:
                self._adapters.clear()
            adapter = self._adapters[key] = TypeAdapter(cast("Any", typ))
        return adapter

    def serialize(self, obj: object, typ: object) -> object:
        """Return `obj` as JSON-compatible values."""
        return self._adapter(typ).dump_python(obj, mode="json")

    def deserialize(self, obj: object, typ: object) -> object:
        """Validate `obj` as `typ`."""
        return self._adapter(typ).validate_python(obj)


def encode_output(value: object, where: str) -> bytes:
    """Return `value` as JSON.

    Args:
        value: what a function or step returned.
        where: names it in errors, such as "step 'charge'".

    Raises:
        OutputUnserializableError: JSON cannot carry it; the message names `where` and the path inside.
    """
    try:
        encoded = _ENCODER.encode(value)
    except (TypeError, ValueError, RecursionError, OverflowError) as error:
        raise OutputUnserializableError(
            f"{where} returned something JSON cannot carry{_locate(value, error)}"
        ) from None
    if (
        b"null" in encoded
    ):  # msgspec writes null for NaN and infinity; a silent change of a result is worse than an error
        refuse_non_finite(value, where)
    return encoded


def encode_given(value: object, where: str) -> bytes:
    """Return as JSON what a user handed over, such as the data of a signal; see `encode_output`.

    Raises:
        OutputUnserializableError: JSON cannot carry it.
    """
    try:
        return encode_output(value, where)
    except OutputUnserializableError as error:
        raise OutputUnserializableError(as_given(error)) from None


def as_given(error: OutputUnserializableError) -> str:
    """Return the text of an error about a value that nothing returned."""
    return str(error).replace(" returned ", " holds ", 1)


def encode_input(args: list[Any], where: str) -> bytes:
    """Return the arguments of a step as JSON, so that the server can show them and a re-run can edit them.

    Raises:
        OutputUnserializableError: JSON cannot carry one; the message says which, and what to do.
    """
    try:
        return encode_output(args, where)
    except OutputUnserializableError as error:
        message = str(error).replace(" returned ", " was given ", 1)
        raise OutputUnserializableError(
            f"{message}; bind what the server need not see with functools.partial"
        ) from None


def refuse_non_finite(value: object, where: str) -> None:
    """Refuse NaN and infinity at any depth.

    Raises:
        OutputUnserializableError: names `where` and the path inside.
    """
    path = _find_non_finite(value, "")
    if path is not None:
        raise OutputUnserializableError(
            f"{where} returned NaN or infinity at {path or 'the top'}, which JSON cannot carry"
        )


def encode_wire(value: object) -> bytes:
    """Return a protocol body as JSON. Outputs inside it are already encoded."""
    return _ENCODER.encode(value)


def to_json_hook(value: Any) -> object:
    """Return what msgspec shall encode in place of a value that it does not know.

    Raises:
        TypeError: nor do we.
    """
    dump = getattr(value, "model_dump", None)
    if dump is not None:
        return dump(mode="json")
    if isinstance(value, Mapping):
        return dict(value)
    for plain in (str, int, float):
        if isinstance(value, plain):  # a subclass of it
            return plain(value)
    raise TypeError(f"{type(value).__name__} is not serializable")


def _locate(value: object, error: Exception) -> str:
    if isinstance(error, RecursionError):
        return ": it contains itself, or is nested too deeply"
    path = _find(value, "", 0)
    return f": {error}" if path is None else f" at {path or 'the top'}: {error}"


def _children(value: object) -> list[tuple[str, object]]:
    if isinstance(value, Mapping):
        return [(f".{key}", item) for key, item in value.items()]
    if isinstance(value, (list, tuple, set, frozenset)):
        return [(f"[{index}]", item) for index, item in enumerate(value)]
    if hasattr(value, "model_dump"):
        return _children(to_json_hook(value))
    return [(f".{name}", getattr(value, name, None)) for name in _field_names(value)]


def _field_names(value: object) -> Iterable[str]:
    for listing in ("__struct_fields__", "__dataclass_fields__"):
        if hasattr(value, listing):
            return cast("Iterable[str]", getattr(value, listing))
    return [attribute.name for attribute in getattr(value, "__attrs_attrs__", ())]


def _find(value: object, path: str, depth: int) -> str | None:
    """Return the path of the innermost value that does not encode."""
    for name, child in _children(value) if depth < 64 else ():
        try:
            _ENCODER.encode(child)
        except (TypeError, ValueError, OverflowError):
            return _find(child, path + name, depth + 1)
    return path.removeprefix(".")


def _find_non_finite(value: object, path: str) -> str | None:
    if isinstance(value, float):
        return None if math.isfinite(value) else path.removeprefix(".")
    for name, child in _children(value):
        found = _find_non_finite(child, path + name)
        if found is not None:
            return found
    return None


_ENCODER = msgspec.json.Encoder(enc_hook=to_json_hook)

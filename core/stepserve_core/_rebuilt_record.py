"""Classes with declared fields of which msgspec refuses one: it reads the fields, and we make the instance.

msgspec takes no Enum of text and integers, and no union of what JSON cannot tell apart. Where one is the type of a
field, it refuses the whole class, and a field's type cannot be replaced from outside. So a struct with the same fields
stands in for the class; its types are those that msgspec takes.
"""

from __future__ import annotations

import dataclasses
import threading
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import msgspec
import typing_extensions

from stepserve_core._survey import unqualified


class RebuiltRecord(type):
    """Stands for a dataclass, attrs class, Struct, NamedTuple or TypedDict in what msgspec is given."""

    cls: Any
    struct: type[msgspec.Struct]
    fields: tuple[DeclaredField, ...]

    def __instancecheck__(cls, instance: object) -> bool:
        return True  # what `build` returns is an instance of the class

    def build(cls, obj: object, build: Callable[[Any, Any], Any]) -> Any:
        """Return the instance that `obj`, which came from JSON, stands for; `build` is what msgspec asks.

        Raises:
            ValueError: it does not fit; the message ends with the path, as msgspec's do.
        """
        try:
            read = msgspec.convert(obj, cls.struct, dec_hook=build, str_keys=True)
        except msgspec.ValidationError as error:
            raise ValueError(str(error)) from None
        values = [(field, getattr(read, field.name)) for field in cls.fields]
        given = [(field, value) for field, value in values if value is not msgspec.UNSET]
        made = cls.cls(**{field.parameter: value for field, value in given if field.parameter})
        for field, value in given:
            if not field.parameter:
                object.__setattr__(made, field.name, value)  # also where the class is frozen
        return made


class DeclaredField(NamedTuple):
    """`key` is what JSON calls it, `parameter` what the constructor does; empty if that does not take it."""

    name: str
    key: str
    parameter: str
    is_required: bool


class _Unfinished(threading.local):
    """Stand-ins that are being made, by their types: a class may hold itself."""

    def __init__(self) -> None:
        self.records: dict[Any, RebuiltRecord] = {}


_unfinished = _Unfinished()


def rebuilt_record(typ: Any, prepare: Callable[[Any], Any]) -> RebuiltRecord:
    """Return what stands for `typ`, a class with declared fields, generic or not.

    `prepare` returns what stands for the type of a field.

    Raises:
        TypeError: msgspec does not take what `prepare` returned for one of the fields.
    """
    if typ in _unfinished.records:
        return _unfinished.records[typ]
    cls: Any = typing_extensions.get_origin(typ) or typ
    record = RebuiltRecord(cls.__name__, (), {})
    record.cls, record.fields = cls, tuple(fields_of(cls))
    _unfinished.records[typ] = record
    try:
        record.struct = _struct_for(typ, cls, record.fields, prepare)
    finally:
        del _unfinished.records[typ]
    return record


def _struct_for(
    typ: Any, cls: Any, fields: tuple[DeclaredField, ...], prepare: Callable[[Any], Any]
) -> type[msgspec.Struct]:
    hints = typing_extensions.get_type_hints(cls, include_extras=True)
    bound = dict(zip(getattr(cls, "__parameters__", ()), typing_extensions.get_args(typ), strict=False))
    typed = ((field, prepare(_substituted(unqualified(hints[field.name])[0], bound))) for field in fields)
    config = getattr(cls, "__struct_config__", None)
    return msgspec.defstruct(
        cls.__name__,
        [(field.name, kind) if field.is_required else (field.name, kind, msgspec.UNSET) for field, kind in typed],
        array_like=config.array_like if config else hasattr(cls, "_fields"),
        kw_only=True,  # so that fields without a default may follow those with one
        rename={field.name: field.key for field in fields},
        tag=config and config.tag,
        tag_field=config and config.tag_field,
    )


def _substituted(hint: Any, bound: dict[Any, Any]) -> Any:
    if hint in bound:
        return bound[hint]
    free = getattr(hint, "__parameters__", ())
    return hint[tuple(bound.get(variable, variable) for variable in free)] if free else hint


def fields_of(cls: Any) -> Iterator[DeclaredField]:
    """Yield the fields that a class of one of these kinds declares."""
    if hasattr(cls, "__struct_fields__"):
        for field in msgspec.structs.fields(cls):
            yield DeclaredField(field.name, field.encode_name, field.name, field.required)
    elif hasattr(cls, "__attrs_attrs__"):
        for attribute in cls.__attrs_attrs__:
            name, parameter = attribute.name, attribute.alias if attribute.init else ""
            # `attrs.NOTHING`, without importing attrs: the one default that counts as False.
            yield DeclaredField(name, name, parameter, bool(parameter) and repr(attribute.default) == "NOTHING")
    elif dataclasses.is_dataclass(cls):
        for each in dataclasses.fields(cls):
            has_default = not (each.default is each.default_factory is dataclasses.MISSING)
            yield DeclaredField(each.name, each.name, each.name if each.init else "", not has_default and each.init)
    elif typing_extensions.is_typeddict(cls):
        for name, hint in typing_extensions.get_type_hints(cls, include_extras=True).items():
            # Python itself does not see the qualifiers in annotations that are kept as text.
            qualifiers = unqualified(hint)[1]
            must = typing_extensions.Required in qualifiers or name in cls.__required_keys__
            yield DeclaredField(name, name, name, must and typing_extensions.NotRequired not in qualifiers)
    else:
        for name in cls._fields:
            yield DeclaredField(name, name, name, name not in cls._field_defaults)


def with_hidden_fields(value: Any) -> Any:
    """Return `value` with instances of dataclasses, attrs classes and NamedTuples as dicts and lists.

    msgspec writes attrs instances without the fields whose names begin with an underscore, though it reads them.
    """
    if isinstance(value, (tuple, list, set, frozenset)):
        return [with_hidden_fields(item) for item in value]
    if isinstance(value, dict):
        return {key: with_hidden_fields(item) for key, item in value.items()}
    if isinstance(value, type) or not (hasattr(value, "__attrs_attrs__") or dataclasses.is_dataclass(value)):
        return value
    return {field.key: with_hidden_fields(getattr(value, field.name)) for field in fields_of(type(value))}

"""What an annotation asks for: whether plain JSON will do, and who can build what it cannot (design.md 5)."""

from __future__ import annotations

import collections.abc
import datetime
import decimal
import enum
import sys
import types
import typing
import uuid
from typing import Any

import msgspec
import typing_extensions

from stepserve_core._annotations import union_of

_PLAIN = (None, type(None), bool, int, str, Any, object, list, dict, typing.NoReturn, typing_extensions.Never)
_SEQUENCES = (list, *(getattr(collections.abc, name) for name in ("Sequence", "MutableSequence", "Collection")))
_MAPPINGS = (dict, collections.abc.Mapping, collections.abc.MutableMapping)
_SCALARS = (
    *(enum.Enum, datetime.date, datetime.time, datetime.timedelta, uuid.UUID, decimal.Decimal),
    *(bytes, bytearray, memoryview),
)
_GROUPS = (tuple, set, frozenset, collections.abc.Set, collections.abc.MutableSet)
_QUALIFIERS = (typing_extensions.Required, typing_extensions.NotRequired, typing_extensions.ReadOnly)


def is_union(typ: Any) -> bool:
    """Say whether `typ` is a union, in either spelling."""
    return typing_extensions.get_origin(typ) in (typing.Union, types.UnionType)


def is_pydantic(cls: object) -> bool:
    """Say whether pydantic builds instances of `cls`: models, its dataclasses, its own types.

    Structs, such as our events, may tell pydantic how; msgspec needs no telling.
    """
    return (
        isinstance(cls, type)
        and (hasattr(cls, "__get_pydantic_core_schema__") or "__pydantic_validator__" in cls.__dict__)
        and not issubclass(cls, msgspec.Struct)
    )


def is_record(cls: object) -> bool:
    """Say whether `cls` has declared fields: a dataclass, attrs class, msgspec Struct or NamedTuple."""
    fields = ("__dataclass_fields__", "__attrs_attrs__", "__struct_fields__", "_fields")
    return isinstance(cls, type) and any(hasattr(cls, name) for name in fields)


def stand_in_for(variable: Any) -> Any:
    """Return what a type variable that nobody has bound stands for: its bound, one of its constraints, or anything."""
    if variable.__constraints__:
        return union_of(variable.__constraints__)
    if isinstance(variable.__bound__, typing.ForwardRef):
        names = vars(sys.modules[variable.__module__])
        hinted = types.SimpleNamespace(__annotations__={"bound": variable.__bound__})
        return typing_extensions.get_type_hints(hinted, names)["bound"]
    return Any if variable.__bound__ is None else variable.__bound__


def has_fields(cls: object) -> bool:
    """Say whether `cls` is a record or a TypedDict, and not one that pydantic builds."""
    return (is_record(cls) or typing_extensions.is_typeddict(cls)) and not is_pydantic(cls)


def unqualified(hint: Any) -> tuple[Any, set[Any]]:
    """Return the type of a TypedDict's field, and what stands around it, such as `NotRequired`."""
    qualifiers: set[Any] = set()
    while (origin := typing_extensions.get_origin(hint)) in _QUALIFIERS:
        qualifiers.add(origin)
        (hint,) = typing_extensions.get_args(hint)
    return hint, qualifiers


class Survey:
    """What the types inside an annotation need.

    `converts`: JSON alone does not give the value back. `floats`: it does, but a whole float may come back as an int.
    `pydantic`: some of it is built by pydantic. `unsupported`: a type that nobody here can build. `hides`: an attrs
    class has fields that msgspec does not write.

    Raises:
        Exception: whatever evaluating the annotations of a field raises.
    """

    def __init__(self, typ: object) -> None:
        self.converts = False
        self.floats = False
        self.pydantic = False
        self.hides = False
        self.unsupported: object = None
        self._seen: set[int] = set()
        self._visit(typ)

    def _visit(self, typ: Any) -> None:
        if any(typ is plain for plain in _PLAIN) or id(typ) in self._seen:
            return
        origin, args = typing_extensions.get_origin(typ), typing_extensions.get_args(typ)
        if typ is float:
            self.floats = True
        elif origin is typing_extensions.Literal:
            self.converts |= any(not isinstance(value, (str, int, type(None))) for value in args)
            self.converts |= any(isinstance(value, enum.Enum) for value in args)
        elif origin is typing_extensions.Annotated or origin in _QUALIFIERS:
            self._visit(args[0])
        elif isinstance(typ, typing.TypeVar):
            self._visit(stand_in_for(typ))
        elif is_union(typ) or origin in _SEQUENCES or typ in _SEQUENCES:
            self._visit_all(args)
        elif origin in _MAPPINGS or typ in _MAPPINGS:
            self.converts |= bool(args) and not (args[0] in (str, Any, object) or isinstance(args[0], typing.TypeVar))
            self._visit_all(args)
        elif hasattr(typ, "__supertype__"):  # NewType
            self._visit(typ.__supertype__)
        elif isinstance(typ, typing_extensions.TypeAliasType):
            self._visit(typ.__value__)
        else:
            self._visit_class(typ, origin or typ)
            self._visit_all(args)

    def _visit_all(self, many: tuple[Any, ...]) -> None:
        for typ in many:
            if typ is not ...:
                self._visit(typ)

    def _visit_class(self, typ: object, cls: Any) -> None:
        self._seen.add(id(typ))
        if is_pydantic(cls):
            self.pydantic = self.converts = True
        elif not isinstance(cls, type):
            self.unsupported = typ
        elif typing_extensions.is_typeddict(cls):
            self._visit_fields(cls)
        elif is_record(cls):
            self.converts = True
            self.hides |= any(attribute.name.startswith("_") for attribute in getattr(cls, "__attrs_attrs__", ()))
            self._visit_fields(cls)
        elif issubclass(cls, (*_SCALARS, *_GROUPS, str, int, float)):
            self.converts = True
        else:
            self.unsupported = typ

    def _visit_fields(self, cls: type) -> None:
        self._visit_all(tuple(typing_extensions.get_type_hints(cls, include_extras=True).values()))

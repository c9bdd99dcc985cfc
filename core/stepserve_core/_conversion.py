"""Values of declared types through JSON and back: converters (design.md 5).

msgspec rebuilds dataclasses, TypedDict, NamedTuple, attrs classes, Structs, dates, UUID, Decimal, Enum, bytes, sets,
tuples and containers of them; pydantic rebuilds its own types, and is imported for them only. A type for which plain
JSON will do has no converter, so that such data costs nothing.
"""

from __future__ import annotations

import enum
import functools
import typing
from collections.abc import Callable, Iterable
from typing import Any, cast

import msgspec
import typing_extensions

from stepserve_core._annotations import union_of, warn_once
from stepserve_core._converter import Converter, MisfitError
from stepserve_core._pydantic import pydantic_converter
from stepserve_core._rebuilt_record import RebuiltRecord, fields_of, rebuilt_record, with_hidden_fields
from stepserve_core._serialize import encode_output, to_json_hook
from stepserve_core._shapes import name_of_type
from stepserve_core._survey import Survey, has_fields, is_pydantic, is_union, stand_in_for
from stepserve_core.errors import OutputUnserializableError


def converter_for(typ: object) -> Converter | None:
    """Return the converter of a type; None if its values are what JSON gives back anyway.

    A type that cannot be rebuilt has none either, and is warned about once.
    """
    try:
        return _remembered(typ)
    except TypeError:  # not hashable
        return _make(typ)


def strict_converter_for(typ: object) -> Converter:
    """Return a converter that checks types which JSON gives back as they are, too.

    Raises:
        Exception: values of the type cannot be built from JSON; TypeError, or what looking at the type raises.
    """
    return _strict(typ, Survey(typ))


def _strict(typ: Any, survey: Survey) -> Converter:
    converter = pydantic_converter(typ) if survey.pydantic else None
    if converter is not None:
        return converter
    if survey.unsupported is not None:
        raise TypeError(f"no way to build {name_of_type(survey.unsupported)} from JSON is known")
    return _MsgspecConverter(typ, holds_pydantic=survey.pydantic, hides=survey.hides)


def _make(typ: Any) -> Converter | None:
    try:
        survey = Survey(typ)
        if survey.converts or survey.unsupported is not None:
            return _strict(typ, survey)
        return _FloatConverter(typ) if survey.floats else None
    except Exception as error:  # types of any library; whatever they raise, the program can go on without them
        warn_once(
            f"values of the type {name_of_type(typ)} stay as JSON has them after a replay: {error}; a dataclass,"
            " a pydantic model or output_type= gives the type back"
        )
        return None


_remembered = functools.lru_cache(maxsize=1024)(_make)


class _MsgspecConverter:
    def __init__(self, typ: object, *, holds_pydantic: bool = False, hides: bool = False) -> None:
        self.typ = typ
        self._holds_pydantic = holds_pydantic
        self._hides = hides
        self._prepared = _prepare(typ)
        self._is_ambiguous = self._prepared is not typ and _holds_alternatives(self._prepared)
        msgspec.json.Decoder(self._prepared, dec_hook=_build)  # raises TypeError for what it cannot do

    def dump(self, value: object, where: str) -> object:
        """Return `value`: the encoder knows these types. Refuse what would come back as another alternative."""
        dumped = with_hidden_fields(value) if self._hides else value
        if self._holds_pydantic:
            encode_output(value, where)  # raises where JSON cannot carry it
            dumped = msgspec.Raw(msgspec.json.encode(dumped, enc_hook=_dump_model))
        if self._is_ambiguous:
            self._refuse_ambiguity(value, msgspec.json.decode(encode_output(dumped, where)), where)
        return dumped

    def _refuse_ambiguity(self, value: object, dumped: object, where: str) -> None:
        try:
            again = self.load(dumped)
        except MisfitError:
            return  # none of the alternatives; whoever reads the memo is told
        changed = _changed_type(value, again)
        if changed is not None:
            raise OutputUnserializableError(
                f"{where} returned a {changed[0]} that would come back from JSON as {changed[1]}: nothing tells the"
                f" alternatives of {name_of_type(self.typ)} apart; give them different fields, or tags"
            )

    def load(self, memo: object) -> Any:
        """Convert with msgspec."""
        try:
            return msgspec.convert(memo, self._prepared, dec_hook=_build, str_keys=True)
        except msgspec.ValidationError as error:
            problem, *paths = str(error).split(" - at `$")  # a path for each rebuilt record, the innermost first
            path = "".join(path.removesuffix("`") for path in reversed(paths))
            raise MisfitError(path.removeprefix("."), problem) from None


class _FloatConverter(_MsgspecConverter):
    """For JSON's own types with floats inside: canonical JSON writes 1.0 as 1, which would come back as an int."""

    def load(self, memo: object) -> Any:
        """Make floats of ints where the type says so; what does not fit is JSON all the same, and stays."""
        try:
            return super().load(memo)
        except MisfitError:
            return memo


def _build(typ: Any, obj: Any) -> Any:
    """Build what msgspec leaves to us: alternatives, pydantic models, subclasses of text and numbers."""
    if isinstance(typ, _Alternatives):
        return typ.choose(obj)
    if isinstance(typ, RebuiltRecord):
        return typ.build(obj, _build)
    if is_pydantic(typ):
        converter = converter_for(typ)
        try:
            return obj if converter is None else converter.load(obj)
        except MisfitError as error:
            raise ValueError(str(error)) from None
    if isinstance(typ, type) and issubclass(typ, (str, int, float)):
        return typ(obj)
    raise TypeError(f"no way to build {name_of_type(typ)} from JSON is known")


def _dump_model(value: Any) -> object:
    converter = converter_for(type(value)) if is_pydantic(type(value)) else None
    return to_json_hook(value) if converter is None else converter.dump(value, "the program")


class _Alternatives(type):
    """Stands for a union whose members msgspec cannot tell apart by their JSON types, such as `str | UUID`.

    The member is chosen whose own JSON equals what is there: one with fewer fields does not take the place of one
    with more. Text comes last, because nearly everything else is text in JSON too.
    """

    converters: list[tuple[Callable[[Any], Any], Any]]

    def __instancecheck__(cls, instance: object) -> bool:
        return True  # what `choose` returns is one of the members

    def choose(cls, obj: object) -> Any:
        """Return `obj` as the member that fits best.

        Raises:
            ValueError: none fits.
        """
        fitting: list[object] = []
        problems: list[str] = []
        for load, arm in cls.converters:
            try:
                value = load(obj)
            except MisfitError as error:
                problems.append(f"{name_of_type(arm)}: {error}")
                continue
            if msgspec.json.decode(msgspec.json.encode(value, enc_hook=_dump_model)) == obj:
                return value
            fitting.append(value)
        if not fitting:
            raise ValueError("; ".join(problems))
        return fitting[0]


def _as_alternatives(arms: tuple[Any, ...]) -> Any:
    stand_in = _Alternatives(" | ".join(name_of_type(arm) for arm in arms), (), {})
    loads = [(_loader(arm), arm) for arm in arms]
    stand_in.converters = sorted(loads, key=lambda pair: pair[1] is str)
    return stand_in


def _loader(arm: Any) -> Callable[[Any], Any]:
    """Return what checks and loads one member of a union; unlike at the top, plain JSON types are checked too."""
    if _is_mixed_enum(arm):
        return functools.partial(_load_member, arm)
    converter = converter_for(arm)
    strict = converter is None or isinstance(converter, _FloatConverter)
    return _MsgspecConverter(arm).load if strict else cast("Converter", converter).load


def _is_mixed_enum(typ: Any) -> bool:
    """Say whether `typ` is an Enum that msgspec refuses, because its values are not all text or all integers."""
    return isinstance(typ, type) and issubclass(typ, enum.Enum) and not _is_accepted(typ)


def _load_member(cls: type[enum.Enum], obj: object) -> enum.Enum:
    try:
        return cls(obj)
    except ValueError:
        raise MisfitError("", f"Expected one of the values of `{cls.__name__}`") from None


def _prepare(typ: Any) -> Any:
    """Return `typ` with what msgspec refuses in it replaced, so that `_build` is asked about it."""
    if _is_mixed_enum(typ):
        return _as_alternatives((typ,))
    if isinstance(typ, typing.TypeVar):
        return _prepare(stand_in_for(typ))
    args, origin = typing_extensions.get_args(typ), typing_extensions.get_origin(typ)
    if origin is typing_extensions.Literal and any(isinstance(value, enum.Enum) for value in args):
        typ = _prepare(union_of(tuple(map(type, args))))
    elif is_union(typ):
        typ = _prepare_union(args)
    elif args and origin not in (typing_extensions.Literal, typing_extensions.Annotated):
        prepared = tuple(_prepare(arg) for arg in args)
        typ = typ if prepared == args else origin[prepared]
    if has_fields(origin or typ) and not _is_accepted(typ):
        typ = rebuilt_record(typ, _prepare)
    return typ


def _prepare_union(members: tuple[Any, ...]) -> Any:
    whole = union_of(tuple(_prepare(member) for member in members))
    if _is_accepted(whole):
        return whole
    alternatives = _as_alternatives(tuple(member for member in members if member is not type(None)))
    return union_of((alternatives, None)) if type(None) in members else alternatives


def _is_accepted(typ: Any) -> bool:
    try:
        msgspec.json.Decoder(typ, dec_hook=_build)
    except TypeError:
        return False
    return True


def _holds_alternatives(typ: Any) -> bool:
    inside = typing_extensions.get_args(typ)
    return isinstance(typ, (_Alternatives, RebuiltRecord)) or any(map(_holds_alternatives, inside))


def _changed_type(one: Any, other: Any) -> tuple[str, str] | None:
    """Return the names of the first two types in which two values of one shape differ."""
    if type(one) is not type(other):
        return type(one).__name__, type(other).__name__
    pairs: Iterable[tuple[Any, Any]] = ()
    if isinstance(one, (list, tuple)):
        pairs = zip(one, other, strict=True)
    elif isinstance(one, dict):
        pairs = [(value, other.get(key)) for key, value in one.items()]
    elif has_fields(type(one)):
        pairs = [(getattr(one, field.name), getattr(other, field.name)) for field in fields_of(type(one))]
    return next((changed for pair in pairs if (changed := _changed_type(*pair))), None)

"""What a package offers, found by introspection: names, signatures, defaults, attributes, errors."""

from __future__ import annotations

import dataclasses
import enum
import importlib
import inspect
import typing
import warnings
from typing import Any

PLUMBING = ("model_", "serialize_", "convert_validation_error", "_")
"""How members begin that are private, or that belong to pydantic's machinery."""


@dataclasses.dataclass(frozen=True)
class Shape:
    """What code may rely on: the kind of a thing, positional parameters in order, others by name."""

    kind: str
    places: tuple[str, ...] = ()
    named: frozenset[str] = frozenset()

    def __str__(self) -> str:
        if self.kind.startswith("="):
            return self.kind
        named = sorted(self.named, key=lambda text: ("=" in text, text))
        parameters = ", ".join([*self.places, *(["*"] if named else []), *named])
        return (
            f"{self.kind} ({parameters})" if self.kind.split()[0] in ("class", "error", "def", "async") else self.kind
        )

    def holds(self, other: Shape) -> bool:
        """Say whether whoever relies on `other` is served by this one; a default may be new."""
        if self.kind != other.kind or len(self.places) < len(other.places):
            return False
        shared, extra = self.places[: len(other.places)], self.places[len(other.places) :]
        is_in_order = all(
            ours == theirs or ours.startswith(f"{theirs}=") for ours, theirs in zip(shared, other.places, strict=True)
        )
        return is_in_order and other.named <= self.named and all("=" in parameter for parameter in extra)


def members(value: Any) -> list[str]:
    """Return the names of what a class offers; of anything else, nothing."""
    if not inspect.isclass(value) or getattr(value, "_is_protocol", False):
        return []
    named = {name for name in dir(value) if not name.startswith(PLUMBING) and not hasattr(object, name)}
    fields = {field.name for field in dataclasses.fields(value)} if dataclasses.is_dataclass(value) else set[str]()
    return sorted({name for name in named if not _is_foreign(value, name)} | fields)


def _is_foreign(cls: type, member: str) -> bool:
    """Say whether a member belongs to a base outside the package: Enum, Exception, pydantic's BaseModel."""
    owner = next((base for base in cls.__mro__ if member in vars(base)), cls)
    return not owner.__module__.startswith(("inngest", "stepserve"))


def load(module: str) -> Any:
    """Import a module; the official package warns of things that pydantic has deprecated."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        return importlib.import_module(module)


def find(module: str, path: str, samples: dict[str, Any]) -> Shape | None:
    """Return the shape of "name" or "Class.member" of a module, or None if it has none.

    Args:
        samples: objects by the names of their classes, for attributes that only these have.
    """
    try:
        value: Any = load(module)
    except ModuleNotFoundError:
        return None
    name, _, member = path.partition(".")
    if not hasattr(value, name):
        return None
    value = getattr(value, name)
    if not member:
        return shape(value)
    if dataclasses.is_dataclass(value) and member in {field.name for field in dataclasses.fields(value)}:
        return Shape("attribute")
    static = inspect.getattr_static(value, member, None)
    if static is None:
        return Shape("attribute") if hasattr(samples.get(name), member) else None
    return shape(static)


def shape(value: Any) -> Shape:
    """Return what code that uses `value` may rely on."""
    if isinstance(value, (classmethod, staticmethod)):
        return shape(value.__func__)
    if inspect.isclass(value):
        return _class(value)
    value = inspect.unwrap(value) if callable(value) else value
    if inspect.isfunction(value):
        is_async = inspect.iscoroutinefunction(value) or "Coroutine[" in str(value.__annotations__.get("return"))
        return _callable("async def" if is_async else "def", value)
    if isinstance(value, property) or inspect.isdatadescriptor(value):
        return Shape("attribute")
    if isinstance(value, enum.Enum):
        return Shape(f"= {value.value!r}")
    return Shape(f"= {value!r}") if isinstance(value, (str, int, bool)) else Shape("value")


def _class(value: type) -> Shape:
    if issubclass(value, enum.Enum):
        return Shape("enum")  # its members are compared one by one
    if getattr(value, "_is_protocol", False):
        return Shape("protocol")
    kind = "error" if issubclass(value, BaseException) else "class"
    try:
        return _callable(kind, value)
    except ValueError:  # an exception that takes whatever its base takes
        return Shape(kind, ("message",))


def _callable(kind: str, value: Any) -> Shape:
    parameters = list(inspect.signature(value).parameters.values())
    places = [
        _parameter(one)
        for one in parameters
        if one.kind is one.POSITIONAL_OR_KEYWORD and one.name not in ("self", "cls")
    ]
    named = [_parameter(one) for one in parameters if one.kind is one.KEYWORD_ONLY]
    return Shape(kind, tuple(places), frozenset([*named, *_unpacked(value)]))


def _unpacked(value: Any) -> list[str]:
    """Return the options of a `**options: Unpack[SomeTypedDict]`; all of ours are None unless given."""
    if not inspect.isfunction(value):
        return []
    for one in inspect.signature(value).parameters.values():
        if one.kind is one.VAR_KEYWORD and "Unpack[" in str(one.annotation):
            unpacked = typing.get_type_hints(value, include_extras=True)[one.name]
            return [f"{name}=None" for name in typing.get_type_hints(typing.get_args(unpacked)[0])]
    return []


def _parameter(parameter: inspect.Parameter) -> str:
    default = parameter.default
    if default is parameter.empty:
        return parameter.name
    if isinstance(default, enum.Enum) and not isinstance(default, str) and default.name != "UNSET":
        return f"{parameter.name}={type(default).__name__}.{default.name}"
    # Sentinels and factories: that there is a default is what counts.
    return (
        f"{parameter.name}={default!r}" if isinstance(default, (str, int)) or default is None else f"{parameter.name}=…"
    )

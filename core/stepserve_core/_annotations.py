"""What a callable says that it returns: the return annotation behind partials, methods, decorators and strings."""

from __future__ import annotations

import functools
import re
import types
import typing
from collections.abc import Callable, Mapping
from typing import Any, Final

import typing_extensions

UNTYPED: Final = object()
"""Says that a callable promises no type, so that its output is taken as JSON has it."""

_warned: set[str] = set()
_AWAITABLES = {
    ("collections.abc", "Awaitable"),
    ("collections.abc", "Coroutine"),
    *((module, name) for module in ("asyncio", "_asyncio", "asyncio.futures") for name in ("Future", "Task")),
}


def returned_by(handler: Callable[..., Any]) -> object:
    """Return the type of what calling `handler` (and awaiting the result) gives, or UNTYPED.

    A class returns instances of itself. An annotation that cannot be resolved counts as none, with one warning.
    """
    if isinstance(handler, type):
        return handler
    function, owner = _function_behind(handler)
    if function is None:
        return UNTYPED
    try:
        annotation = function.__annotations__.get("return", UNTYPED)
    except NameError as error:  # annotations that are evaluated when they are asked for (PEP 649)
        return _give_up(function, error)
    if annotation is UNTYPED:
        return UNTYPED
    try:
        return _substitute_self(_awaited(_resolve(function, annotation)), owner)
    except Exception as error:  # an annotation is any expression, and may raise anything
        return _give_up(function, error)


def types_of(handler: Callable[..., Any], annotations: list[object]) -> list[object]:
    """Return what annotations of parameters of `handler` stand for; UNTYPED for those that cannot be resolved."""
    behind: Any = vars(handler).get("__init__") if isinstance(handler, type) else handler
    function = None if behind is None else _function_behind(behind)[0]
    if function is None:
        return [UNTYPED] * len(annotations)
    resolved: list[object] = []
    for annotation in annotations:
        try:
            resolved.append(UNTYPED if annotation is UNTYPED else _resolve(function, annotation))
        except Exception as error:  # as above
            resolved.append(_give_up(function, error))
    return resolved


def warn_once(text: str) -> None:
    """Log a warning, the first time it comes up in this process."""
    if text not in _warned:
        _warned.add(text)
        import logging  # noqa: PLC0415 - only to warn

        logging.getLogger("stepserve").warning("%s", text)


def _function_behind(handler: Any) -> tuple[Any, object]:
    """Return the function whose annotations count, and what it is bound to, if anything."""
    owner: object = None
    while True:
        if isinstance(handler, functools.partial):
            handler = handler.func
        elif isinstance(handler, types.MethodType):
            owner, handler = handler.__self__, handler.__func__
        elif _repeats_annotations(handler):
            handler = handler.__wrapped__
        elif isinstance(handler, types.FunctionType):
            return handler, owner
        elif isinstance(handler, type) or isinstance(type(handler).__call__, types.FunctionType):
            owner, handler = handler, type(handler).__call__
        else:
            return None, None  # written in C


def _repeats_annotations(handler: Any) -> bool:
    """Say whether `handler` only repeats what functools.wraps copied; strings belong to the original's module."""
    wrapped = getattr(handler, "__wrapped__", None)
    if wrapped is None:
        return False
    own = getattr(handler, "__annotations__", None)
    return not own or own == getattr(wrapped, "__annotations__", None)


def _resolve(function: types.FunctionType, annotation: object) -> object:
    if annotation is None or isinstance(annotation, type):
        return annotation
    names = {parameter.__name__: parameter for parameter in getattr(function, "__type_params__", ())}
    names |= closure_of(function)
    stand_in = types.SimpleNamespace(__annotations__={"return": annotation})
    return typing_extensions.get_type_hints(stand_in, function.__globals__, names, include_extras=True)["return"]


def closure_of(function: types.FunctionType) -> dict[str, Any]:
    """Return the names from around `function` that it uses, with their values."""
    cells = zip(function.__code__.co_freevars, function.__closure__ or (), strict=False)
    names: dict[str, Any] = {}
    for name, cell in cells:
        try:
            names[name] = cell.cell_contents
        except ValueError:  # not assigned yet
            continue
    return names


def reads_closure(function: types.FunctionType, annotation: str) -> bool:
    """Say whether the text of an annotation names something from around `function`."""
    names = function.__code__.co_freevars
    return bool(names) and not set(re.findall(r"\w+", annotation)).isdisjoint(names)


def _awaited(annotation: object) -> object:
    """Return what awaiting gives, for functions that return a coroutine without being `async def`."""
    origin = typing_extensions.get_origin(annotation)
    if isinstance(origin, type) and (origin.__module__, origin.__name__) in _AWAITABLES:
        return typing_extensions.get_args(annotation)[-1]
    return annotation


def _substitute_self(annotation: object, owner: object) -> object:
    if owner is None:
        return annotation
    itself = owner if isinstance(owner, type) else type(owner)
    return substitute(annotation, {typing_extensions.Self: itself, getattr(typing, "Self", None): itself})


def substitute(annotation: Any, names: Mapping[Any, object]) -> Any:
    """Return `annotation` with some of the types in it replaced."""
    try:
        if annotation in names:
            return names[annotation]
    except TypeError:  # not hashable, and so none of them
        return annotation
    args = typing_extensions.get_args(annotation)
    origin = typing_extensions.get_origin(annotation)
    if not args or origin is typing_extensions.Literal:
        return annotation
    replaced = tuple(substitute(arg, names) for arg in args)
    if replaced == args:
        return annotation
    if origin in (typing.Union, types.UnionType):
        return union_of(replaced)
    return origin[replaced]


def union_of(members: tuple[Any, ...]) -> Any:
    """Return the union of types that are known at run time only."""
    union: Any = typing.Union
    return union[members]


def _give_up(function: Any, error: Exception) -> object:
    name = getattr(function, "__qualname__", repr(function))
    warn_once(
        f"an annotation of {function.__module__}.{name} cannot be resolved ({type(error).__name__}: {error}),"
        " so the value stays as JSON has it after a replay; import the name at run time, not only under"
        " TYPE_CHECKING, or pass output_type="
    )
    return UNTYPED

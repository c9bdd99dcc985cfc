"""Write a function once and have it in both colours.

Tests write `async def body(ctx)`. The async colour is the body itself. For the sync colour it is driven to its
end at once, with a context whose steps answer at the moment they are called, so that awaiting them never waits.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Coroutine, Generator
from typing import Any

import stepserve_core as core

COLOURS = ("sync", "async")

Body = Callable[[Any], Coroutine[Any, Any, Any]]


class _Done:
    """An awaitable that has its value already."""

    def __init__(self, value: object) -> None:
        self.value = value

    def __await__(self) -> Generator[Any, None, object]:
        return self.value
        yield  # makes this a generator


class _Eager:
    """Wraps an object so that its methods, called at once, return awaitables."""

    def __init__(self, inner: Any) -> None:
        self._inner = inner

    def __getattr__(self, name: str) -> Any:
        method = getattr(self._inner, name)
        return lambda *args, **kwargs: _Done(method(*args, **kwargs))


class _EagerSteps(_Eager):
    @property
    def realtime(self) -> _Eager:
        return _Eager(self._inner.realtime)

    @property
    def ai(self) -> _Eager:
        return _Eager(self._inner.ai)


class _EagerGroup:
    def __init__(self, inner: Any) -> None:
        self._inner = inner

    def race(self, *branches: Callable[[], Awaitable[Any]]) -> _Done:
        return _Done(self._inner.race(*[lambda branch=branch: drive(branch()) for branch in branches]))

    def experiment(self, name: str, *, variants: dict[str, Callable[[], Awaitable[Any]]], **select: Any) -> _Done:
        plain = {key: lambda variant=variant: drive(variant()) for key, variant in variants.items()}
        return _Done(self._inner.experiment(name, variants=plain, **select))

    def parallel(self, branches: tuple[Callable[[], Awaitable[Any]], ...], *mode: object) -> _Done:
        return _Done(self._inner.parallel(tuple(lambda branch=branch: drive(branch()) for branch in branches), *mode))


class _EagerContext:
    def __init__(self, ctx: core.ContextSync) -> None:
        self._ctx = ctx
        self.step = _EagerSteps(ctx.step)
        self.group = _EagerGroup(ctx.group)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._ctx, name)


def drive(awaitable: Awaitable[Any]) -> Any:
    """Run an awaitable that never waits."""
    generator = awaitable.__await__()
    try:
        generator.send(None)
    except StopIteration as stop:
        return stop.value
    raise AssertionError("the body of a sync function waited for something")


def in_colour(colour: str, body: Body) -> Callable[[Any], Any]:
    """Return `body` as an `async def` or as a `def` handler."""
    if colour == "async":
        return body
    return lambda ctx: drive(body(_EagerContext(ctx)))


def hook(colour: str, plain: Callable[..., None]) -> Any:
    """Return a middleware hook as a `def` or as an `async def` method."""
    if colour == "sync":
        return plain

    async def waiting(self: Any, *args: object) -> None:
        plain(self, *args)

    return waiting

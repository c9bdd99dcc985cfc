"""`step.ai`: models that the server calls, and calls to models whose input the server sees (protocol.md 13.5)."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Coroutine
from typing import TYPE_CHECKING, Any, TypeVar, overload

from typing_extensions import TypeVarTuple, Unpack

from stepserve_core._outputs import reader
from stepserve_core._serialize import UNSET
from stepserve_core.ai import AIAdapter

if TYPE_CHECKING:
    from stepserve_core._asks import Asks

T = TypeVar("T")
Ts = TypeVarTuple("Ts")


class _AI:
    """What both colours do. What they return differs, which the types of one class cannot say."""

    def __init__(self, reach: Callable[..., Any], asks: Asks) -> None:
        self._reach = reach
        self._asks = asks

    def _infer(self, step_id: str, adapter: AIAdapter, body: dict[str, Any]) -> Any:
        return self._reach(step_id, None, self._asks.infer, adapter, body)

    def _wrap(self, step_id: str, handler: Callable[..., Any], args: tuple[Any, ...], output_type: object) -> Any:
        converter = self._asks.converter(handler, output_type)
        ask = step_id, handler, args, converter
        return self._reach(step_id, reader(converter, step_id), self._asks.wrap, *ask)


class AISync(_AI):
    """`step.ai` of a `def` function (protocol.md 10.6 and 13.5)."""

    def infer(self, step_id: str, *, adapter: AIAdapter, body: dict[str, Any]) -> dict[str, object]:
        """Let the server call a model; the app is not busy meanwhile. Return the provider's answer."""
        return self._infer(step_id, adapter, body)  # type: ignore[no-any-return]

    def wrap(
        self,
        step_id: str,
        handler: Callable[[Unpack[Ts]], T],
        *handler_args: Unpack[Ts],
        output_type: object = UNSET,
    ) -> T:
        """Call `handler` once, as `step.run` does, and let the server see its arguments besides its result.

        It is for calls to models that the app makes itself, through any library. A run can be repeated from this
        step with other arguments. JSON must carry them; bind what it cannot with `functools.partial`.
        """
        return self._wrap(step_id, handler, handler_args, output_type)  # type: ignore[no-any-return]


class AI(_AI):
    """`step.ai` of an `async def` function (protocol.md 10.6 and 13.5)."""

    def infer(
        self, step_id: str, *, adapter: AIAdapter, body: dict[str, Any]
    ) -> Coroutine[None, object, dict[str, object]]:
        """Let the server call a model; the app is not busy meanwhile. Return the provider's answer."""
        return self._infer(step_id, adapter, body)  # type: ignore[no-any-return]

    @overload
    def wrap(
        self,
        step_id: str,
        handler: Callable[[Unpack[Ts]], Awaitable[T]],
        *handler_args: Unpack[Ts],
        output_type: object = UNSET,
    ) -> Coroutine[None, object, T]: ...

    @overload
    def wrap(
        self,
        step_id: str,
        handler: Callable[[Unpack[Ts]], T],
        *handler_args: Unpack[Ts],
        output_type: object = UNSET,
    ) -> Coroutine[None, object, T]: ...

    def wrap(
        self,
        step_id: str,
        handler: Callable[[Unpack[Ts]], Any],
        *handler_args: Unpack[Ts],
        output_type: object = UNSET,
    ) -> Coroutine[Any, Any, Any]:
        """Call `handler` once, as `step.run` does, and let the server see its arguments besides its result.

        It is for calls to models that the app makes itself, through any library. A run can be repeated from this
        step with other arguments. JSON must carry them; bind what it cannot with `functools.partial`.
        """
        return self._wrap(step_id, handler, handler_args, output_type)  # type: ignore[no-any-return]

"""What `create_function` returns: the decorator, whose types bind a handler to the data of its trigger."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any, Generic, TypeVar, overload

from stepserve_core._function import Function
from stepserve_core._triggering import DataT

if TYPE_CHECKING:
    from stepserve_core._context import Context, ContextSync

T = TypeVar("T")


class FunctionDecorator(Generic[DataT]):
    """Makes a function of a handler; it keeps the type of what the handler returns.

    The handler's context must have the data of the trigger: `Context[OrderCreated]` for an `EventType` of that,
    `Context[OrderCreated | Shipped]` for `order_created | shipped`. mypy sees a list of several event types as
    `object`; then the handler's own annotation counts.
    """

    def __init__(self, make: Callable[[Any], Function[Any]]) -> None:
        self._make = make

    @overload
    def __call__(self, handler: Callable[[Context[DataT]], Awaitable[T]]) -> Function[T]: ...

    @overload
    def __call__(self, handler: Callable[[ContextSync[DataT]], T]) -> Function[T]: ...

    @overload
    def __call__(self: FunctionDecorator[object], handler: Callable[[Context[Any]], Awaitable[T]]) -> Function[T]: ...

    @overload
    def __call__(self: FunctionDecorator[object], handler: Callable[[ContextSync[Any]], T]) -> Function[T]: ...

    def __call__(self, handler: Callable[[Any], Any]) -> Function[Any]:
        return self._make(handler)

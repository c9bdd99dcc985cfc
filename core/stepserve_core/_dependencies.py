"""Dependencies: what middleware makes for functions, who find it by its type."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Generator
from contextlib import AbstractAsyncContextManager, AbstractContextManager, AsyncExitStack, contextmanager
from typing import TYPE_CHECKING, Any, TypeVar

from stepserve_core._colour import is_awaitable
from stepserve_core._context import Context
from stepserve_core._middleware import CallInfo, Middleware, StepMemos, UninitializedMiddleware
from stepserve_core._runtime import run_sync
from stepserve_core._transformed_output import TransformOutputResult
from stepserve_core.errors import AsyncUnsupportedError

if TYPE_CHECKING:
    from stepserve_core._client import Inngest
    from stepserve_core._context import ContextSync
    from stepserve_core._function import Function

T = TypeVar("T")

Make = Callable[[Any], "T | Awaitable[T] | AbstractContextManager[T] | AbstractAsyncContextManager[T]"]


def providing(kind: type[T], make: Make[T]) -> UninitializedMiddleware:
    """Return middleware that makes a `kind` for each call of a function; `ctx.get(kind)` finds it (protocol.md 9.2).

        client = Inngest(app_id="shop", middleware=[providing(Database, lambda ctx: Database(URL))])

    Args:
        kind: the class under which it is found.
        make: is given `ctx` (what middleware further to the front provides is there already) and returns a `kind`, an
            awaitable of one, or a context manager around one, as `contextlib.contextmanager` makes them. Context
            managers are left before the answer is sent, the last one first; they see the error if the call failed, or
            was cancelled.

    A function is called once for every step, so make what is cheap and keep pools outside.

    Raises:
        AsyncUnsupportedError: `make` gave something async to a `def` function. Raised while it is called.
    """

    def factory(client: Inngest, raw_request: object) -> Middleware:
        return _Providing(client, raw_request, kind, make)

    return factory


class _Providing(Middleware):
    def __init__(self, client: Inngest, raw_request: object, kind: type[Any], make: Make[Any]) -> None:
        super().__init__(client, raw_request)
        self._kind = kind
        self._make = make
        self._owned: AsyncExitStack | None = None
        self._is_async = False
        self._error: BaseException | None = None

    @contextmanager
    def around_call(self, call: CallInfo) -> Generator[None, None, None]:
        del call
        try:
            yield
        except BaseException as error:  # of a call that was cancelled, no output is transformed
            self._error = error
            raise

    def transform_input(
        self, ctx: Context | ContextSync, function: Function[Any], steps: StepMemos
    ) -> Awaitable[None] | None:
        del steps
        self._is_async = isinstance(ctx, Context)
        made: Any = self._make(ctx)
        waits = is_awaitable(made) or hasattr(type(made), "__aenter__")
        if isinstance(made, self._kind) or not (waits or hasattr(type(made), "__enter__")):
            ctx.provide(self._kind, made)
        elif self._is_async:
            return self._open(ctx, made)
        elif waits:
            getattr(made, "close", int)()  # a coroutine that is dropped would complain
            raise AsyncUnsupportedError(
                f"{self._kind.__name__} is made by something async, but function {function.local_id!r} is not async"
            )
        else:
            run_sync(self._open(ctx, made))
        return None

    async def _open(self, ctx: Context | ContextSync, made: Any) -> None:
        if is_awaitable(made):
            value = await made
        elif hasattr(type(made), "__aenter__"):
            value = await self._stack(ctx).enter_async_context(made)
        else:
            value = self._stack(ctx).enter_context(made)
        ctx.provide(self._kind, value)

    def _stack(self, ctx: Context | ContextSync) -> AsyncExitStack:
        """Return the stack of the call; the first middleware that needs it owns it."""
        stack = ctx.find(AsyncExitStack)
        if stack is None:
            stack = self._owned = AsyncExitStack()
            ctx.provide(AsyncExitStack, stack)
        return stack

    def transform_output(self, result: TransformOutputResult) -> None:
        self._error = result.error

    def before_response(self) -> Awaitable[None] | None:
        if self._owned is None:
            return None
        closing = self._close(self._owned)
        return closing if self._is_async else run_sync(closing)

    async def _close(self, stack: AsyncExitStack) -> None:
        error = self._error
        if error is None:
            await stack.__aexit__(None, None, None)
        else:
            await stack.__aexit__(type(error), error, error.__traceback__)

"""Middleware: hooks around calls and around sending events (protocol.md section 9).

A hook may be `def` or `async def`; an async one cannot serve a sync function, and says so.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Generator, Iterator
from contextlib import AbstractContextManager
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec

from stepserve_core._memos import Memo, read_memo
from stepserve_core._model import Model
from stepserve_core._protocol import Headers
from stepserve_core._serialize import UNSET

if TYPE_CHECKING:
    from stepserve_core._client import Inngest
    from stepserve_core._context import Context, ContextSync
    from stepserve_core._event import Event
    from stepserve_core._function import Function
    from stepserve_core._runtime import Runtime
    from stepserve_core._transformed_output import TransformOutputResult, TransformOutputStepInfo


class SendEventsResult(Model, kw_only=True):
    """What came of sending events: the server's ids, and its error if it took only some (protocol.md 8.3)."""

    error: str | None = None
    ids: list[str] = msgspec.field(default_factory=list)


class CallInfo(NamedTuple):
    """A call of a function, for the hooks that stand around things (protocol.md section 9)."""

    function_id: str
    """With the app's id, as the server knows it; of a failure handler, its own."""
    run_id: str
    attempt: int


class StepMemos:
    """The memos of a run, for `transform_input` to read and change (protocol.md 9.2 and 10.7)."""

    def __init__(self, memos: dict[str, Memo]) -> None:
        self._memos = memos

    @property
    def size(self) -> int:
        """The number of memos."""
        return len(self._memos)

    def values(self) -> Iterator[Memo]:
        """Return the memos; each has `data` and `error`."""
        return iter(self._memos.values())

    @classmethod
    def from_raw(cls, raw: dict[str, object]) -> StepMemos:
        """Read memos as they come in a call: hashed step ids and what is memoised (protocol.md 5.3)."""
        return cls({hashed: read_memo(memo) for hashed, memo in raw.items()})

    def pop(self, hashed_id: str) -> Memo | msgspec.UnsetType:
        """Take a memo away and return it, or UNSET if there is none; its step will execute again."""
        return self._memos.pop(hashed_id, UNSET)


class _Nothing:
    """What the hooks of the base return: an override of either colour may call its super(), and await it or not."""

    def __await__(self) -> Generator[Any, None, None]:
        return
        yield


_NOTHING = _Nothing()


class Middleware:
    """Base of middleware; override the hooks you need, `def` or `async def` (protocol.md section 9).

    Hooks return nothing. Those of this class are typed to return anything, because an override may call and await them.

    One instance is made for each request. `raw_request` is the framework's request object, or None while
    events are sent outside of a request.

    Hooks named `around_…` are ours, and `def` always: they return a context manager, or None. Context variables that
    it sets are seen by what it stands around. It is left with the error of that, which it cannot change.
    """

    request_headers: Headers = MappingProxyType({})
    """The headers of the request, names in lower case; empty while events are sent outside of a request."""

    def __init__(self, client: Inngest, raw_request: object) -> None:
        self.client = client
        self.raw_request = raw_request

    def transform_input(self, ctx: Context | ContextSync, function: Function[Any], steps: StepMemos) -> Any:
        """See, and change, what the function is given. First."""
        return _NOTHING

    def before_execution(self) -> Any:
        """Take note that the function has passed its memos and does something new."""
        return _NOTHING

    def before_send_events(self, events: list[Event]) -> Any:
        """See, and change, events before they are sent."""
        return _NOTHING

    def after_send_events(self, result: SendEventsResult) -> Any:
        """See what came of sending events."""
        return _NOTHING

    def after_execution(self) -> Any:
        """Take note that the function ended or has something to report; not if it raised."""
        return _NOTHING

    def before_report(self, steps: list[TransformOutputStepInfo]) -> Any:
        """See every step that is about to be reported, and change its `opts` in place.

        Those of a parallel group and the functions that are deferred are among them.

        The official SDK has no such hook: there, steps that are reported together pass middleware by.
        """
        return _NOTHING

    def transform_output(self, result: TransformOutputResult) -> Any:
        """See, and change, the output or error of the function or of the step that was executed."""
        return _NOTHING

    def before_response(self) -> Any:
        """Do something last, whatever failed; also if the request was cancelled, and nobody gets the response."""
        return _NOTHING

    def around_call(self, call: CallInfo) -> AbstractContextManager[object] | None:
        """Stand around a whole call, all other hooks included; left with the error of the function."""

    def around_function(self, call: CallInfo) -> AbstractContextManager[object] | None:
        """Stand around the code of the function; left with its error."""

    def around_step(self, step: TransformOutputStepInfo) -> AbstractContextManager[object] | None:
        """Stand around the code of a step that is executed, not replayed; left with its error."""


class MiddlewareSync(Middleware):
    """The same as `Middleware`; kept because programs name it (protocol.md 9.1)."""


UninitializedMiddleware = Callable[["Inngest", Any], Middleware]
"""A middleware class, or anything else that makes an instance for a client and a raw request."""


class MiddlewareManager:
    """The middleware of one request, and how its hooks are called."""

    def __init__(self, client: Inngest, raw_request: object, runtime: Runtime, headers: Headers | None = None) -> None:
        self._client = client
        self._raw_request = raw_request
        self._runtime = runtime
        self._headers = headers
        self._instances: list[Middleware] = []

    def add(self, factories: list[UninitializedMiddleware]) -> None:
        """Make instances; they come after those that are there."""
        for make in factories:
            instance = make(self._client, self._raw_request)
            if self._headers is not None and isinstance(instance, Middleware):
                instance.request_headers = self._headers
            self._instances.append(instance)

    def uses(self, hook: str) -> bool:
        """Say whether any middleware overrides `hook`."""
        base = getattr(Middleware, hook)
        return any(getattr(type(one), hook, base) is not base for one in self._instances)

    async def run(self, hook: str, *args: object) -> None:
        """Call a hook of all middleware, in order."""
        for one in self._instances:
            await self._call(one, hook, *args)

    async def run_where(self, other: str, hook: str, *args: object) -> None:
        """Call a hook of the middleware that overrides another one too, in order."""
        base = getattr(Middleware, other)
        for one in self._instances:
            if getattr(type(one), other, base) is not base:
                await self._call(one, hook, *args)

    async def run_reversed(self, hook: str, *args: object) -> None:
        """Call a hook of all middleware, last added first."""
        for one in reversed(self._instances):
            await self._call(one, hook, *args)

    async def _call(self, one: Middleware, hook: str, *args: object) -> None:
        method = getattr(one, hook, None)  # middleware written for the official SDK lacks the hooks that are ours
        if method is None:
            return

        @functools.wraps(method)  # errors name it
        def call(*args: object) -> Any:
            result = method(*args)
            return None if result is _NOTHING else result

        await self._runtime.call(call, *args)

    def enter(self, entered: Entered, hook: str, *args: object) -> None:
        """Enter the context managers of an `around_…` hook, in order, and note them in `entered`."""
        for one in self._instances:
            method = getattr(one, hook, None)
            manager = None if method is None else method(*args)
            if manager is not None:
                manager.__enter__()
                entered.append(manager)


class Entered(list[AbstractContextManager[object]]):
    """Context managers that were entered."""

    def leave(self, error: BaseException | None) -> None:
        """Leave them, the last one first. What they return does not matter."""
        while self:
            manager = self.pop()
            if error is None:
                manager.__exit__(None, None, None)
            else:
                manager.__exit__(type(error), error, error.__traceback__)

"""What a function is given: its event, its run, its steps (protocol.md 10.5)."""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Callable
from typing import Any, Generic, TypeVar

from stepserve_core._event import Event
from stepserve_core._group import Group, GroupSync
from stepserve_core._step import Step, StepSync
from stepserve_core._triggering import DataT_co
from stepserve_core.errors import DependencyMissingError

T = TypeVar("T")
StepT = TypeVar("StepT")
GroupT = TypeVar("GroupT")


class _Lazy:
    """A field that is decoded when it is first read."""

    def __init__(self, name: str) -> None:
        self._name = f"_{name}"

    def __get__(self, context: Any, owner: type) -> Any:
        if context is None:
            return self
        value = getattr(context, self._name)
        if callable(value):
            value = value()
            setattr(context, self._name, value)
        return value

    def __set__(self, context: object, value: object) -> None:
        setattr(context, self._name, value)


@dataclasses.dataclass(init=False, eq=False)
class _Context(Generic[StepT, GroupT, DataT_co]):
    """Fields of both colours. Events are decoded when they are first asked for."""

    attempt: int
    event: Event[DataT_co]
    """The event that started the run; of a batch, the first."""
    events: list[Event[DataT_co]]
    """All events of a batch; otherwise the one event."""
    group: GroupT
    job_id: str | None
    logger: logging.Logger
    request_id: str | None
    run_id: str
    step: StepT

    def __init__(
        self,
        attempt: int,
        event: Event[DataT_co] | Callable[[], Event[DataT_co]],
        events: list[Event[DataT_co]] | Callable[[], list[Event[DataT_co]]],
        group: GroupT,
        job_id: str | None,
        logger: logging.Logger,
        request_id: str | None,
        run_id: str,
        step: StepT,
    ) -> None:
        self.attempt = attempt
        self._event = event
        self._events = events
        self.group = group
        self.job_id = job_id
        self.logger = logger
        self.request_id = request_id
        self.run_id = run_id
        self.step = step
        self._provided: dict[type[Any], Any] | None = None

    def provide(self, kind: type[T], value: T) -> None:
        """Let the function find `value` under the class `kind`; for the hook `transform_input` of middleware."""
        if self._provided is None:
            self._provided = {}
        self._provided[kind] = value

    def find(self, kind: type[T]) -> T | None:
        """Return what middleware provided under the class `kind`, or None."""
        return None if self._provided is None else self._provided.get(kind)

    def get(self, kind: type[T]) -> T:
        """Return what middleware provided under the class `kind`.

        Raises:
            DependencyMissingError: nothing was.
        """
        if self._provided is None or kind not in self._provided:
            raise DependencyMissingError(
                f"no middleware provides {kind.__name__}: add providing({kind.__name__}, …) to the middleware of the"
                f" client or of the function, or call ctx.provide({kind.__name__}, …) in a transform_input hook"
            )
        value: T = self._provided[kind]
        return value


for _name in ("event", "events"):
    setattr(_Context, _name, _Lazy(_name))


class Context(_Context[Step, Group, DataT_co], Generic[DataT_co]):
    """What an `async def` function is given; `Context[OrderCreated]` for an `EventType` of that (protocol.md 10.5).

    `attempt` counts from 0; `run_id` is the same for all calls of a run; `request_id` and `job_id` name this call.
    """


class ContextSync(_Context[StepSync, GroupSync, DataT_co], Generic[DataT_co]):
    """What a `def` function is given (protocol.md 10.5). See `Context`."""

"""Replay tests: would the code of today have done what a recorded run did?

The function is called as a server would call it after each step of the history: with the memos of the steps that
had finished by then. Each call must reach the step that finished next. No step is executed, and nothing is sent.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import msgspec

from stepserve.testing.errors import ReplayError
from stepserve_core import Checkpointing, Function, Inngest
from stepserve_core.errors import ConfigurationError
from stepserve_core.history import EXECUTED_OPS, History, HistoryStep, Source, read_history
from stepserve_core.testing import (
    AsyncRuntime,
    Call,
    CallContext,
    HTTPResponse,
    Request,
    Runtime,
    ServedCall,
    Stack,
    StepSubstitutes,
    SyncRuntime,
    background_loop,
    encode_wire,
    run_sync,
    serving,
)

_EVENT_ID = "0" * 26


def assert_replays(function: Function[Any], history: Source, *, client: Inngest | None = None) -> None:
    """Check that `function` still does what it did in a recorded run.

    Args:
        function: the function as it is today; for runs of its `on_failure` or `on_cancel` handler too.
        history: what `stepserve export RUN_ID` wrote: the path of the file, or its content; or `run.history()` of a
            harness.
        client: the client of the app, where its middleware or serializer takes part (encryption does).

    Raises:
        ReplayError: it does something else. The message names the first step that is missing, renamed, new, in
            another order or of another kind; `error.step` is its id.
        HistoryInvalidError: the history is none.
        ConfigurationError: the function is none.
    """
    if not isinstance(function, Function):
        raise ConfigurationError(
            f"assert_replays takes a function made by @client.create_function(…), not {type(function).__name__}"
        )
    read = read_history(history)
    _Replay(function, read, client or Inngest(app_id=function.app_id, is_production=True)).run()


class _Reached(NamedTuple):
    """What one call of the function came to: steps by their hashes, as (name, opcode), or an end."""

    steps: dict[str, tuple[str, str]]
    error: Exception | None

    @property
    def has_ended(self) -> bool:
        return not self.steps


class _Replay:
    def __init__(self, function: Function[Any], history: History, client: Inngest) -> None:
        ids = (function.id, function.on_failure_fn_id, function.on_cancel_fn_id)
        if history.function not in ids:
            raise ReplayError(f"the history is of the function {history.function!r}, not of {function.id!r}")
        self._function = function
        self._history = history
        self._client = client
        self._finished = [step for step in history.steps if step.is_finished]
        self._recorded = {step.id: step for step in history.steps}
        self._places = {step.id: place for place, step in enumerate(self._finished, start=1)}
        self._seen: set[str] = set()

    def run(self) -> None:
        token = serving.set(_Nobody(self._history.run.started_at or self._history.run.queued_at))
        try:
            for place, step in enumerate(self._finished):
                reached = self._call(self._finished[:place])
                self._check_known(reached, step)
                if step.id not in self._seen:
                    raise self._divergence(step, reached)
            self._check_end(self._call(self._finished))
        finally:
            serving.reset(token)

    def _call(self, finished: list[HistoryStep]) -> _Reached:
        memos: dict[str, Any] = {step.id: msgspec.json.decode(step.memo) for step in finished}
        stack = Stack(stack=msgspec.Raw(encode_wire(list(memos))))
        context = CallContext(attempt=0, disable_immediate_execution=True, run_id=self._history.run.id, stack=stack)
        events = self._history.events
        runtime = AsyncRuntime() if self._function.is_handler_async else SyncRuntime()
        served = ServedCall(
            self._client,
            self._function,
            Request("POST", "http://replay", {}, b""),
            Call(ctx=context, event=events[0], events=events, steps=memos, use_api=False),
            function_id=self._history.function,
            target=None,
            runtime=runtime,
            keep_outcome=True,
        )
        if runtime.is_async:
            background_loop.run(served.answer)
        else:
            run_sync(served.answer())
        reports = served.outcome.reports or []
        steps = {report.op.id: (report.op.display_name, _kind(report.op.op)) for report in reports}
        self._seen |= steps.keys()
        return _Reached(steps, served.outcome.error)

    def _check_known(self, reached: _Reached, expected: HistoryStep | None) -> None:
        """Refuse steps that the history has otherwise, or does not have at all."""
        for hashed, (name, kind) in reached.steps.items():
            known = self._recorded.get(hashed)
            if known is not None and known.op != kind:
                raise ReplayError(f"step {name!r} is a {kind} today; in the history it is a {known.op}", name)
            if known is None and expected is None:
                raise ReplayError(f"step {name!r} is new: the run ended without it", name)
            if known is None and expected is not None and expected.id in self._seen:
                raise ReplayError(f"step {name!r} is new: the history does not have it beside {expected.name!r}", name)

    def _divergence(self, step: HistoryStep, reached: _Reached) -> ReplayError:
        here = f"step {step.name!r}, number {self._places[step.id]} of {len(self._finished)} in the history"
        if reached.error is not None:
            kind = type(reached.error).__name__
            return ReplayError(f"{here}, is not reached today: the code fails with {kind}: {reached.error}", step.name)
        if reached.has_ended:
            return ReplayError(f"{here}, is missing: the code of today ends without it", step.name)
        new = [name for hashed, (name, _) in reached.steps.items() if hashed not in self._recorded]
        if new:
            return ReplayError(
                f"{here}, is missing: the code of today has {new[0]!r} in its place. Was it renamed, or is"
                f" {new[0]!r} new? Runs that are under way would execute {new[0]!r}",
                step.name,
            )
        first = next(iter(reached.steps.values()))[0]
        return ReplayError(f"{here}, comes in another order today: {first!r} comes before it", step.name)

    def _check_end(self, reached: _Reached) -> None:
        status = self._history.run.status
        if status == "Completed" and reached.error is not None:
            failure = f"{type(reached.error).__name__}: {reached.error}"
            raise ReplayError(f"the run completed; after its last step, the code of today fails with {failure}")
        if status in ("Completed", "Failed"):
            self._check_known(reached, None)


def _kind(opcode: str) -> str:
    return "StepRun" if opcode in EXECUTED_OPS else opcode


class _Nobody:
    """Stands in for the server: takes events and forgets them, and refuses everything else."""

    runs_in_place = True
    substitutes: StepSubstitutes | None = None
    checkpointing: Checkpointing | None = None

    def __init__(self, moment: float) -> None:
        self._moment = moment

    def now(self) -> float:
        return self._moment

    async def answer(
        self, runtime: Runtime, method: str, target: str, headers: Mapping[str, str], body: bytes
    ) -> HTTPResponse:
        del runtime, method, headers
        if target.startswith("/e/"):
            count = len(msgspec.json.decode(body, type=list[msgspec.Raw]))
            return HTTPResponse(200, msgspec.json.encode({"ids": [_EVENT_ID] * count, "status": 200}))
        return HTTPResponse(503, b'{"error":"a replay asks nothing of a server"}')

"""Running a function to its end in one call (protocol.md 10.10)."""

from __future__ import annotations

from typing import Any

from stepserve.experimental.mocked.result import Result
from stepserve_core import Event, Function, Inngest
from stepserve_core.errors import Error
from stepserve_core.testing import background_loop, run_sync


def trigger(
    fn: Function[Any],
    event: Event | list[Event],
    client: Inngest,
    *,
    step_stubs: dict[str, object] | None = None,
) -> Result:
    """Run `fn` to its end and say how it ended.

    Args:
        fn: a function of either colour.
        event: what starts it; a list is a batch.
        client: a `mocked.Inngest`, so that nothing is sent.
        step_stubs: what comes of steps, by their ids: the result of a step that is not to run or that only a server
            can do, `Timeout` for an event that does not come, an exception with which the step fails, or a callable;
            as `Harness.stub` takes them.

    Raises:
        UnstubbedStepError: a step that only a server can do has no stub.
        Error: there is no event.
    """
    from stepserve.experimental.mocked.trial import Trial  # noqa: PLC0415 - the executor is loaded by those who run

    events = event if isinstance(event, list) else [event]
    if not events:
        raise Error("Must provide at least 1 event")
    trial = Trial(fn, events, client, step_stubs or {})
    return background_loop.run(trial.run) if fn.is_handler_async else run_sync(trial.run())

"""What follows from an answer, as values: `plan.py` makes them, `apply.py` carries them out."""

from __future__ import annotations

from collections.abc import Callable

import msgspec

from stepserve_core.executor import limits
from stepserve_core.executor.failures import Failure

GATEWAY, AI_GATEWAY = "gateway", "ai_gateway"
"""Kinds of queue items: requests that the executor itself makes, of any kind and to models."""


class Work(msgspec.Struct, frozen=True):
    """A claimed queue item.

    `kind` is start, discover, step, gateway or ai_gateway; `step` is the hash of the targeted step. `generation`
    counts the claims of the item and proves that the lease is still held. `event_mark` is the last event stored
    before the claim: a wait that the answer registers looks at the events after it. `checkpointed` says that steps
    were saved while the call was under way (executor.md 8.3).
    """

    id: str
    kind: str
    run_id: str
    step: str | None
    attempt: int
    generation: int
    queued_at: float
    event_mark: int = 0
    checkpointed: bool = False


class RunFacts(msgspec.Struct, frozen=True):
    """What is known of a running run. `max_attempts` counts the first attempt too.

    `rank` orders its items among those of other runs: its start in Unix seconds, less its priority. `slot_keys` are
    the concurrency keys of its calls, as JSON, or None. `event_seq` is its trigger in the table of events; `batch_id`
    says that there are more. `flow` is what `flow/holds.py` wrote. `started` says that it was called before,
    `defers` how many functions it deferred. `edited_input` are the arguments that `edited_step` runs with.
    `step_limit` and `state_limit` (bytes) are what it may have.
    """

    id: str
    function_id: str
    event_seq: int = 0
    rank: float = 0.0
    request_version: int = -1
    force_plan: bool = False
    step_count: int = 0
    state_size: int = 0
    correlation_id: str | None = None
    slot_keys: str | None = None
    batch_id: str | None = None
    flow: str | None = None
    started: bool = False
    defers: int = 0
    edited_step: str | None = None
    edited_input: bytes | None = None
    max_attempts: int = 5
    step_limit: int = limits.STEPS_PER_RUN
    state_limit: int = limits.RUN_STATE


class StepRef(msgspec.Struct, frozen=True):
    """A step: the hash that is its id on the wire, and what people know it by.

    `detail` is what the timeline shows besides: a JSON object.
    """

    hash: str
    name: str
    op: str
    races: bool = False
    detail: bytes | None = None


class Span(msgspec.Struct, frozen=True):
    """When an app executed a step, by its own clock."""

    started_at: float
    ended_at: float


class FinishStep(msgspec.Struct, frozen=True):
    """Memoise a step; then look what comes next in its group, unless something else decides that (`follows`).

    `span` is set where the step was one of several that a call executed.
    """

    step: StepRef
    memo: bytes
    failed: bool = False
    follows: bool = True
    span: Span | None = None


class FailAttempt(msgspec.Struct, frozen=True):
    """Note a failed attempt that will be repeated; `step` is None where the function itself failed."""

    step: StepRef | None
    error: bytes


class RetryItem(msgspec.Struct, frozen=True):
    """Put the same item back, for its next attempt."""

    at: float
    attempt: int


class ParkItem(msgspec.Struct, frozen=True):
    """Put the same item back until there is room at `key`; `is_over` says whether there is by now."""

    key: str
    is_over: Callable[[], bool]


class PlanStep(msgspec.Struct, frozen=True):
    """Queue a call that executes this one step."""

    step: StepRef


class SleepStep(msgspec.Struct, frozen=True):
    """Finish the step at a moment."""

    step: StepRef
    until: float


class WaitStep(msgspec.Struct, frozen=True):
    """Finish the step with the first matching event, or with null when the time is over.

    `since` is the last event stored before the call, where that is not the `event_mark` of the work.
    """

    step: StepRef
    event_name: str
    expression: str | None
    expires_at: float
    since: int | None = None


class WaitSignalStep(msgspec.Struct, frozen=True):
    """Finish the step with a signal, or with null when the time is over.

    `replace`: take the place of another step that waits for the same signal; otherwise the run fails.
    """

    step: StepRef
    signal: str
    replace: bool
    expires_at: float


class InvokeStep(msgspec.Struct, frozen=True):
    """Start another function and finish the step with its result.

    `payload` holds `data`, `user`, `v`, `ts` and `meta` as the app gave them.
    """

    step: StepRef
    function: str
    payload: dict[str, object]
    expires_at: float


class GatewayStep(msgspec.Struct, frozen=True):
    """Queue an HTTP request that the executor itself makes; `request` is its canonical JSON.

    `kind` is GATEWAY or AI_GATEWAY.
    """

    step: StepRef
    request: bytes
    kind: str = GATEWAY


class AddDefer(msgspec.Struct, frozen=True):
    """Start another function when the run has ended. `problem` says why that cannot be; it is noted then."""

    hash: str
    name: str
    slug: str
    input: bytes
    problem: str | None = None


class AbortDefer(msgspec.Struct, frozen=True):
    """Take a defer back."""

    hash: str


class NoteMetadata(msgspec.Struct, frozen=True):
    """Note what a step says about itself; `raws` is the list as the app sent it."""

    hash: str
    raws: bytes


class SetPending(msgspec.Struct, frozen=True):
    """Remember the steps of a parallel group: one discovery call is made when all have finished."""

    hashes: tuple[str, ...]


class Discover(msgspec.Struct, frozen=True):
    """Call the function without a target, after `delay` seconds. `key` makes the queue item unique."""

    key: str
    delay: float = 0.0


class UpdateRun(msgspec.Struct, frozen=True):
    """Note what the answer says about the run."""

    request_version: int | None = None
    force_plan: bool | None = None


class EndRun(msgspec.Struct, frozen=True):
    """End the run. `output` is canonical JSON; `failure` is set where it failed."""

    status: str
    output: bytes
    failure: Failure | None = None


Decision = (
    FinishStep
    | FailAttempt
    | RetryItem
    | ParkItem
    | PlanStep
    | SleepStep
    | WaitStep
    | WaitSignalStep
    | InvokeStep
    | GatewayStep
    | AddDefer
    | AbortDefer
    | NoteMetadata
    | SetPending
    | Discover
    | UpdateRun
    | EndRun
)

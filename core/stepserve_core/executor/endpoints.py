"""Durable endpoints: runs that an app has begun itself, while it answers a request (executor.md 8.1 and 8.2)."""

from __future__ import annotations

import msgspec

from stepserve_core.executor import ids
from stepserve_core.executor.answers import Answer, Op, read_ops
from stepserve_core.executor.apply import apply
from stepserve_core.executor.checkpoints import CheckpointRefusedError
from stepserve_core.executor.decisions import Span, StepRef, Work
from stepserve_core.executor.endpoint_requests import EVENT, EndpointRequest
from stepserve_core.executor.events import make_event
from stepserve_core.executor.executor import Executor
from stepserve_core.executor.fragments import NULL
from stepserve_core.executor.function_config import ENDPOINT, FunctionConfig, Retries, Runtime, StepConfig
from stepserve_core.executor.leases import LEASE
from stepserve_core.executor.nesting import TOO_DEEP, is_too_deep
from stepserve_core.executor.plan import RetryPolicy, finish_of, plan
from stepserve_core.executor.progress import finish_step, timing_of
from stepserve_core.executor.scope import Scope
from stepserve_core.executor.store.apps import Function
from stepserve_core.executor.store.queue import QueueItem
from stepserve_core.executor.store.runs import NewRun

TAKEOVER = 60.0
"""Seconds after its last checkpoint when a run that nobody has ended is taken over, and its request made again."""

RETRY_DELAY = 5.0
"""Seconds before a step is tried again that failed while the app answered its client."""

_FINISHED = frozenset({"StepRun", "Step"})
_ENDS = frozenset({"RunComplete", "SyncRunComplete"})


class Event(msgspec.Struct):
    """The event of a run; only its data matters."""

    data: EndpointRequest
    name: str = EVENT


class NewEndpointRun(msgspec.Struct):
    """What an app sends to begin a run. `retries` left out means none."""

    run_id: str
    event: Event
    steps: msgspec.Raw = msgspec.Raw(b"null")
    request_version: int = 2
    retries: int = 0


class _RawEvent(msgspec.Struct):
    event: msgspec.Raw


class Opened(msgspec.Struct, frozen=True):
    """A run that was begun, and whose it is."""

    run_id: str
    fn_id: str
    app_id: str


async def open_run(executor: Executor, body: bytes) -> tuple[Opened, bool]:
    """Begin a run that the app is executing; return it, and whether steps came with it. Doing so again changes nothing.

    Raises:
        ValueError: the body is not what begins a run.
        CheckpointRefusedError: there is such a run of another function, or its steps cannot be saved.
    """
    if is_too_deep(bytes(msgspec.json.decode(body, type=_RawEvent).event)):
        raise ValueError(f"the event is {TOO_DEEP}")
    given = msgspec.json.decode(body, type=NewEndpointRun)
    if not ids.is_ulid(given.run_id):
        raise ValueError("run_id must be a ULID")
    function = await _find_function(executor, given)
    opened = Opened(given.run_id, function.id, function.app_id)
    await executor.write(lambda scope: _open(scope, function, given))
    executor.loop.wake()
    has_steps = bytes(given.steps) not in (NULL, b"[]")
    if has_steps:
        await save_steps(executor, given.run_id, given.steps)
    return opened, has_steps


async def _find_function(executor: Executor, given: NewEndpointRun) -> Function:
    request = given.event.data
    app_id = ids.app_id(f"endpoint:{request.domain}")
    known = executor.registry.get(ids.function_id(app_id, request.slug))
    if known is not None and known.config.max_attempts == given.retries + 1:
        return known
    runtime = Runtime(url=request.url.partition("?")[0], type=ENDPOINT)
    steps = {"step": StepConfig(runtime=runtime, retries=Retries(attempts=given.retries))}
    return await executor.add_endpoint(app_id, request.domain, FunctionConfig(request.slug, request.slug, steps))


def _open(scope: Scope, function: Function, given: NewEndpointRun) -> None:
    known = scope.tables.runs.get(given.run_id)
    if known is not None:
        if known.function_id != function.id:
            raise CheckpointRefusedError(409, "Run already exists")
        return
    data = msgspec.structs.asdict(given.event.data)
    event = make_event(EVENT, data, internal_id=ids.derived_id(given.run_id, "request", scope.now), now=scope.now)
    seq = scope.tables.events.add(event)
    run = NewRun(given.run_id, function.id, function.version, seq, scope.now, scope.now)
    scope.tables.runs.add(run)
    scope.tables.runs.start(run.id, scope.now)
    scope.tables.runs.learn(run.id, given.request_version, None)
    item = QueueItem(_takeover(run.id), "discover", run.id, function.id, scope.now + TAKEOVER, run.rank)
    scope.tables.queue.add(item, scope.now)


def _takeover(run_id: str) -> str:
    return ids.job_id(run_id, "discover", "takeover")


async def save_steps(executor: Executor, run_id: str, steps: msgspec.Raw) -> None:
    """Save steps of a run that the app is executing, and go on with it where they ask for that.

    Raises:
        CheckpointRefusedError: 409 where the executor has taken the run over. What the app executes then is lost.
        ValueError: these are no steps.
    """
    ops = [] if bytes(steps) == NULL else read_ops(bytes(steps))
    interval = executor.settings.retry_interval
    policy = RetryPolicy(RETRY_DELAY if interval is None else interval)
    await executor.write(lambda scope: _save(scope, run_id, ops, policy))
    executor.loop.wake()


def _save(scope: Scope, run_id: str, ops: list[Op], policy: RetryPolicy) -> None:
    run = scope.tables.runs.facts(run_id)
    if run is None:
        _refuse_late(scope, run_id, ops)
    if run is None or not ops:
        return
    function = scope.registry.get(run.function_id)
    item_id = _takeover(run_id)
    generation = scope.tables.queue.take(item_id, scope.now + LEASE)
    if generation is None or function is None:
        raise CheckpointRefusedError(409, "stale dispatch: the run was taken over")
    allowed = scope.registry.limits_of(run.function_id)
    if run.step_count + len(ops) > allowed.steps:
        raise CheckpointRefusedError(400, f"the run would have more than {allowed.steps} steps")
    if run.state_size + sum(len(memoryview(op.data)) for op in ops) > allowed.state:
        raise CheckpointRefusedError(413, f"the run's state would be larger than {allowed.state} bytes")
    _finish(scope, run_id, [op for op in ops if op.op in _FINISHED])
    rest = [op for op in ops if op.op not in _FINISHED]
    if not rest:
        scope.tables.queue.put_back(item_id, generation, scope.now + TAKEOVER, 0, scope.now)
        return
    run = scope.tables.runs.facts(run_id) or run
    facts = scope.registry.complete(run, function)
    work = Work(item_id, "discover", run_id, None, 0, generation, scope.now, checkpointed=True)
    decisions = plan(work, facts, Answer(ops=rest, request_version=2), scope.now, policy)
    apply(scope, work, decisions, scope.now)


def _refuse_late(scope: Scope, run_id: str, ops: list[Op]) -> None:
    """Stop an app that goes on with a run that has ended. That a run ends may be said again, as the answer got lost.

    Raises:
        CheckpointRefusedError: 409: the run was cancelled, or was taken over and has ended.
    """
    ended = scope.tables.runs.get(run_id)
    if ended is not None and (ended.status == "Cancelled" or any(op.op not in _ENDS for op in ops)):
        raise CheckpointRefusedError(409, f"the run has ended: {ended.status}")


def _finish(scope: Scope, run_id: str, ops: list[Op]) -> None:
    run = scope.tables.runs.facts(run_id)
    assert run is not None
    for op in ops:
        data = op.canonical_data()
        step = StepRef(op.id, op.label, op.op, op.races, op.detail())
        finish = finish_of(step, data if op.op == "Step" else b'{"data":%s}' % data)
        timing = timing_of(op.span() or Span(scope.now, scope.now), run.rank, scope.now)
        finish_step(scope, run, finish.step, finish.memo, timing, failed=finish.failed, follows=False)

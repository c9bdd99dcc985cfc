"""`def` and `async def` functions under every framework: threads, loops, context variables (design.md section 3)."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Generator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import AbstractContextManager

import pytest

from stepserve import Inngest
from stepserve.testing.contract import functions_async, functions_sync
from stepserve.testing.contract.fixtures import Make
from stepserve.testing.contract.gate import Gate
from stepserve.testing.contract.harness import Harness, Reply
from stepserve.testing.contract.served import App
from stepserve_core import handler
from stepserve_core.testing import Threads

CALLS = 50

MountWithWorkers = Callable[[str], AbstractContextManager[App]]


@contextlib.contextmanager
def _calls_that_wait(app: App, gate: Gate) -> Generator[list[Future[Reply]], None, None]:
    with ThreadPoolExecutor(CALLS) as pool:
        calls = [pool.submit(app.call, "blocks", data={"gate": gate.port}) for _ in range(CALLS)]
        try:
            gate.wait_for(2)  # at the same time
            yield calls
        finally:
            gate.open()


def test_calls_run_at_the_same_time(app: App) -> None:
    with Gate.closed() as gate, _calls_that_wait(app, gate) as calls:
        gate.open()
        replies = [call.result(20) for call in calls]

    assert [reply.json() for reply in replies] == ["let through"] * CALLS


def test_the_loop_is_free_while_functions_block(app: App, harness: Harness) -> None:
    _needs_loop(harness)
    with Gate.closed() as gate, _calls_that_wait(app, gate) as calls:
        inspected = app.request("GET")

        assert inspected.status == 200
        assert not any(call.done() for call in calls)


def test_context_variables_of_the_request_are_visible(app: App, harness: Harness) -> None:
    expected = "set by the framework" if harness.KEEPS_CONTEXT else "nothing"

    assert app.play("context-variable") == [expected] * 2


@pytest.mark.parametrize("colour", ["async def"], indirect=True)
def test_async_functions_share_one_loop(app: App) -> None:
    loops = {app.call("where").json() for _ in range(5)}

    assert len(loops) == 1


@pytest.fixture
def app_with_workers(
    harness: Harness, client: Inngest, make_functions: Make, monkeypatch: pytest.MonkeyPatch
) -> MountWithWorkers:
    """Return what mounts an app with a pool of threads and a setting of INNGEST_THREAD_POOL_MAX_WORKERS."""
    _needs_loop(harness)

    @contextlib.contextmanager
    def mount(workers: str) -> Generator[App, None, None]:
        monkeypatch.setenv("INNGEST_THREAD_POOL_MAX_WORKERS", workers)
        monkeypatch.setattr(handler, "threads", Threads())
        with harness.mount(client, make_functions(client)) as send:
            yield App(send)

    return mount


@pytest.mark.parametrize("colour", ["def"], indirect=True)
def test_one_worker_serves_one_call_at_a_time(app_with_workers: MountWithWorkers) -> None:
    with app_with_workers("1") as app, Gate.closed() as gate, ThreadPoolExecutor(3) as pool:
        calls = [pool.submit(app.call, "blocks", data={"gate": gate.port}) for _ in range(3)]
        for number in (1, 2, 3):
            gate.wait_for(number)
            answered = [app.request("GET").status for _ in range(5)]

            assert (answered, gate.came) == ([200] * 5, number)
            gate.let_one_go()
        assert [call.result(20).json() for call in calls] == ["let through"] * 3


@pytest.mark.parametrize("colour", ["def"], indirect=True)
def test_without_workers_calls_are_served_in_place(app_with_workers: MountWithWorkers) -> None:
    with app_with_workers("0") as app:
        place = app.call("where").json()

    assert place == "on a loop"


def _needs_loop(harness: Harness) -> None:
    if not harness.CALLS_FROM_LOOP:
        pytest.skip(f"{type(harness).__name__} has a thread for each call, and no loop to keep free")


@pytest.mark.parametrize("colour", ["def"], indirect=True)
def test_sync_functions_run_beside_the_loop(app: App) -> None:
    assert app.call("where").json() == "in a thread without a loop"


def test_both_colours_are_served_side_by_side(harness: Harness, client: Inngest) -> None:
    sync = [function for function in functions_sync.make(client) if function.local_id in ("two-steps", "parallel")]
    gathered = [function for function in functions_async.make(client) if function.local_id == "gathered"]
    with harness.mount(client, [*sync, *gathered]) as send:
        app = App(send)

        assert app.play("two-steps") == {"first": 1, "second": 11}
        assert app.play("gathered") == ["l", "r", None]
        assert app.play("parallel") == ["l", "r", None]

"""`def` and `async def` functions under every framework: threads, loops, context variables (design.md section 3)."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Generator
from concurrent.futures import Future, ThreadPoolExecutor

import pytest

from stepserve import Inngest
from tests.contract import functions_async, functions_sync
from tests.contract.served import App
from tests.frameworks.harness import Harness, Reply

CALLS = 20


class Gate:
    """Where functions wait to be let go on."""

    def __init__(self, listener: socket.socket) -> None:
        self._listener = listener
        self.port: int = listener.getsockname()[1]
        self._waiting: list[socket.socket] = []
        self._lock = threading.Lock()
        self._is_open = False
        self.several_wait = threading.Event()

    @classmethod
    @contextlib.contextmanager
    def closed(cls) -> Generator[Gate, None, None]:
        """Give a gate through which nobody comes yet."""
        with socket.create_server(("127.0.0.1", 0), backlog=CALLS) as listener:
            gate = cls(listener)
            thread = threading.Thread(target=gate._admit, daemon=True)
            thread.start()
            yield gate
            gate.open()
            # Shutting down wakes the thread that accepts.
            listener.shutdown(socket.SHUT_RDWR)
            thread.join()

    def _admit(self) -> None:
        while True:
            try:
                waiting, _ = self._listener.accept()
            except OSError:
                return
            with self._lock:
                if self._is_open:
                    _let_go(waiting)
                else:
                    self._waiting.append(waiting)
            if len(self._waiting) >= 2:
                self.several_wait.set()

    def open(self) -> None:
        """Let everybody through from now on."""
        with self._lock:
            self._is_open = True
            for waiting in self._waiting:
                _let_go(waiting)
            self._waiting.clear()


def _let_go(waiting: socket.socket) -> None:
    with waiting:
        waiting.sendall(b"let through")


@contextlib.contextmanager
def _calls_that_wait(app: App, gate: Gate) -> Generator[list[Future[Reply]], None, None]:
    with ThreadPoolExecutor(CALLS) as pool:
        calls = [pool.submit(app.call, "blocks", data={"gate": gate.port}) for _ in range(CALLS)]
        try:
            assert gate.several_wait.wait(20), "calls do not run at the same time"
            yield calls
        finally:
            gate.open()


def test_calls_run_at_the_same_time(app: App) -> None:
    with Gate.closed() as gate, _calls_that_wait(app, gate) as calls:
        gate.open()
        replies = [call.result(20) for call in calls]

    assert [reply.json() for reply in replies] == ["let through"] * CALLS


def test_the_loop_is_free_while_functions_block(app: App, harness: Harness) -> None:
    if not harness.CALLS_FROM_LOOP:
        pytest.skip(f"{type(harness).__name__} has a thread for each call, and no loop to keep free")
    with Gate.closed() as gate, _calls_that_wait(app, gate) as calls:
        inspected = app.request("GET")

        assert inspected.status == 200
        assert not any(call.done() for call in calls)


def test_context_variables_of_the_request_are_visible(app: App) -> None:
    assert app.play("context-variable") == ["set by the framework"] * 2


@pytest.mark.parametrize("colour", ["async def"], indirect=True)
def test_async_functions_share_one_loop(app: App) -> None:
    loops = {app.call("where").json() for _ in range(5)}

    assert len(loops) == 1


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

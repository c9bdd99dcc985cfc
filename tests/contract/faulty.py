"""The contract under faults: calls of functions are lost, doubled, late and damaged on their way to the app.

The suite plays the server itself, so that the faults happen where its requests leave; see `stepserve_core.faults`.
"""

from __future__ import annotations

import contextlib
import functools
import itertools
import time
from collections.abc import Callable, Generator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from stepserve.testing.contract.harness import Body, Harness, Headers, Reply, Sender
from stepserve.testing.contract.served import SIGNATURE, sign
from stepserve_core.faults import Fault, Faults
from tests.regime import REPEATS

_REPEATS = (*REPEATS, "late_answer")
"""Here a late answer is one that the server no longer waits for, so that the call is made again."""

_SENDS = "a step that is executed again sends again, and the recorder is a server that counts"
NOT_UNDER: dict[str, tuple[tuple[str, ...], str]] = {
    "test_a_refused_event_fails_the_step": (_REPEATS, _SENDS),
    "test_a_step_sends_events_and_remembers_their_ids": (_REPEATS, _SENDS),
    "test_every_call_of_a_process_can_send": (_REPEATS, _SENDS),
    "test_one_worker_serves_one_call_at_a_time": (_REPEATS, "counts the calls that wait for one worker"),
}
"""Tests whose facts do not hold: the kinds of faults, and why."""


class FaultySender(Sender):
    """Sends calls of functions as `faults` says; the reply is that of the delivery that counts."""

    def __init__(self, port: int, faults: Faults) -> None:
        super().__init__(port)
        self._faults = faults
        self._calls = itertools.count()
        self._kinds: dict[str, Callable[[Fault, Callable[..., Reply], Any], Reply | None]] = {
            "kill_between_steps": self._lose,
            "drop_answer": self._lose,
            "duplicate_delivery": self._duplicate,
            "late_answer": self._delay,
            "corrupt_body": self._damage,
            "clock_skew": self._skew,
        }

    def __call__(self, method: str, path: str, body: Body = b"", headers: Headers = ()) -> Reply:
        """Send one request, and wait for the reply."""
        send = functools.partial(super().__call__, method, path)
        if method != "POST" or "fnId=" not in path or not isinstance(body, bytes):
            return send(body, headers)
        call = next(self._calls)
        for delivery in itertools.count():
            fault = self._faults.choose(0, call, delivery)
            if fault is None or fault.kind not in self._kinds:  # one call alone has no order
                return send(body, headers)
            reply = self._kinds[fault.kind](fault, send, (method, path, body, headers))
            if reply is not None:
                return reply
        raise AssertionError("a call suffers no more than its faults")

    def _lose(self, _: Fault, send: Callable[..., Reply], request: Any) -> None:
        """Let the app answer, and throw that away."""
        _, _, body, headers = request
        send(body, headers)

    def _duplicate(self, fault: Fault, send: Callable[..., Reply], request: Any) -> Reply:
        """Send twice, at once or one after the other."""
        _, _, body, headers = request
        if fault.draw < 0.5:
            with ThreadPoolExecutor(2) as pool:
                replies = [sent.result() for sent in [pool.submit(send, body, headers) for _ in range(2)]]
        else:
            replies = [send(body, headers), send(body, headers)]
        return replies[int(fault.draw * 4) % 2]

    def _delay(self, _: Fault, __: Callable[..., Reply], request: Any) -> None:
        """Leave before there is an answer: for a server, that is what a late one comes to."""
        with self.begin(*request):
            time.sleep(self._faults.late_seconds)

    def _damage(self, _: Fault, send: Callable[..., Reply], request: Any) -> None:
        """Send half of the body; the app must refuse it, as the server expects."""
        _, _, body, headers = request
        reply = send(body[: len(body) // 2], headers)

        assert not 200 <= reply.status < 300 or b'"status":' in reply.body, reply

    def _skew(self, fault: Fault, send: Callable[..., Reply], request: Any) -> Reply | None:
        """Sign with another clock. Without keys nobody looks at it."""
        _, _, body, headers = request
        age = self._faults.skew_seconds * (1 if fault.draw < 0.5 else -1)
        skewed = [(name, sign(body, age=age) if name == SIGNATURE else value) for name, value in headers]
        reply = send(body, skewed)
        return None if reply.status == 401 else reply


def under_faults(harness: Harness, faults: Faults) -> Harness:
    """Let the calls that go to apps of a harness suffer faults."""
    mount = harness.mount

    @contextlib.contextmanager
    def mount_faulty(*args: Any, **options: Any) -> Generator[Sender, None, None]:
        with mount(*args, **options) as sender:
            yield FaultySender(sender.port, faults)

    harness.mount = mount_faulty  # type: ignore[method-assign]  # of this one object
    return harness

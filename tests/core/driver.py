"""Plays the server honestly: keeps memos and stack, schedules planned steps, retries, coalesces (protocol.md 6.5).

It runs a function to its end over `Handler.handle` or `Handler.ahandle`, one call at a time, in an order that a
`Random` chooses, and refuses what a server could not use: memoised steps that are reported again, ops nobody asked for.
"""

from __future__ import annotations

import json
from random import Random
from typing import Any, NamedTuple

from stepserve_core.handler import Handler
from tests.core.calls import EVENT, Reply, call_body, hashed, post, serve

MAX_CALLS = 2000


class Outcome(NamedTuple):
    """How a run ended."""

    status: int
    output: Any
    calls: int


class _Item(NamedTuple):
    """Something the server has to do: call the function (to execute `target`), or finish what it does itself."""

    target: str
    attempt: int = 0
    finish: dict[str, Any] | None = None


class Server:
    """One server, one run.

    Args:
        entry: `handle` or `ahandle`.
        version: 2 makes one discovery call when a parallel group is done; 1 makes one after each of its steps.
        answers: display name to the memo of a step that the server fulfils itself; None if it is not listed.
        retries: how often a failed call or step is tried again.
    """

    def __init__(
        self,
        handler: Handler,
        *,
        entry: str,
        random: Random | None = None,
        version: int = 2,
        answers: dict[str, Any] | None = None,
        retries: int = 0,
        event: Any = EVENT,
    ) -> None:
        self._handler = handler
        self._entry = entry
        self._random = random or Random(0)
        self._version = version
        self._answers = answers or {}
        self._max_attempts = retries + 1
        self._event = event
        self._queue: list[_Item] = []
        self._pending: set[str] = set()
        self._races: set[str] = set()
        self.memos: dict[str, Any] = {}
        self.stack: list[str] = []
        self.replies: list[Reply] = []

    def run(self, function_id: str = "app-f") -> Outcome:
        """Run the function to its end."""
        self._queue = [_Item("step")]
        while self._queue:
            item = self._queue.pop(self._random.randrange(len(self._queue)))
            outcome = self._work(function_id, item)
            if outcome is not None:
                return outcome
            assert len(self.replies) < MAX_CALLS, "the run does not come to its end"
        raise AssertionError(f"the run hangs with {self._pending} pending")

    def _work(self, function_id: str, item: _Item) -> Outcome | None:
        if item.finish is not None:
            self._memoise(item.finish["id"], self._answers.get(item.finish["displayName"]))
            return None
        reply = self._call(function_id, item)
        if reply.status == 206:
            self._take(item, reply)
            return None
        if reply.status == 200:
            assert item.target == "step", "the function ended although a step was targeted"
            return Outcome(200, reply.json, len(self.replies))
        if reply.headers.get("x-inngest-no-retry") == "true" or item.attempt + 1 >= self._max_attempts:
            return Outcome(reply.status, reply.json, len(self.replies))
        self._queue.append(item._replace(attempt=item.attempt + 1))
        return None

    def _call(self, function_id: str, item: _Item) -> Reply:
        body = call_body(
            steps=self.memos,
            stack=self.stack,
            attempt=item.attempt,
            max_attempts=self._max_attempts,
            plan_only=bool(self._pending),
            event=self._event,
        )
        request = post(function_id, json.dumps(body).encode(), target=item.target)
        reply = serve(self._handler, request, entry=self._entry)
        self.replies.append(reply)
        return reply

    def _take(self, item: _Item, reply: Reply) -> None:
        ops = reply.json
        assert ops, "an empty answer makes the server call again at once, for ever"
        assert len(ops) == len({op["id"] for op in ops}), "a step was reported twice"
        for op in ops:
            assert op["id"] not in self.memos, f"the memoised step {op['displayName']} was reported again"
            index = op["userland"]["index"]
            assert hashed(op["displayName"] + (f":{index}" if index else "")) == op["id"]
        if item.target != "step":
            assert [item.target] == [op["id"] for op in ops], "something else than the target was reported"
        for op in ops:
            self._take_op(item, op, reply)
        if len(ops) == 1 and not self._pending and not self._queue:
            self._queue.append(_Item("step"))

    def _take_op(self, item: _Item, op: dict[str, Any], reply: Reply) -> None:
        kind = op["op"]
        if kind == "StepRun":
            self._memoise(op["id"], {"data": op["data"]})
        elif kind in ("StepError", "StepFailed"):
            final = kind == "StepFailed" or reply.headers.get("x-inngest-no-retry") == "true"
            if final or item.attempt + 1 >= self._max_attempts:
                self._memoise(op["id"], {"error": {key: op["error"][key] for key in ("name", "message", "stack")}})
            else:
                self._queue.append(item._replace(attempt=item.attempt + 1))
        elif op["id"] not in self._pending:
            self._pending.add(op["id"])
            if (op["opts"] or {}).get("parallelMode") == "race":
                self._races.add(op["id"])
            planned = kind == "StepPlanned"
            self._queue.append(_Item(op["id"]) if planned else _Item("", finish=op))

    def _memoise(self, step: str, memo: Any) -> None:
        assert step not in self.memos
        self.memos[step] = memo
        self.stack.append(step)
        was_pending = step in self._pending
        self._pending.discard(step)
        discovery = any(entry.target == "step" for entry in self._queue)
        eager = self._version < 2 or step in self._races
        if was_pending and not discovery and (eager or not self._pending):
            self._queue.append(_Item("step"))

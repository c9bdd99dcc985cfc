"""A client that listens to a durable endpoint, as docs/endpoints.md shows one."""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator
from typing import Any

import httpx

from stepserve_core._opcodes import hash_step_id

LISTENS = {"accept": "text/event-stream", "content-type": "text/plain"}
NAMES = {hash_step_id(name): name for name in ("first", "second", "third", "a", "b")}


class Listener:
    """What a client heard: all events, and in `told` the pieces that are final."""

    def __init__(self) -> None:
        self.events: list[tuple[str, Any]] = []
        self.told: list[Any] = []
        self._pending: dict[str | None, list[Any]] = {}
        self.run_id = ""
        self.response: dict[str, Any] | None = None
        self.redirects = 0
        self.url = ""

    async def listen(self, http: httpx.AsyncClient, method: str, url: str, body: str | None = None) -> None:
        """Ask, and follow to wherever it goes on."""
        while True:
            async with http.stream(method, url, content=body, headers=LISTENS) as answer:
                assert (200, "text/event-stream") == (
                    answer.status_code,
                    answer.headers["content-type"].partition(";")[0],
                )
                async for name, data in events_of(answer):
                    self.hear(name, data)
            if self.response is not None:
                return
            assert self.url != url, "the stream broke off"
            method, url, body = "GET", self.url, None

    def hear(self, name: str, data: Any) -> None:
        """Take an event."""
        if "hashedStepId" in data and data["hashedStepId"] is not None:
            data["hashedStepId"] = NAMES[data["hashedStepId"]]
        self.events.append((name, data))
        step = data.get("hashedStepId")
        if name == "inngest.metadata":
            self.run_id = data["runId"]
        elif name == "inngest.stream":
            self._pending.setdefault(step, []).append(data["data"])
        elif name == "inngest.commit":
            self.told += self._pending.pop(step, [])
        elif name == "inngest.rollback":
            self._pending.pop(step, None)
        elif name == "inngest.response":
            self.response = data
        elif name == "inngest.redirect_info":
            self.redirects += 1
            self.url = data["url"]

    @property
    def answer(self) -> tuple[str, int, str]:
        """Status of the run, status of the answer, and body."""
        assert self.response is not None
        response = self.response["response"]
        return self.response["status"], response["statusCode"], response["body"]


async def events_of(answer: httpx.Response) -> AsyncGenerator[tuple[str, Any], None]:
    """Yield the server-sent events of an answer."""
    name = ""
    async for line in answer.aiter_lines():
        if line.startswith("event: "):
            name = line[7:]
        elif line.startswith("data: "):
            yield name, json.loads(line[6:])

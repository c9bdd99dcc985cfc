"""Runs the app of the crash test, and notices when something that has its memo is done again, or a memo is lost."""

from __future__ import annotations

import functools
import json
from collections.abc import Callable, Generator
from typing import Any

import httpx

from stepserve_core._protocol import Response
from tests.asgi_body import read_body
from tests.executor.crash_app import FUNCTIONS, SAVED
from tests.executor.raw_app import Call, RawApp, Step, hash_id, replay, reply, run

Op = dict[str, Any]


class Witness(RawApp):
    """The app. It answers requests of gateway steps too, at `/upstream`.

    `http` is for what functions ask of the server during their calls.
    """

    def __init__(self, http: httpx.AsyncClient) -> None:
        super().__init__(list(FUNCTIONS))
        self._http = http
        self.memoised: dict[str, set[str]] = {}
        """By run, the steps whose memos must be in every call from now on."""
        self.violations: list[tuple[str, str]] = []
        for fn in self.functions:
            self.replies[fn.id] = self._watch(functools.partial(replay, fn.script))
        self.replies["deferring"] = self._watch(lambda call: with_defers(call, self._script("deferring")))
        self.replies["fetching"] = self._watch(lambda call: replay(self._fetch, call))
        self.replies["saving"] = self._save

    def _script(self, name: str) -> Any:
        return next(fn.script for fn in self.functions if fn.id == name)

    def _watch(self, answer: Callable[[Call], Response]) -> Callable[[Call], Response]:
        def watched(call: Call) -> Response:
            self._look_at(call)
            return answer(call)

        return watched

    def _look_at(self, call: Call) -> set[str]:
        self.calls.clear()  # of hundreds of kills these would be too many to keep
        known = self.memoised.setdefault(call.body["ctx"]["run_id"], set())
        known.update(call.memos)
        lost = known - set(call.memos)
        self.violations += [(call.function, step) for step in lost]
        if call.target in known:
            self.violations.append((call.function, f"{call.target} again"))
        return known

    def _fetch(self, call: Call) -> Generator[Any, Any, Any]:
        """Let the server make a request, and ask a model."""
        origin, run_id = self.url.partition("/api/")[0], call.body["ctx"]["run_id"]
        asked = {"n": call.event["data"]["n"], "run": run_id, "step": hash_id("page")}
        page = yield Step("Gateway", "page", opts={"url": f"{origin}/upstream", "body": json.dumps(asked)})
        asked["step"] = hash_id("model")
        opts = {"url": f"{origin}/upstream", "body": asked, "format": "openai-chat", "auth_key": "k", "headers": {}}
        model = yield Step("AIGateway", "model", opts=opts)
        return [json.loads(page["body"])["n"], model["n"]]

    async def _save(self, call: Call) -> Response:
        """Save steps one by one while the call is under way, as SDKs with checkpointing do."""
        known = self._look_at(call)
        outputs = []
        for number in range(SAVED):
            step = run(f"s{number}", call.event["data"]["n"] + number)
            if step.hash not in call.memos:
                data = step.action() if step.action is not None else None
                op = {"op": "StepRun", "id": step.hash, "name": step.id, "displayName": step.id, "data": data}
                if not await self._checkpoint(call, op):
                    return reply(206, [op])
                known.add(step.hash)
            outputs.append(call.event["data"]["n"] + number)
        return reply(200, outputs)

    async def _checkpoint(self, call: Call, op: Op) -> bool:
        """Say whether the server saved a step; it may be dead, or have given up this call."""
        context = call.body["ctx"]
        names = ("fn_id", "run_id", "qi_id", "request_id", "generation_id")
        body = {**{name: context[name] for name in names}, "steps": [op], "ts": 0}
        try:
            answer = await self._http.post(f"/v1/checkpoint/{context['run_id']}/async", json=body)
        except httpx.HTTPError:
            return False
        return answer.status_code == 200

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Speak ASGI."""
        if scope["path"] != "/upstream":
            await super().__call__(scope, receive, send)
            return
        asked = json.loads(await read_body(receive))
        if asked["step"] in self.memoised[asked["run"]]:
            self.violations.append(("/upstream", asked["step"]))
        headers = [(b"content-type", b"application/json")]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": json.dumps({"n": asked["n"] + 1}).encode()})


def with_defers(call: Call, script: Any) -> Response:
    """Defer two functions with the first answer, and take one of them back with the second."""
    answer = replay(script, call)
    if hash_id("second") in call.memos:
        return answer
    data = {"n": call.event["data"]["n"]}
    ops = [defer("kept", data), defer("dropped", data)]
    if hash_id("first") in call.memos:
        opts = {"target_hashed_id": hash_id("dropped"), "fn_slug": "app-deferred"}
        ops = [{"op": "DeferAbort", "id": hash_id("abort"), "opts": opts}]
    return reply(206, [*ops, *json.loads(answer.body)])


def defer(name: str, data: Any) -> Op:
    """A defer of `deferred`."""
    return {
        "op": "DeferAdd",
        "id": hash_id(name),
        "displayName": name,
        "opts": {"fn_slug": "app-deferred", "input": data},
    }

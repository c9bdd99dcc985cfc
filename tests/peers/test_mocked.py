"""`mocked.trigger` beside the official one: what it promises although it runs on an executor.

An executor alone gives runs ids of their own, starts them for their triggers and within their limits, and has their
results and errors as JSON.
"""

from __future__ import annotations

import datetime
import importlib
import logging
from collections.abc import Callable
from typing import Any

import pytest

QUIET = logging.getLogger("tests.peers.mocked")
QUIET.setLevel(logging.CRITICAL + 1)
QUIET.propagate = False

OUTPUTS: dict[str, tuple[dict[str, Any], Callable[[Any], Any], Any]] = {
    # options of the function, the function, what comes of it
    "the run has no id of its own": ({}, lambda ctx: (ctx.run_id, ctx.event.id, ctx.attempt), ("test", "", 0)),
    "what the function returns is what one gets": ({}, lambda ctx: (1, (2, [3])), (1, (2, [3]))),
    "the event need not be a trigger": (
        {"event": "shop/other", "if": "event.data.n > 5"},
        lambda ctx: ctx.event.name,
        "x",
    ),
    "nor need there be one": ({"cron": "0 0 * * *"}, lambda ctx: ctx.event.name, "x"),
    "idempotency stops nothing": ({"idempotency": "event.data.n"}, lambda ctx: 1, 1),
    "sleeps may be longer than a server takes": (
        {},
        lambda ctx: ctx.step.sleep("s", datetime.timedelta(days=400)) or "slept",
        "slept",
    ),
    "an event that is sent starts nothing": ({}, lambda ctx: len(ctx.step.send_event("s", ctx.event)) > 0, True),
}


def trigger(package: str, options: dict[str, Any], body: Callable[[Any], Any]) -> Any:
    """Define a function with a package and run it twice, as two tests would; return the second result."""
    sdk, mocked = importlib.import_module(package), importlib.import_module(f"{package}.experimental.mocked")
    client = mocked.Inngest(app_id="shop", is_production=False, logger=QUIET)
    given = dict(options)
    if "cron" in given:
        chosen = sdk.TriggerCron(cron=given.pop("cron"))
    else:
        chosen = sdk.TriggerEvent(event=given.pop("event", "x"), expression=given.pop("if", None))
    function = client.create_function(fn_id="f", trigger=chosen, **given)(body)
    event = sdk.Event(name="x", data={"n": 1})
    mocked.trigger(function, event, client)
    return mocked.trigger(function, event, client)


@pytest.mark.parametrize("package", ["inngest", "stepserve"])
@pytest.mark.parametrize("what", OUTPUTS)
def test_what_mocked_promises(what: str, package: str) -> None:
    options, body, expected = OUTPUTS[what]
    result = trigger(package, options, body)

    assert ("COMPLETED", expected) == (result.status.name, result.output)


@pytest.mark.parametrize("package", ["inngest", "stepserve"])
def test_the_error_is_the_exception_itself_and_no_handler_of_failures_runs(package: str) -> None:
    error, handled = ValueError("no"), list[object]()

    def fail(_: Any) -> None:
        raise error

    result = trigger(package, {"retries": 0, "on_failure": handled.append}, fail)

    assert ("FAILED", True, []) == (result.status.name, result.error is error, handled)

"""Function options: their wire form, and their checks when the function is defined (protocol.md 4.6)."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from datetime import timedelta
from typing import Any, get_type_hints

import pytest

import stepserve_core as core
from stepserve_core import errors
from tests.core.calls import TRIGGER, dev_client

URL = "https://example.com/api/inngest"

loosely: Any = core
"""The same names without their types, for arguments that only bad programs pass."""


def define(**options: Any) -> core.Function[Any]:
    """Define a function `f` with options."""
    arguments: dict[str, Any] = {"fn_id": "f", "trigger": TRIGGER, **options}
    return dev_client().create_function(**arguments)(lambda ctx: None)


def config(**options: Any) -> dict[str, Any]:
    """Return what is registered for a function with options."""
    return define(**options).get_config(URL).main


def test_a_plain_function_is_registered_with_nothing_but_what_is_needed() -> None:
    assert {
        "id": "app-f",
        "name": "f",
        "triggers": [{"event": "shop/order"}],
        "steps": {
            "step": {
                "id": "step",
                "name": "step",
                "runtime": {"type": "http", "url": f"{URL}?fnId=app-f&stepId=step"},
            }
        },
    } == config()


@pytest.mark.parametrize(
    ("options", "key", "expected"),
    [
        ({"name": "My function"}, "name", "My function"),
        ({"batch_events": core.Batch(max_size=10)}, "batchEvents", {"maxSize": 10}),
        (
            {"batch_events": core.Batch(max_size=10, timeout=60_000, key="event.data.k", if_exp="true")},
            "batchEvents",
            {"maxSize": 10, "timeout": "60s", "key": "event.data.k", "if": "true"},
        ),
        (
            {"batch_events": core.Batch(max_size=2, timeout=timedelta(days=1))},
            "batchEvents",
            {"maxSize": 2, "timeout": "86400s"},
        ),
        ({"cancel": [core.Cancel(event="stop")]}, "cancel", [{"event": "stop"}]),
        (
            {
                "cancel": [
                    core.Cancel(event="stop", if_exp="async.data.a == event.data.a", timeout="1h"),
                    core.Cancel(event="x"),
                ]
            },
            "cancel",
            [{"event": "stop", "if": "async.data.a == event.data.a", "timeout": "1h"}, {"event": "x"}],
        ),
        ({"concurrency": [core.Concurrency(limit=5)]}, "concurrency", [{"limit": 5}]),
        (
            {"concurrency": [core.Concurrency(limit=1, key="event.data.k", scope="account")]},
            "concurrency",
            [{"limit": 1, "key": "event.data.k", "scope": "account"}],
        ),
        ({"debounce": core.Debounce(period=1000)}, "debounce", {"period": "1s"}),
        (
            {"debounce": core.Debounce(period="7d", key="event.data.k", timeout=timedelta(hours=25))},
            "debounce",
            {"period": "1w", "key": "event.data.k", "timeout": "25h"},
        ),
        ({"idempotency": "event.data.id"}, "idempotency", "event.data.id"),
        ({"priority": core.Priority(run="event.data.p")}, "priority", {"run": "event.data.p"}),
        ({"rate_limit": core.RateLimit(limit=1, period="24h")}, "rateLimit", {"limit": 1, "period": "1d"}),
        (
            {"rate_limit": core.RateLimit(limit=3, period=60_000, key="event.data.k")},
            "rateLimit",
            {"limit": 3, "period": "1m", "key": "event.data.k"},
        ),
        ({"singleton": core.Singleton(mode="skip")}, "singleton", {"mode": "skip"}),
        (
            {"singleton": core.Singleton(mode="cancel", key="event.data.k")},
            "singleton",
            {"mode": "cancel", "key": "event.data.k"},
        ),
        ({"throttle": core.Throttle(limit=1, period=1000)}, "throttle", {"limit": 1, "period": "1s", "burst": 1}),
        (
            {"throttle": core.Throttle(limit=2, period="90s", key="event.data.k", burst=5)},
            "throttle",
            {"limit": 2, "period": "90s", "key": "event.data.k", "burst": 5},
        ),
        ({"timeouts": core.Timeouts(start=1000)}, "timeouts", {"start": "1s"}),
        ({"timeouts": core.Timeouts(start="1m", finish="2h")}, "timeouts", {"start": "1m", "finish": "2h"}),
        ({"trigger": core.TriggerCron(cron="*/5 * * * *")}, "triggers", [{"cron": "*/5 * * * *"}]),
        (
            {"trigger": core.TriggerCron(cron="TZ=Europe/Berlin 0 9 * * MON-FRI", jitter="30s")},
            "triggers",
            [{"cron": "TZ=Europe/Berlin 0 9 * * MON-FRI", "jitter": "30s"}],
        ),
        ({"trigger": core.TriggerCron(cron="@daily")}, "triggers", [{"cron": "@daily"}]),
        (
            {
                "trigger": [
                    core.TriggerEvent(event="a", expression="event.data.x > 1"),
                    core.TriggerCron(cron="0 0 1 1 ?"),
                ]
            },
            "triggers",
            [{"event": "a", "expression": "event.data.x > 1"}, {"cron": "0 0 1 1 ?"}],
        ),
    ],
)
def test_the_wire_form_of_an_option(options: dict[str, Any], key: str, expected: object) -> None:
    assert expected == config(**options)[key]


@pytest.mark.parametrize(("retries", "expected"), [(0, {"attempts": 0}), (20, {"attempts": 20})])
def test_the_wire_form_of_retries(retries: int, expected: dict[str, int]) -> None:
    assert expected == config(retries=retries)["steps"]["step"]["retries"]


def test_a_function_id_is_quoted_in_its_url() -> None:
    registered = config(fn_id="a b/ü&x=1")

    assert f"{URL}?fnId=app-a%20b%2F%C3%BC%26x%3D1&stepId=step" == registered["steps"]["step"]["runtime"]["url"]


def test_the_failure_handler_is_registered_as_a_function_of_its_own() -> None:
    function = define(name="Pay", retries=3, on_failure=lambda ctx: None, cancel=[core.Cancel(event="x")])

    assert {
        "id": "app-f-failure",
        "name": "Pay (failure)",
        "triggers": [{"event": "inngest/function.failed", "expression": "event.data.function_id == 'app-f'"}],
        "steps": {
            "step": {
                "id": "step",
                "name": "step",
                "retries": {"attempts": 0},
                "runtime": {"type": "http", "url": f"{URL}?fnId=app-f-failure&stepId=step"},
            }
        },
        "cancel": [],
        "concurrency": [],
    } == function.get_config(URL).on_failure


def test_there_is_no_failure_handler_unless_one_is_given() -> None:
    function = define()

    assert (None, None, None) == (
        function.get_config(URL).on_failure,
        function.on_failure_fn_id,
        function.is_on_failure_handler_async,
    )


def test_what_a_function_says_of_itself() -> None:
    function = define(name="Pay", on_failure=lambda ctx: None)

    assert ("app-f", "app-f", "f", "Pay", "app-f-failure", False, False) == (
        function.id,
        function.get_id(),
        function.local_id,
        function.name,
        function.on_failure_fn_id,
        function.is_handler_async,
        function.is_on_failure_handler_async,
    )


LONG = "x" * 256


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ({"fn_id": ""}, "fn_id"),
        ({"fn_id": "  "}, "fn_id"),
        ({"fn_id": None}, "fn_id"),
        ({"fn_id": 5}, "fn_id"),
        ({"trigger": []}, "trigger: there must be at least one"),
        ({"trigger": None}, "trigger: must be"),
        ({"trigger": "shop/order"}, "trigger: must be"),
        ({"trigger": [loosely.TriggerEvent(event=f"e{n}") for n in range(11)]}, "trigger: at most 10, not 11"),
        ({"trigger": [TRIGGER, TRIGGER]}, "trigger: two are the same"),
        ({"trigger": loosely.TriggerEvent(event="")}, "trigger.event must not be empty"),
        ({"trigger": loosely.TriggerEvent(event=LONG)}, "trigger.event must be at most 255"),
        ({"trigger": loosely.TriggerEvent(event="a", expression=" ")}, "trigger.expression must not be empty"),
        ({"trigger": loosely.TriggerCron(cron="")}, "trigger.cron must not be empty"),
        ({"trigger": loosely.TriggerCron(cron="* * * *")}, "trigger.cron must have five fields"),
        ({"trigger": loosely.TriggerCron(cron="* * * * * *")}, "trigger.cron must have five fields"),
        ({"trigger": loosely.TriggerCron(cron="@sometimes")}, "trigger.cron must"),
        ({"trigger": loosely.TriggerCron(cron="TZ=Europe/Nowhere 0 9 * * *")}, "trigger.cron must name a time zone"),
        ({"trigger": loosely.TriggerCron(cron="CRON_TZ= 0 9 * * *")}, "trigger.cron must name a time zone"),
        ({"trigger": loosely.TriggerCron(cron="a;b * * * *")}, "trigger.cron must have five fields"),
        ({"trigger": loosely.TriggerCron(cron="* * * * *", jitter="6m")}, "trigger.jitter must be at most 5m"),
        ({"trigger": loosely.TriggerCron(cron="* * * * *", jitter="x")}, "trigger.jitter 'x' is not a duration"),
        ({"batch_events": loosely.Batch(max_size=1)}, "batch_events.max_size must be at least 2"),
        (
            {"batch_events": loosely.Batch(max_size=2, timeout=999)},
            "batch_events.timeout duration must be at least 1 second",
        ),
        ({"batch_events": loosely.Batch(max_size=2, if_exp="")}, "batch_events.if_exp must not be empty"),
        ({"batch_events": [loosely.Batch(max_size=2)]}, "batch_events: must be Batch"),
        ({"batch_events": {"max_size": 2}}, "batch_events: must be Batch"),
        ({"batch_events": loosely.Batch(max_size=2), "cancel": [loosely.Cancel(event="x")]}, "combined with cancel"),
        (
            {"batch_events": loosely.Batch(max_size=2), "debounce": loosely.Debounce(period=1000)},
            "with debounce",
        ),
        (
            {"batch_events": loosely.Batch(max_size=2), "singleton": loosely.Singleton(mode="skip")},
            "with singleton",
        ),
        ({"batch_events": loosely.Batch(max_size=2), "priority": loosely.Priority(run="1")}, "combined with priority"),
        ({"cancel": loosely.Cancel(event="x")}, "cancel: must be a list"),
        ({"cancel": [loosely.Cancel(event=f"e{n}") for n in range(6)]}, "cancel: at most 5"),
        ({"cancel": [loosely.Cancel(event="")]}, "cancel.event must not be empty"),
        ({"cancel": [loosely.Cancel(event="x", timeout=0)]}, "cancel.timeout duration"),
        ({"cancel": ["x"]}, "cancel: must be Cancel"),
        ({"cancel": [None]}, "cancel: must be Cancel"),
        ({"concurrency": loosely.Concurrency(limit=1)}, "concurrency: must be a list"),
        ({"concurrency": [loosely.Concurrency(limit=1)] * 3}, "concurrency: at most 2"),
        ({"concurrency": [loosely.Concurrency(limit=-1)]}, "concurrency.limit must be at least 0"),
        ({"concurrency": [loosely.Concurrency(limit=1, scope="env")]}, "concurrency.key is needed"),
        ({"debounce": loosely.Debounce(period=999)}, "debounce.period duration must be at least 1 second"),
        ({"debounce": loosely.Debounce(period="8d")}, "debounce.period must be at most 1w"),
        ({"debounce": loosely.Debounce(period=1500)}, "debounce.period duration must be a whole number of seconds"),
        ({"debounce": loosely.Debounce(period=1000, timeout=1)}, "debounce.timeout duration"),
        ({"idempotency": ""}, "idempotency: must be an expression"),
        ({"idempotency": 5}, "idempotency: must be an expression"),
        ({"priority": loosely.Priority(run="")}, "priority.run must not be empty"),
        ({"rate_limit": loosely.RateLimit(limit=0, period=1000)}, "rate_limit.limit must be at least 1"),
        ({"rate_limit": loosely.RateLimit(limit=1, period="25h")}, "rate_limit.period must be at most 1d"),
        ({"rate_limit": loosely.Throttle(limit=1, period=1000)}, "rate_limit: must be RateLimit"),
        ({"singleton": loosely.Singleton(mode="skip", key="")}, "singleton.key must not be empty"),
        ({"throttle": loosely.Throttle(limit=0, period=1000)}, "throttle.limit must be at least 1"),
        ({"throttle": loosely.Throttle(limit=1, period=1)}, "throttle.period duration"),
        ({"throttle": loosely.Throttle(limit=1, period=1000, burst=-1)}, "throttle.burst must be at least 0"),
        ({"timeouts": loosely.Timeouts(start=1)}, "timeouts.start duration"),
        ({"timeouts": loosely.Timeouts(finish=1500)}, "timeouts.finish duration"),
        ({"retries": -1}, "retries: must be a whole number from 0 to 20, not -1"),
        ({"retries": 21}, "retries: must be"),
        ({"retries": True}, "retries: must be"),
        ({"retries": "3"}, "retries: must be"),
    ],
)
def test_an_option_that_the_server_would_refuse_is_named_when_the_function_is_defined(
    options: dict[str, Any], named: str
) -> None:
    with pytest.raises(errors.FunctionConfigInvalidError) as caught:
        define(**options)

    assert named in str(caught.value)
    assert "fn_id" in options or "function 'f'" in str(caught.value)


INTEGER, TEXT = "Input should be a valid integer", "Input should be a valid string"


@pytest.mark.parametrize(
    ("option", "values", "complaint"),
    [
        ("TriggerEvent", {"event": 5}, f"event: {TEXT}"),
        ("TriggerEvent", {"event": "a", "expression": 5}, f"expression: {TEXT}"),
        ("Batch", {"max_size": "2"}, f"max_size: {INTEGER}"),
        ("Batch", {"max_size": 2, "key": 1}, f"key: {TEXT}"),
        ("Batch", {"max_size": 2, "timeout": 1.5}, f"timeout: {INTEGER}"),
        ("Cancel", {"event": "x", "if_exp": 1}, f"if_exp: {TEXT}"),
        ("Concurrency", {"limit": True}, f"limit: {INTEGER}"),
        ("Concurrency", {"limit": 1, "scope": "world"}, "scope: Input should be 'account', 'env' or 'fn'"),
        ("Debounce", {"period": None}, f"period: {INTEGER}"),
        ("Debounce", {"period": 1000, "key": b"x"}, f"key: {TEXT}"),
        ("Priority", {"run": 10}, f"run: {TEXT}"),
        ("RateLimit", {"limit": 1.5, "period": 1000}, f"limit: {INTEGER}"),
        ("Singleton", {"mode": "queue"}, "mode: Input should be 'skip' or 'cancel'"),
        ("Timeouts", {"start": "500ms"}, "start: duration must be at least 1 second"),
    ],
)
def test_a_value_of_a_wrong_type_is_refused_when_the_option_is_made(
    option: str, values: dict[str, Any], complaint: str
) -> None:
    with pytest.raises(errors.FunctionConfigInvalidError) as caught:
        getattr(loosely, option)(**values)

    assert complaint == str(caught.value)


@pytest.mark.parametrize(
    ("option", "expected"),
    [
        (core.Batch(max_size=2, timeout=61_000, if_exp="x"), {"maxSize": 2, "timeout": "61s", "key": None, "if": "x"}),
        (core.Cancel(event="x", timeout="1h"), {"event": "x", "if": None, "timeout": "1h"}),
        (core.TriggerEvent(event="x"), {"event": "x", "expression": None}),
    ],
)
def test_an_option_is_a_dict_as_the_wire_has_it(option: Any, expected: dict[str, object]) -> None:
    assert expected == option.to_dict()


def test_an_option_without_wire_form_gives_the_error_instead_of_a_dict() -> None:
    error = core.Batch(max_size=2, timeout=1).to_dict()

    assert isinstance(error, errors.FunctionConfigInvalidError)
    assert "duration must be at least 1 second" == str(error)


@pytest.mark.parametrize("raw", [{"max_size": 2, "unknown": 1}, '{"max_size":2}', b'{"max_size":2,"key":null}'])
def test_an_option_is_read_from_a_mapping_or_json(raw: object) -> None:
    assert core.Batch(max_size=2) == core.Batch.from_raw(raw)


@pytest.mark.parametrize(
    ("raw", "complaint"),
    [
        ({}, "max_size: Field required"),
        ({"max_size": "2"}, f"max_size: {INTEGER}"),
        (5, "Input should be a valid dictionary"),
        ("[]", "Input should be a valid dictionary"),
        ("{", "invalid JSON"),
    ],
)
def test_what_is_no_option_gives_the_error_instead(raw: object, complaint: str) -> None:
    error = core.Batch.from_raw(raw)

    assert isinstance(error, errors.FunctionConfigInvalidError)
    assert complaint in str(error)


def test_all_that_is_wrong_is_said_at_once() -> None:
    with pytest.raises(errors.FunctionConfigInvalidError, match=r"throttle\.limit.*retries"):
        define(retries=-1, throttle=core.Throttle(limit=0, period=1000))


@pytest.mark.parametrize(
    ("make", "missing"),
    [
        (core.Batch, "max_size"),
        (core.Cancel, "event"),
        (core.Concurrency, "limit"),
        (core.Debounce, "period"),
        (core.Priority, "run"),
        (core.RateLimit, "limit"),
        (core.Singleton, "mode"),
        (core.Throttle, "limit"),
        (core.TriggerCron, "cron"),
        (core.TriggerEvent, "event"),
    ],
)
def test_a_required_field_is_missed(make: Callable[[], object], missing: str) -> None:
    with pytest.raises(errors.FunctionConfigInvalidError) as caught:
        make()

    assert f"{missing}: Field required" == str(caught.value)


def test_an_event_needs_a_name() -> None:
    with pytest.raises(errors.EventInvalidError, match="name: Field required"):
        loosely.Event()


@pytest.mark.parametrize("values", [{"max_size": 2, "maxsize": 2}, {"event": "x", "evnt": 1}])
def test_an_argument_that_there_is_not_is_refused(values: dict[str, Any]) -> None:
    with pytest.raises(TypeError, match="Unexpected keyword argument"):
        (loosely.Batch if "max_size" in values else loosely.TriggerEvent)(**values)


def test_a_field_without_its_name_is_refused_as_by_python() -> None:
    with pytest.raises(TypeError, match="positional"):
        loosely.Batch(2)


def test_a_cron_jitter_goes_out_as_text_whatever_it_was_given_as() -> None:
    trigger = loosely.TriggerCron(cron="* * * * *", jitter=timedelta(minutes=1))

    assert "1m" == config(trigger=trigger)["triggers"][0]["jitter"]


async def an_async_handler(ctx: core.Context) -> None:
    """Do nothing."""
    del ctx


def a_sync_handler(ctx: core.ContextSync) -> None:
    """Do nothing."""
    del ctx


class AsyncCallable:
    async def __call__(self, ctx: core.Context) -> None:
        del ctx


class SyncCallable:
    def __call__(self, ctx: core.ContextSync) -> None:
        del ctx


async def with_argument(tag: str, ctx: core.Context) -> None:
    """Do nothing."""
    del tag, ctx


@pytest.mark.parametrize(
    ("handler", "expected"),
    [
        (a_sync_handler, False),
        (an_async_handler, True),
        (AsyncCallable(), True),
        (SyncCallable(), False),
        (functools.partial(with_argument, "x"), True),
        (AsyncCallable().__call__, True),
        (lambda ctx: None, False),
    ],
)
def test_the_colour_of_a_handler(handler: Any, expected: bool) -> None:
    function = dev_client().create_function(fn_id="f", trigger=TRIGGER)(handler)

    assert expected == function.is_handler_async


@pytest.mark.parametrize(
    ("handler", "on_failure", "message"),
    [
        (
            an_async_handler,
            a_sync_handler,
            "an async function cannot have a non-async on_failure handler (function f)",
        ),
        (
            a_sync_handler,
            an_async_handler,
            "a non-async function cannot have an async on_failure handler (function f)",
        ),
    ],
)
def test_a_failure_handler_of_the_other_colour_is_refused(handler: Any, on_failure: Any, message: str) -> None:
    with pytest.raises(errors.Error) as caught:
        dev_client().create_function(fn_id="f", trigger=TRIGGER, on_failure=on_failure)(handler)

    assert message == str(caught.value)


def test_a_handler_of_cancellations_is_registered_as_a_function_of_its_own() -> None:
    function = define(name="Pay", on_cancel=lambda ctx: None)
    config = function.get_config(URL)

    assert config.on_failure is None
    assert config.on_cancel is not None
    trigger = {"event": "inngest/function.cancelled", "expression": "event.data.function_id == 'app-f'"}
    assert ("app-f-cancel", "Pay (cancel)", [trigger]) == (
        config.on_cancel["id"],
        config.on_cancel["name"],
        config.on_cancel["triggers"],
    )


def test_a_handler_of_cancellations_of_the_other_colour_is_refused() -> None:
    async def asynchronous(ctx: object) -> None: ...

    with pytest.raises(core.errors.Error, match="a non-async function cannot have an async on_cancel handler"):
        define(on_cancel=asynchronous)


@pytest.mark.parametrize("option", ["Cancel", "TriggerEvent", "Batch", "TriggerCron"])
def test_tools_can_resolve_the_annotations_of_an_option(option: str) -> None:
    parameters = inspect.signature(getattr(core, option)).parameters

    assert [*get_type_hints(getattr(core, option))] == [*parameters]

"""A user's program, as type checkers see it. It is checked, not run: `mypy --strict` and pyright in strict mode.

Every `assert_type` is a promise about inference; every class and option that users name appears at least once.
"""

from __future__ import annotations

import asyncio
import dataclasses
import datetime
import functools
import logging
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

import fastapi
import flask
from typing_extensions import TypedDict, assert_type

import stepserve
import stepserve.fastapi
import stepserve.flask
from stepserve import (
    Batch,
    Cancel,
    Concurrency,
    Context,
    ContextSync,
    Debounce,
    Event,
    EventType,
    Function,
    Inngest,
    Middleware,
    MiddlewareSync,
    NonRetriableError,
    ParallelMode,
    Priority,
    PydanticSerializer,
    RateLimit,
    RetryAfterError,
    SendEventsError,
    SendEventsResult,
    Singleton,
    StepError,
    StepMemos,
    Throttle,
    Timeouts,
    TransformOutputResult,
    TriggerCron,
    TriggerEvent,
    errors,
)


class Traces(Middleware):
    """Middleware with async hooks."""

    def __init__(self, client: Inngest, raw_request: object) -> None:
        super().__init__(client, raw_request)
        self.started = datetime.datetime.now()

    async def transform_input(self, ctx: Context | ContextSync, function: Function[Any], steps: StepMemos) -> None:
        assert_type(ctx.run_id, str)
        assert_type(function.id, str)
        assert_type(steps.size, int)

    async def before_send_events(self, events: list[Event]) -> None:
        events.append(Event(name="shop/traced"))

    async def transform_output(self, result: TransformOutputResult) -> None:
        if result.step is not None:
            assert_type(result.step.id, str)
        result.output = {"wrapped": result.output}


class Counts(MiddlewareSync):
    """Middleware with sync hooks."""

    def before_execution(self) -> None:
        self.client.logger.info("new code")

    def after_send_events(self, result: SendEventsResult) -> None:
        assert_type(result.ids, list[str])
        assert_type(result.error, str | None)


client = Inngest(
    app_id="shop",
    api_base_url="https://api.example.com",
    app_version="1.2.3",
    env="main",
    event_api_base_url="https://events.example.com",
    event_key="key",
    is_production=False,
    logger=logging.getLogger("shop"),
    middleware=[Traces, Counts, lambda client, raw_request: Traces(client, None)],
    request_timeout=datetime.timedelta(seconds=5),
    serializer=PydanticSerializer(),
    signing_key="signkey-test-00",
)
kept = [Traces, Counts]
Inngest(app_id="kept", middleware=kept)
client.add_middleware(Traces)
client.set_logger(logging.getLogger("other"))
assert_type(client.app_id, str)
assert_type(client.is_production, bool)
version: str = stepserve.__version__


T = TypeVar("T")


class Invoice:
    """A user's class."""

    @classmethod
    def draft(cls, number: int) -> Invoice:
        return cls(number)

    def __init__(self, number: int) -> None:
        self.number = number


class Shop:
    """A user's class with steps for methods."""

    def ship(self, order: str, express: bool) -> list[str]:
        return [order]

    async def notify(self, order: str) -> bytes:
        return order.encode()


class Ships:
    """A user's object that can be called."""

    def __call__(self, order: str) -> datetime.date:
        return datetime.date.today()


def price(order: str) -> float:
    return 1.0


async def stock(order: str, count: int) -> int:
    return count


def nothing() -> None:
    return


def first_of(items: list[T]) -> T:
    return items[0]


async def last_of(items: list[T], default: T) -> T:
    return items[-1] if items else default


ORDERED = TriggerEvent(event="shop/ordered", expression="event.data.total > 1")


@client.create_function(fn_id="invoice", trigger=ORDERED)
def invoice(ctx: ContextSync) -> Invoice:
    return Invoice(1)


@client.create_function(fn_id="count", trigger=[ORDERED, TriggerCron(cron="0 3 * * *", jitter="30s")])
async def count(ctx: Context) -> int:
    return 1


@client.create_function(fn_id="mapping", trigger=TriggerCron(cron="0 3 * * *"))
async def mapping(ctx: Context) -> dict[str, list[int]]:
    return {}


assert_type(invoice, Function[Invoice])
assert_type(count, Function[int])
assert_type(mapping, Function[dict[str, list[int]]])


def sync_failed(ctx: ContextSync) -> None:
    ctx.logger.error("failed: %s", ctx.event.data["error"])


async def async_failed(ctx: Context) -> None:
    await ctx.step.run("tell", nothing)


async def async_tell(ctx: Context) -> None:
    await ctx.step.sleep("before", "1s")


@client.create_function(
    fn_id="sync",
    trigger=[TriggerEvent(event="a/b"), TriggerEvent(event="c/d")],
    batch_events=None,
    cancel=[Cancel(event="a/cancelled", if_exp="event.data.id == async.data.id", timeout="1h")],
    concurrency=[Concurrency(limit=5, key="event.data.customer", scope="env"), Concurrency(limit=1)],
    debounce=Debounce(period=60_000, key="event.data.id", timeout=datetime.timedelta(hours=1)),
    idempotency="event.data.id",
    middleware=[Counts],
    name="The sync function",
    on_failure=sync_failed,
    output_type=dict,
    priority=Priority(run="event.data.vip ? 60 : 0"),
    rate_limit=RateLimit(limit=10, period="1h", key="event.data.id"),
    retries=3,
    singleton=Singleton(mode="skip", key="event.data.id"),
    throttle=Throttle(limit=1, period="10s", key="event.data.id", burst=2),
    timeouts=Timeouts(start="10s", finish=datetime.timedelta(minutes=1)),
)
def sync(ctx: ContextSync) -> str:
    shop = Shop()
    assert_type(ctx.step.run("function", price, "A-1"), float)
    assert_type(ctx.step.run("lambda", lambda: 1), int)
    added: int = ctx.step.run("arguments", lambda a, b: a + b, 1, 2)
    assert_type(added, int)
    assert_type(ctx.step.run("method", shop.ship, "A-1", True), list[str])
    assert_type(ctx.step.run("partial", functools.partial(price, "A-1")), float)
    assert_type(ctx.step.run("class", Invoice, 1), Invoice)
    assert_type(ctx.step.run("typed", price, "A-1", output_type=float), float)
    assert_type(ctx.step.run("builtin", str.upper, "a"), str)
    assert_type(ctx.step.run("generic", first_of, [1.5]), float)
    assert_type(ctx.step.run("classmethod", Invoice.draft, 1), Invoice)
    assert_type(ctx.step.run("callable", Ships(), "A-1"), datetime.date)
    ctx.step.run("nothing", nothing)
    assert_type(ctx.step.invoke("invoke", function=invoice), Invoice)
    assert_type(ctx.step.invoke("across", function=count, data={"a": 1}, timeout="1h", v="1"), int)
    assert_type(ctx.step.invoke_by_id("id", app_id="other", function_id="f", data={}, timeout=1000), object)
    assert_type(ctx.step.send_event("send", Event(name="a/b", data={"a": [1]}, id="1", ts=1)), list[str])
    assert_type(ctx.step.send_event("send many", [Event(name="a/b")]), list[str])
    event = ctx.step.wait_for_event("wait", event="a/b", if_exp="async.data.a == 1", timeout="7d")
    assert_type(event, Event | None)
    ctx.step.sleep("text", "2h")
    ctx.step.sleep("milliseconds", 5_000)
    ctx.step.sleep("delta", datetime.timedelta(days=1))
    ctx.step.sleep_until("until", datetime.datetime.now(datetime.timezone.utc))
    one_type = ctx.group.parallel((lambda: ctx.step.run("p1", lambda: 1), lambda: ctx.step.run("p2", lambda: 2)))
    assert_type(one_type, tuple[int, int])
    types = ctx.group.parallel(
        (lambda: ctx.step.run("p3", price, "A"), lambda: ctx.step.run("p4", shop.ship, "A", True))
    )
    assert_type(types, tuple[float, list[str]])
    raced = ctx.group.parallel(
        (lambda: ctx.step.run("r1", price, "A"), lambda: ctx.step.run("r2", price, "B")),
        parallel_mode=ParallelMode.RACE,
    )
    assert_type(raced, tuple[float, float])

    def branch(order: str) -> Callable[[], float]:
        return lambda: ctx.step.run(f"price-{order}", price, order)

    assert_type(ctx.group.parallel(tuple(branch(order) for order in ("A", "B"))), tuple[float, ...])
    assert_type(ctx.attempt, int)
    assert_type(ctx.event, Event)
    assert_type(ctx.events, list[Event])
    assert_type(ctx.event.name, str)
    assert_type(ctx.event.data, Mapping[str, Any])
    assert_type(ctx.run_id, str)
    assert_type(ctx.request_id, str | None)
    ctx.logger.info("done")
    return "done"


@client.create_function(
    fn_id="async",
    trigger=ORDERED,
    batch_events=Batch(max_size=10, timeout="5s", key="event.data.id", if_exp="event.data.a"),
    on_failure=async_failed,
)
async def asynchronous(ctx: Context) -> list[int]:
    shop = Shop()
    assert_type(await ctx.step.run("function", stock, "A-1", 2), int)
    assert_type(await ctx.step.run("sync function", price, "A-1"), float)
    assert_type(await ctx.step.run("lambda", lambda: 1), int)
    assert_type(await ctx.step.run("awaitable lambda", lambda: stock("A-1", 1)), int)
    assert_type(await ctx.step.run("method", shop.notify, "A-1"), bytes)
    assert_type(await ctx.step.run("sync method", shop.ship, "A-1", True), list[str])
    assert_type(await ctx.step.run("partial", functools.partial(stock, "A-1"), 1), int)
    assert_type(await ctx.step.run("typed", stock, "A-1", 1, output_type=int), int)
    assert_type(await ctx.step.run("generic", last_of, ["a"], "b"), str)
    assert_type(await ctx.step.run("classmethod", Invoice.draft, 1), Invoice)
    assert_type(await ctx.step.run("callable", Ships(), "A-1"), datetime.date)
    await ctx.step.run("nothing", nothing)
    assert_type(await ctx.step.invoke("invoke", function=invoice), Invoice)
    assert_type(await ctx.step.invoke("mapping", function=mapping, data={"a": 1}), dict[str, list[int]])
    assert_type(await ctx.step.invoke_by_id("id", function_id="f"), object)
    assert_type(await ctx.step.send_event("send", Event(name="a/b")), list[str])
    event = await ctx.step.wait_for_event("wait", event="a/b", timeout=datetime.timedelta(days=1))
    assert_type(event, Event | None)
    await ctx.step.sleep("text", "2h")
    await ctx.step.sleep_until("until", datetime.datetime.now(datetime.timezone.utc))
    gathered = await asyncio.gather(ctx.step.run("g1", lambda: 1), ctx.step.run("g2", lambda: "a"))
    assert_type(gathered, tuple[int, str])
    mixed = await asyncio.gather(
        ctx.step.run("g3", stock, "A", 1), ctx.step.run("g4", shop.notify, "A"), ctx.step.invoke("g5", function=invoice)
    )
    assert_type(mixed, tuple[int, bytes, Invoice])
    assert_type(await asyncio.gather(*[ctx.step.run(sku, price, sku) for sku in "AB"]), list[float])
    assert_type(await asyncio.wait_for(ctx.step.run("w", stock, "A", 1), 5), int)
    for earliest in asyncio.as_completed([ctx.step.run("c1", price, "A"), ctx.step.run("c2", price, "B")]):
        assert_type(await earliest, float)
    first = asyncio.create_task(ctx.step.run("t1", stock, "A-1", 1))
    assert_type(await first, int)
    together = await ctx.group.parallel(
        (lambda: ctx.step.run("p1", lambda: 1), lambda: ctx.step.run("p2", stock, "A", 1))
    )
    assert_type(together, tuple[int, int])
    apart = await ctx.group.parallel(
        (lambda: ctx.step.run("p3", price, "A"), lambda: ctx.step.run("p4", shop.notify, "A"), lambda: async_tell(ctx))
    )
    assert_type(apart, tuple[float, bytes, None])
    try:
        await ctx.step.run("may fail", lambda: 1)
    except StepError as error:
        assert_type(error.name, str)
        assert_type(error.stack, str | None)
        raise NonRetriableError("no use", quiet=True) from error
    except errors.Error as error:
        raise RetryAfterError(error.message, datetime.timedelta(seconds=5)) from error
    return [gathered[0]]


assert_type(sync, Function[str])
assert_type(asynchronous, Function[list[int]])


async def send() -> None:
    try:
        assert_type(await client.send(Event(name="a/b")), list[str])
        assert_type(await client.send([Event(name="a/b")], skip_middleware=True), list[str])
    except SendEventsError as error:
        assert_type(error.ids, list[str])
    assert_type(client.send_sync([Event(name="a/b")]), list[str])


@dataclasses.dataclass
class OrderCreated:
    """The data of a user's event."""

    order: str
    total: float


class Shipped(TypedDict):
    """The data of another one."""

    order: str


order_created = EventType("shop/order.created", OrderCreated)
shipped = EventType("shop/shipped", Shipped)
counted = EventType("shop/counted", dict[str, int])
either: EventType[OrderCreated | Shipped] = EventType("shop/either", OrderCreated | Shipped)
assert_type(order_created, EventType[OrderCreated])
assert_type(counted, EventType[dict[str, int]])
assert_type(order_created(OrderCreated("A-1", 1.5), id="1"), Event)
assert_type(shipped.event({"order": "A-1"}), Event)
assert_type(order_created.where("event.data.total > 100"), TriggerEvent[OrderCreated])
assert_type(TriggerEvent(event=order_created, expression="true"), TriggerEvent[OrderCreated])
assert_type(ORDERED, TriggerEvent[Mapping[str, Any]])


@client.create_function(fn_id="typed", trigger=order_created, cancel=[Cancel(event=shipped)], on_failure=async_failed)
async def typed(ctx: Context[OrderCreated]) -> OrderCreated:
    assert_type(ctx.event, Event[OrderCreated])
    assert_type(ctx.event.data, OrderCreated)
    assert_type(ctx.events, list[Event[OrderCreated]])
    assert_type(ctx.event.data.total, float)
    came = await ctx.step.wait_for_event("wait", event=shipped, timeout="1d")
    assert_type(came, Event[Shipped] | None)
    if came is not None:
        assert_type(came.data["order"], str)
    plain = await ctx.step.wait_for_event("plain", event="shop/other", timeout="1d")
    assert_type(plain, Event | None)
    assert_type(await ctx.step.send_event("send", order_created(ctx.event.data)), list[str])
    await ctx.step.send_event("many", [shipped({"order": "A"}), Event(name="a", data={"n": 1})])
    assert_type(await ctx.step.invoke("invoke", function=typed_sync, data={"order": "A"}), bytes)
    assert_type(await ctx.step.invoke("self", function=typed, data=ctx.event.data), OrderCreated)
    return ctx.event.data


@client.create_function(fn_id="typed-sync", trigger=[shipped.where("true")])
def typed_sync(ctx: ContextSync[Shipped]) -> bytes:
    assert_type(ctx.event.data, Shipped)
    assert_type(ctx.step.wait_for_event("w", event=order_created, timeout=1000), Event[OrderCreated] | None)
    return b""


@client.create_function(fn_id="several", trigger=[order_created, shipped.where("true")])
async def several(ctx: Context[OrderCreated | Shipped]) -> str:
    data = ctx.event.data
    return data.order if isinstance(data, OrderCreated) else data["order"]


@client.create_function(fn_id="two", trigger=order_created | shipped)
async def two(ctx: Context[OrderCreated | Shipped]) -> None:
    assert_type(ctx.event.data, OrderCreated | Shipped)


@client.create_function(fn_id="three", trigger=order_created | shipped.where("true") | counted)
def three(ctx: ContextSync[OrderCreated | Shipped | dict[str, int]]) -> None:
    assert_type(ctx.event.data, OrderCreated | Shipped | dict[str, int])


@client.create_function(
    fn_id="four",
    trigger=order_created | TriggerEvent(event=shipped) | counted | TriggerCron(cron="0 3 * * *"),
)
async def four(ctx: Context[OrderCreated | Shipped | dict[str, int] | Mapping[str, Any]]) -> None:
    assert_type(ctx.event.data, OrderCreated | Shipped | dict[str, int] | Mapping[str, Any])


@client.create_function(fn_id="several-sync", trigger=(order_created, TriggerCron(cron="0 3 * * *")))
def several_sync(ctx: ContextSync[OrderCreated | Mapping[str, Any]]) -> None: ...


@client.create_function(fn_id="union", trigger=either)
def union(ctx: ContextSync[OrderCreated | Shipped]) -> None: ...


@client.create_function(fn_id="any", trigger=order_created)
def anything(ctx: ContextSync[Any]) -> None: ...


assert_type(typed, Function[OrderCreated])
assert_type(typed_sync, Function[bytes])
assert_type(several, Function[str])
kept_events = [Event(name="a/b", data={"n": 1}), Event(name="a/c")]
client.send_sync(kept_events)
client.send_sync([order_created(OrderCreated("A-1", 1.5)), *kept_events])

functions = [sync, asynchronous, invoice, count, mapping]
all_functions: list[Function[Any]] = [sync, asynchronous, typed, typed_sync, several, several_sync, union, anything]

flask_app = flask.Flask(__name__)
stepserve.flask.serve(
    flask_app,
    client,
    functions,
    enable_unauthed_sync=False,
    public_path="/public",
    serve_origin="https://shop.example.com",
    serve_path="/jobs",
)
flask_app.register_blueprint(stepserve.flask.blueprint(client, all_functions, path="/jobs"), url_prefix="/internal")

fastapi_app = fastapi.FastAPI()
stepserve.fastapi.serve(fastapi_app, client, functions, include_in_schema=True, serve_path="/jobs")
stepserve.fastapi.serve(fastapi_app, client, [sync])
fastapi_app.include_router(stepserve.fastapi.router(client, [sync, invoice], path="/jobs"), prefix="/internal")

"""A step gives back what its function returned, of the same type, with nothing said but the return annotation."""

from __future__ import annotations

import dataclasses
import datetime
import enum
import functools
import gc
import logging
import typing
import uuid
import weakref
from collections.abc import Callable
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Generic, Literal, NamedTuple, NewType, Optional, TypeVar, Union, cast

import attrs
import msgspec
import pydantic
import pytest
import typing_extensions

import stepserve_core as core
from stepserve_core import _annotations, _outputs
from stepserve_core._conversion import converter_for
from tests.core.calls import call, define, dev_client, hashed, make_handler
from tests.core.driver import Server
from tests.core.test_loading import loaded_after

if TYPE_CHECKING:
    from tests.core.local_server import LocalServer as Absent

T = TypeVar("T")
BoundT = TypeVar("BoundT", bound="Receipt")
ChoiceT = TypeVar("ChoiceT", Decimal, uuid.UUID)
UTC = datetime.timezone.utc


@dataclasses.dataclass
class Receipt:
    """A user's dataclass."""

    id: uuid.UUID
    amount: Decimal
    note: str | None = None

    def itself(self) -> typing_extensions.Self:
        return self

    @classmethod
    def make(cls) -> typing_extensions.Self | None:
        return cls(uuid.UUID(int=1), Decimal("1.10"))


class Special(Receipt):
    """Inherits `make`."""


@dataclasses.dataclass
class Tree:
    """A type that contains itself."""

    name: str
    children: list[Tree]


@dataclasses.dataclass
class Page(Generic[T]):
    """A generic dataclass."""

    items: list[T]


class Order(pydantic.BaseModel):
    """A pydantic model whose JSON has other names than Python."""

    model_config = pydantic.ConfigDict(populate_by_name=True, extra="forbid")
    order_id: int = pydantic.Field(alias="orderId")
    at: datetime.datetime

    @pydantic.computed_field
    def text(self) -> str:
        return f"order {self.order_id}"


class Strict(pydantic.BaseModel):
    """A model that takes no text for a date from Python, but does from JSON."""

    model_config = pydantic.ConfigDict(strict=True, ser_json_bytes="base64", val_json_bytes="base64")
    day: datetime.date
    raw: bytes


class Paged(pydantic.BaseModel, Generic[T]):
    """A generic model."""

    items: list[T]


@pydantic.dataclasses.dataclass
class Checked:
    """A dataclass by pydantic."""

    count: pydantic.PositiveInt
    url: pydantic.HttpUrl


@attrs.define
class Address:
    """An attrs class."""

    street: str
    since: datetime.date


@attrs.define
class Account:
    """An attrs class with a field that msgspec does not write."""

    name: str
    _balance: int
    _note: str = attrs.field(default="", alias="remark")


@dataclasses.dataclass
class Bank:
    """Has such ones inside."""

    accounts: dict[str, list[Account]]
    _first: Account | None = None


class Struct(msgspec.Struct):
    """A msgspec Struct."""

    key: bytes


class Small(msgspec.Struct):
    """One of two that differ by a field."""

    x: int


class Large(msgspec.Struct):
    """The other one."""

    x: int
    y: int = 0


class Row(typing_extensions.TypedDict, total=False):
    """A TypedDict with something that JSON does not know."""

    day: typing_extensions.Required[datetime.date]
    count: int


class Plain(typing_extensions.TypedDict):
    """A TypedDict that JSON gives back as it is."""

    count: int
    names: list[str]


class Place(NamedTuple):
    """A NamedTuple."""

    lat: float
    at: datetime.time


class Colour(enum.Enum):
    """An Enum."""

    RED = "red"
    NONE = 0


@dataclasses.dataclass(frozen=True)
class Paint:
    """A dataclass with an Enum of text and integers, and a field that its constructor does not take."""

    colour: Colour
    coats: int = 1
    undercoat: Colour = dataclasses.field(init=False, default=Colour.RED)


@attrs.frozen
class Wall:
    """An attrs class with such Enums at several depths."""

    first: Paint
    others: dict[str, list[Colour]] = attrs.field(factory=dict)


class Tin(msgspec.Struct, rename="camel", tag=True):
    """A Struct with one, whose JSON has other names."""

    main_colour: Colour


class Swatch(NamedTuple):
    """A NamedTuple with one."""

    colour: Colour
    name: str = ""


class Palette(typing_extensions.TypedDict):
    """A TypedDict with some."""

    main: Colour
    other: typing_extensions.NotRequired[Tin]


@dataclasses.dataclass
class Layer(Generic[T]):
    """A generic class with one, which may contain itself."""

    colour: Colour
    value: T
    below: Layer[int] | int | None = None


@dataclasses.dataclass
class Keyed:
    """A dataclass with alternatives that JSON has as text."""

    key: str | uuid.UUID


class Size(enum.Enum):
    """An Enum whose values are all text."""

    SMALL = "s"


class Sku(str):
    """Text of a special kind."""

    __slots__ = ()


UserId = NewType("UserId", uuid.UUID)
RECEIPT = Receipt(uuid.UUID(int=7), Decimal("19.90"))
ORDER = Order(orderId=1, at=datetime.datetime(2030, 1, 2, tzinfo=UTC))
DAY = datetime.date(2030, 1, 2)
CHOICES: Any = list[ChoiceT]  # type: ignore[valid-type] # pyright: ignore[reportGeneralTypeIssues] # meant to be unbound

ACCOUNT = Account("A", 7, "x")

TYPED: list[tuple[Any, Any]] = [
    (Receipt, RECEIPT),
    (list[Receipt], [RECEIPT, RECEIPT]),
    (dict[str, Receipt], {"a": RECEIPT}),
    (Optional[Receipt], None),  # noqa: UP045 - both spellings,
    (Receipt | None, RECEIPT),
    (Tree, Tree("a", [Tree("b", [])])),
    (Page[Receipt], Page([RECEIPT])),
    (Page[int], Page([1])),
    (Order, ORDER),
    (list[Order], [ORDER]),
    (Union[Order, Strict], ORDER),  # noqa: UP007,
    (Union[Order, None, int], 3),  # noqa: UP007,
    (tuple[Order, int], (ORDER, 1)),
    (Account, ACCOUNT),
    (Bank, Bank({"A": [ACCOUNT]}, ACCOUNT)),
    (tuple[Account, Order], (ACCOUNT, ORDER)),
    (Account | int, ACCOUNT),
    (Strict, Strict(day=DAY, raw=b"\xff")),
    (Paged[Order], Paged[Order](items=[ORDER])),
    (Checked, Checked(1, pydantic.HttpUrl("https://example.com/a"))),
    (dict[str, Order | Struct], {"a": ORDER, "b": Struct(b"\x00")}),
    (Address, Address("Main St", DAY)),
    (list[Address | None], [None, Address("Main St", DAY)]),
    (Struct, Struct(b"\x00\xff")),
    (Row, {"day": DAY}),
    (list[Row], [{"day": DAY, "count": 1}]),
    (Plain, {"count": 1, "names": ["a"]}),
    (Place, Place(1.5, datetime.time(12, 30))),
    (Colour, Colour.RED),
    (Paint, Paint(Colour.NONE, 2)),
    (Wall, Wall(Paint(Colour.RED), {"a": [Colour.NONE]})),
    (list[Tin | None], [Tin(Colour.NONE), None]),
    (Paint | Tin, Tin(Colour.RED)),
    (Swatch, Swatch(Colour.NONE, "none")),
    (Palette, {"main": Colour.RED}),
    (Palette, {"main": Colour.RED, "other": Tin(Colour.NONE)}),
    (Layer[Decimal], Layer(Colour.RED, Decimal(1), Layer(Colour.NONE, 3, 4))),
    (Keyed, Keyed(uuid.UUID(int=3))),
    (Size, Size.SMALL),
    (dict[Size, int], {Size.SMALL: 1}),
    (Literal[Colour.RED], Colour.RED),
    (datetime.datetime, datetime.datetime(2030, 1, 2, 3, 4, 5, 6, tzinfo=UTC)),
    (datetime.datetime, datetime.datetime(2030, 1, 2)),
    (DAY.__class__, DAY),
    (datetime.time, datetime.time(1, 2, 3)),
    (datetime.timedelta, datetime.timedelta(days=-3, microseconds=5)),
    (uuid.UUID, uuid.UUID(int=5)),
    (UserId, uuid.UUID(int=5)),
    (Decimal, Decimal("1.10")),
    (bytes, b"\x00\xff"),
    (bytearray, bytearray(b"a")),
    (set[int], {1, 2}),
    (frozenset[Colour], frozenset({Colour.NONE})),
    (tuple[int, ...], (1, 2)),
    (tuple[int, uuid.UUID], (1, uuid.UUID(int=1))),
    (tuple, (1, "a")),
    (dict[int, str], {1: "a"}),
    (dict[uuid.UUID, list[set[int]]], {uuid.UUID(int=1): [{1}]}),
    (typing.Sequence[Decimal], [Decimal("1")]),
    (typing.Mapping[str, datetime.date], {"a": DAY}),
    (typing.Annotated[Decimal, "euros"], Decimal("1")),
    (Sku, Sku("A-1")),
    (float, 3.0),
    (list[float], [1.0, 2.5]),
    (str | uuid.UUID, uuid.UUID(int=3)),
    (str | uuid.UUID, "no uuid"),
    (datetime.date | datetime.datetime | None, DAY),
    (Small | Large, Large(1, 2)),
    (Small | Large, Small(1)),
    (list[Small | Large | None], [None, Small(1), Large(1, 2)]),
    (Receipt | Address | str, Address("Main St", DAY)),
    (BoundT, RECEIPT),
    (CHOICES, [uuid.UUID(int=1)]),
    (T, {"a": [1]}),
    (Any, {"a": [1]}),
    (object, [1]),
    (None, None),
    (dict[str, Any], {"a": [1, None, "x"]}),
]


def replayed(colour: str, handler: Callable[..., Any], *args: object, **options: Any) -> Any:
    """Run a function with one step to its end; return what the step gave to the function in the last call."""
    seen: list[Any] = []

    async def body(ctx: Any) -> None:
        seen.append(await ctx.step.run("a", handler, *args, **options))

    handler_ = make_handler(dev_client(), define(dev_client(), colour, body))
    server = Server(handler_, entry="handle" if colour == "sync" else "ahandle")

    assert 200 == server.run().status, server.replies[-1].json
    return seen[-1]


def returning(typ: object, value: object) -> Callable[[], Any]:
    """Return a function that returns `value` and is annotated to return `typ`."""

    def function() -> Any:
        return value

    function.__annotations__["return"] = typ
    return function


def assert_same(expected: Any, actual: Any) -> None:
    """Check value and type, also of what is inside."""
    assert (type(expected), expected) == (type(actual), actual)
    if isinstance(expected, dict):
        for one, other in zip(sorted(expected, key=str), sorted(actual, key=str), strict=True):
            assert type(one) is type(other)
            assert_same(expected[one], actual[other])
    elif isinstance(expected, (list, tuple)):
        for one, other in zip(expected, actual, strict=True):
            assert_same(one, other)


@pytest.mark.parametrize(("typ", "value"), TYPED, ids=lambda part: str(part)[:50])
def test_a_step_gives_back_what_its_function_returned(colour: str, typ: object, value: object) -> None:
    assert_same(value, replayed(colour, returning(typ, value)))


@pytest.mark.parametrize(("typ", "value"), TYPED[:12], ids=lambda part: str(part)[:50])
def test_an_output_type_stands_for_the_annotation(colour: str, typ: object, value: object) -> None:
    assert_same(value, replayed(colour, lambda: value, output_type=typ))


def test_an_output_type_comes_before_the_annotation(colour: str) -> None:
    assert_same(Small(1), replayed(colour, returning(Large, Small(1)), output_type=Small))


class Shop:
    """Has handlers of every kind."""

    def method(self, note: str) -> Receipt:
        return dataclasses.replace(RECEIPT, note=note)

    @classmethod
    def of_class(cls) -> Receipt:
        return RECEIPT

    @staticmethod
    def static() -> Receipt:
        return RECEIPT

    def __call__(self) -> Receipt:
        return RECEIPT


class Unhashable(Shop):
    """Cannot be looked up in a dictionary."""

    __hash__ = None  # type: ignore[assignment]


def charge(note: str | None = None) -> Receipt:
    """Return a receipt."""
    return dataclasses.replace(RECEIPT, note=note)


def logged(function: Callable[..., T]) -> Callable[..., T]:
    """Wrap as most decorators do."""

    @functools.wraps(function)
    def wrapper(*args: Any) -> T:
        return function(*args)

    return wrapper


def changing(function: Callable[..., object]) -> Callable[..., Address]:
    """Wrap, and return something else."""

    @functools.wraps(function, assigned=("__name__",))
    def wrapper() -> Address:
        function()
        return Address("Main St", DAY)

    return wrapper


def bound(value: BoundT) -> BoundT:
    """Return what it is given."""
    return value


HANDLERS: list[tuple[Callable[..., Any], tuple[Any, ...], Any]] = [
    (charge, (), RECEIPT),
    (functools.partial(charge, "x"), (), dataclasses.replace(RECEIPT, note="x")),
    (functools.partial(functools.partial(Shop().method), "x"), (), dataclasses.replace(RECEIPT, note="x")),
    (Shop().method, ("x",), dataclasses.replace(RECEIPT, note="x")),
    (Shop.of_class, (), RECEIPT),
    (Shop.static, (), RECEIPT),
    (Shop(), (), RECEIPT),
    (Unhashable(), (), RECEIPT),
    (logged(charge), (), RECEIPT),
    (logged(logged(charge)), (), RECEIPT),
    (functools.lru_cache(charge), (), RECEIPT),
    (changing(charge), (), Address("Main St", DAY)),
    (bound, (RECEIPT,), RECEIPT),
    (Special.make, (), Special(uuid.UUID(int=1), Decimal("1.10"))),
    (RECEIPT.itself, (), RECEIPT),
    (Address, ("Main St", DAY), Address("Main St", DAY)),
    (str.upper, ("a",), "A"),
    (lambda: [1], (), [1]),
]


@pytest.mark.parametrize(("handler", "args", "expected"), HANDLERS)
def test_the_annotation_is_found_behind_callables_of_every_kind(
    colour: str, handler: Any, args: tuple[Any, ...], expected: object
) -> None:
    for _ in range(2):  # the second time, what was found is remembered
        assert_same(expected, replayed(colour, handler, *args))


async def charge_later() -> Receipt:
    """Return a receipt."""
    return RECEIPT


def charge_by_coroutine() -> typing.Coroutine[Any, Any, Receipt]:
    """Return a coroutine without being async."""
    return charge_later()


@pytest.mark.parametrize("handler", [charge_later, charge_by_coroutine, logged(charge_later)])
def test_what_has_to_be_awaited_counts_as_what_awaiting_gives(handler: Any) -> None:
    assert_same(RECEIPT, replayed("async", handler))


def test_types_and_functions_made_inside_a_function_are_resolved_anew_each_time(colour: str) -> None:
    def make(cls: Any) -> Callable[[], Any]:
        Local = dataclasses.make_dataclass("Local", [("x", cls)])

        def step() -> Local:  # type: ignore[valid-type] # pyright: ignore[reportInvalidTypeForm]
            return Local(cls("1"))  # type: ignore[no-any-return] # its class is made at run time

        return step

    assert Decimal("1") == replayed(colour, make(Decimal)).x
    assert "1" == replayed(colour, make(str)).x


def test_a_local_function_with_a_type_of_the_module_is_looked_up_once(
    colour: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[object] = []
    returned_by = _annotations.returned_by
    monkeypatch.setattr(_outputs, "_KNOWN", {})

    def ask(handler: Any) -> object:
        asked.append(handler)
        return returned_by(handler)

    monkeypatch.setattr(_outputs, "returned_by", ask)

    def run() -> object:
        def local() -> Receipt:
            return RECEIPT

        return replayed(colour, local)

    assert [RECEIPT, RECEIPT] == [run(), run()]
    assert 1 == len([handler for handler in asked if getattr(handler, "__name__", "") == "local"])


def test_functions_that_are_decorated_anew_for_each_call_are_not_kept_alive(colour: str) -> None:
    made: list[weakref.ref[Any]] = []

    def fresh() -> Callable[..., Receipt]:
        wrapped = logged(charge)
        made.append(weakref.ref(wrapped))
        return wrapped

    for _ in range(2):
        assert RECEIPT == replayed(colour, fresh())
    gc.collect()

    assert [None, None] == [reference() for reference in made]


def count_rows() -> Plain:
    """Return what JSON gives back."""
    return {"count": 1, "names": []}


def test_a_function_whose_output_json_gives_back_is_known_as_plain_and_others_are_not(colour: str) -> None:
    replayed(colour, count_rows)
    replayed(colour, charge)

    assert count_rows in _outputs.PLAIN
    assert charge not in _outputs.PLAIN
    assert converter_for(Plain) is None
    assert converter_for(dict[str, Any] | list[int] | None) is None


@pytest.fixture
def unwarned(caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch) -> None:
    """Begin as if no warning had been given yet."""
    monkeypatch.setattr(_annotations, "_warned", set())
    caplog.set_level(logging.WARNING, logger="stepserve")


def warnings_of(caplog: pytest.LogCaptureFixture) -> list[str]:
    """Return what was logged as a warning."""
    return [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING]


def imported_for_checkers() -> Absent:
    """Return JSON; the annotation cannot be resolved."""
    return cast("Absent", {"x": 1})


@pytest.mark.usefixtures("unwarned")
def test_an_annotation_that_cannot_be_resolved_means_json_as_it_is_and_one_warning(
    colour: str, caplog: pytest.LogCaptureFixture
) -> None:
    _outputs._KNOWN.pop(imported_for_checkers, None)
    _outputs.PLAIN.discard(cast("Any", imported_for_checkers))

    assert {"x": 1} == replayed(colour, imported_for_checkers)
    assert {"x": 1} == replayed(colour, imported_for_checkers)
    (said,) = warnings_of(caplog)
    assert "imported_for_checkers" in said
    assert "name 'Absent' is not defined" in said
    assert "output_type=" in said


class Opaque:
    """A class of which nothing is known, and which is text as far as JSON is concerned."""

    def model_dump(self, *, mode: str) -> str:
        return mode


def opaque() -> Opaque:
    """Return something that goes into JSON, but not back."""
    return Opaque()


@pytest.mark.usefixtures("unwarned")
def test_a_type_that_cannot_be_rebuilt_stays_json_with_one_warning(
    colour: str, caplog: pytest.LogCaptureFixture
) -> None:
    converter_for.__globals__["_remembered"].cache_clear()
    _outputs._KNOWN.pop(opaque, None)
    _outputs.PLAIN.discard(cast("Any", opaque))

    assert "json" == replayed(colour, opaque)
    assert "json" == replayed(colour, opaque)
    (said,) = warnings_of(caplog)
    assert "Opaque" in said


# Edited input


def settle(receipt: Receipt, days: set[datetime.date], *notes: Decimal) -> list[str]:
    """Return what the arguments are."""
    return [repr(receipt), repr(days), repr(notes)]


class Ledger:
    """Has a handler with state."""

    def settle(self, receipt: Receipt, days: set[datetime.date], *notes: Decimal) -> list[str]:
        return settle(receipt, days, *notes)


@pytest.mark.parametrize("handler", [settle, Ledger().settle, logged(settle), functools.partial(Ledger().settle)])
def test_a_step_that_runs_again_with_edited_input_gets_it_in_the_types_of_its_parameters(
    colour: str, handler: Any
) -> None:
    async def body(ctx: Any) -> object:
        return await ctx.step.run("settle", handler, RECEIPT, {DAY}, Decimal(1))

    edited = [{**FITS, "amount": "2.5"}, ["2031-01-01"], "3", "4"]
    (op,) = call(colour, body, steps={hashed("settle"): {"input": edited}}, stack=[]).json

    receipt = Receipt(RECEIPT.id, Decimal("2.5"))
    assert settle(receipt, {datetime.date(2031, 1, 1)}, Decimal(3), Decimal(4)) == op["data"]


def test_edited_input_that_does_not_fit_fails_the_run_and_says_where(colour: str) -> None:
    async def body(ctx: Any) -> object:
        return await ctx.step.run("settle", settle, RECEIPT, {DAY})

    reply = call(colour, body, steps={hashed("settle"): {"input": [FITS, ["tomorrow"]]}}, stack=[])

    assert (500, "true") == (reply.status, reply.headers["x-inngest-no-retry"])
    assert "argument 1 in the edited input of step 'settle' does not fit: at [0]" in reply.json["message"]


def test_edited_input_of_functions_without_annotations_stays_json(colour: str) -> None:
    async def body(ctx: Any) -> object:
        return [
            await ctx.step.run("lambda", lambda *args: args, 1),
            await ctx.step.run("builtin", max, 1, 2),
            await ctx.step.run("class", Small, 1),
        ]

    steps: dict[str, Any] = {}
    for step, given, expected in (
        ("lambda", [{"a": 1}], [{"a": 1}]),
        ("builtin", [3, 2], 3),
        ("class", [5], {"x": 5}),
    ):
        (op,) = call(colour, body, steps={**steps, hashed(step): {"input": given}}, stack=list(steps)).json
        assert expected == op["data"]
        steps[hashed(step)] = {"data": op["data"]}


# Memos that do not fit


FITS = {"id": str(RECEIPT.id), "amount": "1.10", "note": None}


@pytest.mark.parametrize(
    ("handler", "memo", "said"),
    [
        (charge, {**FITS, "amount": {"euros": 1}}, ["Receipt at amount:", "{id: str, amount: {euros: int}", "Decimal"]),
        (charge, {"id": FITS["id"]}, ["at the top:", "missing required field `amount`", "{id: str}"]),
        (charge, None, ["Receipt at the top:", "The memo is null"]),
        (returning(list[Receipt], []), [FITS, 1], ["list[Receipt] at [1]:", "[int | {id: str"]),
        (
            returning(Order, ORDER),
            {"orderId": "x"},
            ["Order at orderId:", "and 1 more", "{order_id: int"],
        ),
        (returning(Small | Large, Small(1)), "x", ["Small | Large at the top", "The memo is str"]),
        (
            returning(Wall, None),
            {"first": {"colour": "blue"}},
            ["Wall at first.colour:", "one of the values of `Colour`"],
        ),
        (returning(list[Paint], []), [{"coats": 1}], ["at [0]:", "missing required field `colour`"]),
    ],
)
def test_a_memo_that_does_not_fit_its_type_any_more_is_a_clear_error_that_is_retried(
    colour: str, handler: Any, memo: object, said: list[str]
) -> None:
    caught: list[BaseException] = []

    async def body(ctx: Any) -> object:
        try:
            return await ctx.step.run("charge", handler)
        except Exception as error:
            caught.append(error)
            return "cleaned up"

    reply = call(colour, body, steps={hashed("charge"): {"data": memo}, hashed("b"): {"data": 1}})

    assert (500, "memo_mismatch", "MemoMismatchError") == (reply.status, reply.json["code"], reply.json["name"])
    assert "x-inngest-no-retry" not in reply.headers
    assert [] == [part for part in ["step 'charge'", *said] if part not in reply.json["message"]]
    assert [] == caught, "user code must not take it for a failure of the step"


def test_values_stay_out_of_the_error_about_a_memo(colour: str) -> None:
    async def body(ctx: Any) -> object:
        return await ctx.step.run("charge", charge)

    reply = call(colour, body, steps={hashed("charge"): {"data": {"id": "secret", "amount": "secret"}}})

    assert "secret" not in reply.json["message"]


def test_what_a_sloppy_annotation_says_of_json_is_not_held_against_the_value(colour: str) -> None:
    assert None is replayed(colour, returning(int, None))
    assert {"a": 1} == replayed(colour, returning(list[str], {"a": 1}))
    assert [None, 1.0] == replayed(colour, returning(list[float], [None, 1.0]))


@pytest.mark.parametrize(
    ("typ", "value", "said"),
    [
        (str | uuid.UUID, str(uuid.UUID(int=1)), "a str that would come back from JSON as UUID"),
        (list[str | Decimal], ["1.5"], "str | Decimal"),
        (list[Keyed], [Keyed(str(uuid.UUID(int=1)))], "a str that would come back from JSON as UUID"),
    ],
)
def test_alternatives_that_json_cannot_tell_apart_are_refused_before_anything_is_remembered(
    colour: str, typ: object, value: object, said: str
) -> None:
    async def body(ctx: Any) -> object:
        return await ctx.step.run("pick", returning(typ, value))

    reply = call(colour, body)

    assert (500, "output_unserializable", "true") == (
        reply.status,
        reply.json["code"],
        reply.headers["x-inngest-no-retry"],
    )
    assert said in reply.json["message"]
    assert "step 'pick'" in reply.json["message"]


class Holder(pydantic.BaseModel):
    """Holds anything."""

    model_config = pydantic.ConfigDict(arbitrary_types_allowed=True)
    inner: Any


@pytest.mark.parametrize("value", [Holder(inner=float("nan")), Holder(inner=object())])
def test_what_json_cannot_carry_inside_a_model_is_refused_by_name(colour: str, value: object) -> None:
    async def body(ctx: Any) -> object:
        return await ctx.step.run("hold", returning(Holder, value))

    reply = call(colour, body)

    assert (500, "output_unserializable") == (reply.status, reply.json["code"])
    assert "step 'hold'" in reply.json["message"]


# Functions


def test_a_function_that_is_invoked_gives_back_the_type_of_its_handler(colour: str) -> None:
    client = dev_client()
    trigger = core.TriggerEvent(event="x")

    async def later(ctx: core.Context) -> list[Receipt]:
        return [RECEIPT]

    def now(ctx: core.ContextSync) -> list[Receipt]:
        return [RECEIPT]

    for handler in (later, now):
        invoked: core.Function[Any] = client.create_function(fn_id="g", trigger=trigger)(cast("Any", handler))
        seen: list[object] = []

        async def body(ctx: Any, seen: list[object] = seen, invoked: core.Function[Any] = invoked) -> None:
            seen.append(await ctx.step.invoke("i", function=invoked))

        assert 200 == call(colour, body, client=client, steps={hashed("i"): {"data": [FITS]}}).status
        assert_same([Receipt(RECEIPT.id, Decimal("1.10"))], seen[0])
        wrong = call(colour, body, client=client, steps={hashed("i"): {"data": FITS}})
        assert "memo_mismatch" == wrong.json["code"]


def test_outputs_of_functions_and_failure_handlers_are_written_by_their_own_types() -> None:
    def body(ctx: core.ContextSync) -> Order:
        return ORDER

    def failed(ctx: core.ContextSync) -> Paged[Order]:
        return Paged(items=[ORDER])

    client = dev_client()
    function = client.create_function(fn_id="f", trigger=core.TriggerEvent(event="x"), on_failure=failed)(body)
    wire = {"orderId": 1, "at": "2030-01-02T00:00:00Z"}

    for function_id, expected in (("app-f", wire), ("app-f-failure", {"items": [wire]})):
        outcome = Server(make_handler(client, function), entry="handle").run(function_id)

        assert (200, expected) == outcome[:2]


def test_branches_of_a_group_give_back_typed_values(colour: str) -> None:
    seen: list[object] = []

    async def body(ctx: Any) -> None:
        seen.append(
            await ctx.group.parallel((lambda: ctx.step.run("a", charge), lambda: ctx.step.run("b", lambda: [1])))
        )

    handler = make_handler(dev_client(), define(dev_client(), colour, body))

    assert 200 == Server(handler, entry="handle" if colour == "sync" else "ahandle").run().status
    assert (RECEIPT, [1]) == seen[-1]


class Seeing(core.MiddlewareSync):
    """Keeps the outputs that it sees."""

    seen: typing.ClassVar[list[object]] = []

    def transform_output(self, result: core.TransformOutputResult) -> None:
        self.seen.append(result.output)


def test_middleware_sees_typed_outputs_as_json(colour: str) -> None:
    async def body(ctx: Any) -> object:
        return await ctx.step.run("charge", charge)

    Seeing.seen.clear()
    reply = call(colour, body, client=dev_client(middleware=[Seeing]))

    assert 206 == reply.status
    assert [{**FITS, "amount": "19.90"}] == Seeing.seen


def test_a_serializer_still_has_the_say_where_an_output_type_is_given(colour: str) -> None:
    client = dev_client(serializer=core.PydanticSerializer())
    seen: list[object] = []

    async def body(ctx: Any) -> None:
        seen.append(await ctx.step.run("typed", lambda: ORDER, output_type=Order))
        seen.append(await ctx.step.run("annotated", charge))

    memos = {
        hashed("typed"): {"data": {"orderId": 1, "at": "2030-01-02T00:00:00Z"}},
        hashed("annotated"): {"data": FITS},
    }

    assert 200 == call(colour, body, client=client, steps=memos).status
    assert [ORDER, Receipt(RECEIPT.id, Decimal("1.10"))] == seen


def test_pydantic_is_imported_for_pydantic_types_only() -> None:
    program = """
import dataclasses, decimal
from stepserve_core._conversion import converter_for
A = dataclasses.make_dataclass("A", [("x", decimal.Decimal)])
assert converter_for(A).load({"x": "1"}) == A(decimal.Decimal(1))
"""

    assert "pydantic" not in loaded_after(program)


class Dated(pydantic.BaseModel):
    """A model with something that JSON does not know."""

    day: datetime.date


class Standard(typing.TypedDict):
    """A TypedDict of the standard library, which pydantic reads on Python 3.12 and later only."""

    model: Dated
    at: datetime.datetime


def test_models_in_a_typed_dict_of_the_standard_library_come_back_on_every_python(colour: str) -> None:
    value: Standard = {"model": Dated(day=datetime.date(2030, 1, 2)), "at": datetime.datetime(2030, 1, 2, tzinfo=UTC)}

    assert_same(value, replayed(colour, returning(Standard, value)))

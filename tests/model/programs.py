"""What generated functions are made of: a small language, and strategies that write in it.

What is generated is determined: whoever runs it twice finds the same history. So what depends on which of two things
happens first at the same moment is not generated, such as a failure that races with a success.
"""

from __future__ import annotations

import dataclasses
import sys
from typing import Any, Literal

from hypothesis import strategies as st

How = Literal["error", "later", "stop"]
Kind = Literal["parallel", "parallel race", "race", "gather", "gather errors", "task group", "as completed"]

FUNCTIONS = 3
EVENTS = ("told/0", "told/1")
"""Events that come from outside."""

OWN_EVENT = "own/0"
"""An event that functions send to themselves."""


@dataclasses.dataclass(frozen=True)
class Work:
    """A `step.run` that fails a number of times: with an error, a `RetryAfterError` or a `NonRetriableError`."""

    name: str
    value: int
    fails: int = 0
    how: How = "error"
    catches: bool = True


@dataclasses.dataclass(frozen=True)
class Sleep:
    """A sleep."""

    name: str
    seconds: int


@dataclasses.dataclass(frozen=True)
class Wait:
    """A wait for an event; `own` ones only for those with the key of the run."""

    name: str
    event: str
    seconds: int
    own: bool


@dataclasses.dataclass(frozen=True)
class Send:
    """A step that sends an event."""

    name: str


@dataclasses.dataclass(frozen=True)
class Invoke:
    """A call of another function, that of this number; without it the last one, which invokes nobody."""

    name: str
    function: int
    seconds: int | None
    catches: bool


@dataclasses.dataclass(frozen=True)
class Break:
    """Code between steps that raises the first times it is reached."""

    name: str
    fails: int


@dataclasses.dataclass(frozen=True)
class Choose:
    """A branch on what was returned so far."""

    then: tuple[Any, ...]
    otherwise: tuple[Any, ...]


@dataclasses.dataclass(frozen=True)
class Repeat:
    """A loop, whose steps have the same ids each time."""

    times: int
    body: tuple[Any, ...]


@dataclasses.dataclass(frozen=True)
class Guard:
    """A `try` that catches what steps fail with, or does not, and whose `finally` has steps of its own."""

    body: tuple[Any, ...]
    clean_up: tuple[Any, ...]
    catches: bool


@dataclasses.dataclass(frozen=True)
class Together:
    """Branches at the same time."""

    kind: Kind
    branches: tuple[tuple[Any, ...], ...]


@dataclasses.dataclass(frozen=True)
class Program:
    """A function: its number, its colour, its retries, and what it does."""

    number: int
    is_async: bool
    retries: int
    body: tuple[Any, ...]


names = st.sampled_from(["a", "b", "a:1", "é"])
seconds = st.sampled_from([1, 7, 100, 3601, 90_001])
ANYHOW: tuple[Kind, ...] = ("parallel", "gather", "gather errors", "task group")
ORDERED: tuple[Kind, ...] = ("race", "as completed", "parallel race")
FOR_DEF: tuple[Kind, ...] = ("parallel", "parallel race", "race")


@dataclasses.dataclass(frozen=True)
class Place:
    """Where something is written, by which follows what can be written there."""

    number: int
    is_async: bool
    retries: int
    depth: int = 0
    in_branch: bool = False
    in_own_group: bool = False
    in_guard: bool = False
    timed: bool = True
    tells_itself: bool = True

    def inside(self, **changes: Any) -> Place:
        """Return the place one level further in."""
        return dataclasses.replace(self, depth=self.depth + 1, **changes)


def kinds(place: Place, among: tuple[Kind, ...]) -> list[Kind]:
    """Return the kinds of groups that functions of a colour have, on this Python."""
    # Branches of our own groups are looked through one after the other: what stands behind tasks waits for them.
    has_tasks = place.is_async and not place.in_own_group
    able: list[Kind] = [kind for kind in among if has_tasks or kind in FOR_DEF]
    return [kind for kind in able if kind != "task group" or sys.version_info >= (3, 11)]


@st.composite
def works(draw: st.DrawFn, place: Place) -> Work:
    """A step that works at once, fails a few times, or for good."""
    value, catches = draw(st.integers(0, 5)), draw(st.booleans())
    choices = ["never", "never", "never", "some", "for good"]
    # What is about the whole function leaves it through its `finally` blocks, whose steps are then executed early.
    choices += [] if place.in_guard else ["stop"]
    outcome = draw(st.sampled_from(choices))
    if outcome == "stop":
        return Work(draw(names), value, 99, "stop", catches)
    how: How = "error" if place.in_guard else draw(st.sampled_from(["error", "later"]))
    if outcome == "some" and place.retries:
        return Work(draw(names), value, draw(st.integers(1, place.retries)), how, catches)
    if outcome == "for good":
        return Work(draw(names), value, 99, how, catches)
    return Work(draw(names), value, 0, "error", catches)


@st.composite
def waits(draw: st.DrawFn, place: Place) -> Wait:
    """A wait for what comes from outside, or for what the function sends."""
    event = draw(st.sampled_from((*EVENTS, OWN_EVENT) if place.tells_itself and not place.in_branch else EVENTS))
    return Wait(draw(names), event, draw(seconds), event == OWN_EVENT or draw(st.booleans()))


def invokes(place: Place) -> st.SearchStrategy[Invoke]:
    """A call of a function behind this one."""
    limit = st.none() | seconds if place.timed else st.none()
    catches = st.just(True) if place.in_branch else st.booleans()
    return st.builds(Invoke, names, st.integers(place.number + 1, FUNCTIONS - 1), limit, catches)


def guards(place: Place) -> st.SearchStrategy[Guard]:
    """A `try`."""
    inside = place.inside(in_guard=True)
    return st.builds(Guard, bodies(inside), st.just(()) | bodies(inside, 2), st.booleans())


def statements(place: Place) -> st.SearchStrategy[Any]:
    """Anything that can be written in a place; what is simple is more likely."""
    choices: list[st.SearchStrategy[Any]] = [works(place)] * 3
    choices += [st.builds(Sleep, names, seconds), st.builds(Send, names)]
    if place.timed:
        choices += [waits(place)] * 2
    if place.number < FUNCTIONS - 1:
        choices.append(invokes(place))
    # Failures of code and of the step behind it add up, unless a fault used one of them up.
    if not place.in_branch and not place.in_guard and place.timed:
        choices.append(st.builds(Break, names, st.integers(0, place.retries)))
    if place.depth < 3:
        inside = place.inside()
        deeper = [
            lambda: st.builds(Choose, bodies(inside), bodies(inside)),
            lambda: st.builds(Repeat, st.integers(0, 3), bodies(inside, 2)),
            lambda: guards(place),
            lambda: groups(place),
        ]
        choices += [st.deferred(make) for make in (*deeper, deeper[-1])]
    return st.sampled_from(range(len(choices))).flatmap(choices.__getitem__)


@st.composite
def groups(draw: st.DrawFn, place: Place) -> Together:
    """Branches. Where the order counts each begins with a sleep of its own length, and none fails."""
    among = ORDERED if place.timed and place.depth == 0 and draw(st.booleans()) else ANYHOW
    kind = draw(st.sampled_from(kinds(place, among)))
    if kind in ORDERED:
        lengths = draw(st.permutations([20, 3_000, 400_000]))[: draw(st.integers(1, 3))]
        works_at_once = st.builds(Work, names, st.integers(0, 5))
        tails = [draw(st.lists(works_at_once, max_size=2)) for _ in lengths]
        return Together(kind, tuple((Sleep("s", length), *tail) for length, tail in zip(lengths, tails, strict=True)))
    inside = place.inside(in_branch=True, in_guard=True, in_own_group=place.in_own_group or kind in FOR_DEF)
    branches = draw(st.lists(bodies(inside, 2, 0), max_size=3))
    if kind == "task group" and any(isinstance(one, Guard) and one.clean_up for body in branches for one in walk(body)):
        kind = "gather"  # what a cancelled branch still does depends on how far it was
    return Together(kind, tuple(branches))


def bodies(place: Place, longest: int = 3, shortest: int = 1) -> st.SearchStrategy[tuple[Any, ...]]:
    """Statements one after the other."""
    return st.lists(statements(place), min_size=shortest, max_size=longest).map(tuple)


@st.composite
def programs(draw: st.DrawFn, number: int, *, timed: bool = True, tells_itself: bool = True) -> Program:
    """A function; see `apps`."""
    is_async, retries = draw(st.booleans()), draw(st.integers(0, 2))
    place = Place(number, is_async, retries, timed=timed, tells_itself=tells_itself)
    return Program(number, is_async, retries, draw(bodies(place, 5, 2)))


def apps(*, timed: bool = True, tells_itself: bool = True) -> st.SearchStrategy[tuple[Program, ...]]:
    """Functions that invoke those behind them.

    Without `timed`, nothing in them depends on how long something takes; without `tells_itself` they do not wait for
    what they send.
    """
    return st.tuples(*(programs(number, timed=timed, tells_itself=tells_itself) for number in range(FUNCTIONS)))


def walk(body: tuple[Any, ...]) -> list[Any]:
    """Return all statements in a body, at any depth."""
    found: list[Any] = []
    for one in body:
        found.append(one)
        match one:
            case Choose():
                found += walk(one.then) + walk(one.otherwise)
            case Repeat():
                found += walk(one.body)
            case Guard():
                found += walk(one.body) + walk(one.clean_up)
            case Together():
                found += [inner for branch in one.branches for inner in walk(branch)]
            case _:
                pass
    return found

"""The closures that a compiled expression consists of: each takes a scope and gives a value (executor.md 3.3)."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from stepserve_core.executor.expression_functions import Function
from stepserve_core.executor.expression_operators import Operator, elements, select, truthy
from stepserve_core.executor.expression_values import (
    MISSING,
    ExpressionFailedError,
    MapLiteral,
    Scope,
    class_of,
    from_json,
    kind_of,
)

Evaluator = Callable[[Scope], Any]
Macro = Callable[..., Evaluator]
"""Takes the container's evaluator, the slot of the variable, the size of a round, and the bodies' evaluators."""


def constant(value: Any) -> Evaluator:
    """Return the evaluator of a literal."""
    return lambda _: value


def event_path(keys: Sequence[Any]) -> Evaluator:
    """Return the evaluator of event.a.b with constant keys; in a bound expression a missing one is null."""
    if not keys:
        return lambda scope: scope.event

    def path(scope: Scope) -> Any:
        if scope.bound_event is None:
            return _follow(scope.event, keys)
        value = _follow(scope.bound_event, keys)
        return None if value is MISSING else value

    return path


def event_presence(keys: Sequence[Any]) -> Evaluator:
    """Return the evaluator of has(event.a.b) with constant keys, which a bound expression decides beforehand."""
    return lambda scope: _follow(scope.event if scope.bound_event is None else scope.bound_event, keys) is not MISSING


def awaited_path(keys: Sequence[Any]) -> Evaluator:
    """Return the evaluator of async.a.b with constant keys."""
    return lambda scope: _follow(scope.awaited, keys)


def local_path(slot: int, keys: Sequence[Any]) -> Evaluator:
    """Return the evaluator of a path that starts at the variable of a macro."""

    def path(scope: Scope) -> Any:
        value = scope.locals[slot]
        for key in keys:
            value = select(value, key)
        return value

    return path


def _follow(value: Any, keys: Sequence[Any]) -> Any:
    """Follow a path through JSON; the same as `select` key by key, only faster."""
    for key in keys:
        value = value.get(key, MISSING) if class_of(value) is dict else select(value, key)
    return value if class_of(value) is not int else from_json(value)


def selection(container: Evaluator, key: Evaluator) -> Evaluator:
    """Return the evaluator of container[key] and container.key."""
    return lambda scope: select(container(scope), key(scope))


def presence(path: Evaluator) -> Evaluator:
    """Return the evaluator of has(path)."""
    return lambda scope: path(scope) is not MISSING


def prefixed(operator: Callable[[Any], Any], operand: Evaluator) -> Evaluator:
    """Return the evaluator of !operand and -operand."""
    return lambda scope: operator(operand(scope))


def chain(first: Evaluator, operators: Sequence[Operator], rest: Sequence[Evaluator]) -> Evaluator:
    """Return the evaluator of a chain of binary operators of one precedence, from the left."""
    if len(rest) == 1:
        operator, second = operators[0], rest[0]
        return lambda scope: operator(first(scope), second(scope), scope)

    def evaluate(scope: Scope) -> Any:
        value = first(scope)
        for operator, operand in zip(operators, rest, strict=True):
            value = operator(value, operand(scope), scope)
        return value

    return evaluate


def any_of(operands: Sequence[Evaluator]) -> Evaluator:
    """Return the evaluator of a || b: the first operand that counts as true, else the last."""
    *early, last = operands

    def evaluate(scope: Scope) -> Any:
        for operand in early:
            value = attempt(operand, scope)
            if truthy(value):
                return value
        return last(scope)

    return evaluate


def all_of(operands: Sequence[Evaluator]) -> Evaluator:
    """Return the evaluator of a && b: the first operand that counts as false, else the last.

    An operand that fails counts as false, and is then the result.
    """
    *early, last = operands

    def evaluate(scope: Scope) -> Any:
        for operand in early:
            value = operand(scope)
            if not truthy(value):
                return value
        return last(scope)

    return evaluate


def conditional(condition: Evaluator, positive: Evaluator, negative: Evaluator) -> Evaluator:
    """Return the evaluator of condition ? positive : negative."""
    return lambda scope: positive(scope) if truthy(attempt(condition, scope)) else negative(scope)


def attempt(operand: Evaluator, scope: Scope) -> Any:
    """Evaluate an operand that counts as false when it fails."""
    try:
        return operand(scope)
    except ExpressionFailedError:
        if scope.steps_left < 0:
            raise
        return False


def list_of(items: Sequence[Evaluator]) -> Evaluator:
    """Return the evaluator of [a, b]."""
    return lambda scope: tuple([item(scope) for item in items])


def map_of(entries: Sequence[tuple[Evaluator, Evaluator]]) -> Evaluator:
    """Return the evaluator of {a: b}."""
    return lambda scope: MapLiteral([(key(scope), value(scope)) for key, value in entries])


def invocation(name: str, function: Function, arguments: Sequence[Evaluator]) -> Evaluator:
    """Return the evaluator of a function or method; over a missing value it gives false, size() gives 0."""
    call, overloads = function.call, function.overloads
    of_missing = 0 if name == "size" else False

    def evaluate(scope: Scope) -> Any:
        values = [argument(scope) for argument in arguments]
        for value in values:
            if value is MISSING:
                return of_missing
        if overloads is not None and tuple(map(class_of, values)) not in overloads:
            kinds = ", ".join(map(kind_of, values))
            raise ExpressionFailedError(f"{name}() cannot be used on ({kinds})")
        scope.weigh(*values)
        return call(*values, scope) if function.counts_steps else call(*values)

    return evaluate


def _rounds(container: Any, slot: int, size: int, scope: Scope) -> Iterator[Any]:
    """Put one element after the other into the variable of a macro, counting the work of each round."""
    for element in elements(container, scope):
        scope.spend(size)
        scope.locals[slot] = element
        yield element


def _macro(run: Callable[[Iterator[Any], Scope, Sequence[Evaluator]], Any]) -> Macro:
    """Make a macro of what it does with its rounds; over a missing value it gives false, as every function does."""

    def build(container: Evaluator, slot: int, size: int, *bodies: Evaluator) -> Evaluator:
        def evaluate(scope: Scope) -> Any:
            value = container(scope)
            return False if value is MISSING else run(_rounds(value, slot, size, scope), scope, bodies)

        return evaluate

    return build


def _all(rounds: Iterator[Any], scope: Scope, bodies: Sequence[Evaluator]) -> bool:
    return all(truthy(bodies[0](scope)) for _ in rounds)


def _exists(rounds: Iterator[Any], scope: Scope, bodies: Sequence[Evaluator]) -> bool:
    return any(truthy(attempt(bodies[0], scope)) for _ in rounds)


def _exists_one(rounds: Iterator[Any], scope: Scope, bodies: Sequence[Evaluator]) -> bool:
    return sum(truthy(bodies[0](scope)) for _ in rounds) == 1


def _filter(rounds: Iterator[Any], scope: Scope, bodies: Sequence[Evaluator]) -> Any:
    return tuple([element for element in rounds if truthy(bodies[0](scope))])


def _map(rounds: Iterator[Any], scope: Scope, bodies: Sequence[Evaluator]) -> Any:
    *conditions, transform = bodies
    return tuple([transform(scope) for _ in rounds if all(truthy(condition(scope)) for condition in conditions)])


MACROS: Mapping[tuple[str, int], Macro] = {
    ("all", 2): _macro(_all),
    ("exists", 2): _macro(_exists),
    ("exists_one", 2): _macro(_exists_one),
    ("filter", 2): _macro(_filter),
    ("map", 2): _macro(_map),
    ("map", 3): _macro(_map),
}
MACRO_NAMES = sorted({name for name, _ in MACROS})

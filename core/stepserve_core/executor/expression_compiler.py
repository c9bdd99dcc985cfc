"""From the syntax tree of an expression to closures that evaluate it (executor.md 3.3). No I/O.

The tree is walked once. Every node becomes a function of the scope, and what is known beforehand (constant paths,
the number of arguments, constant patterns) is decided here, so that an evaluation only calculates.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from stepserve_core.executor import expression_evaluators as evaluators
from stepserve_core.executor.expression_arithmetic import invert, negate
from stepserve_core.executor.expression_evaluators import Evaluator
from stepserve_core.executor.expression_functions import (
    FUNCTIONS,
    METHODS,
    Function,
    compile_pattern,
    json_parse,
)
from stepserve_core.executor.expression_operators import OPERATORS
from stepserve_core.executor.expression_syntax import MAX_DEPTH, literal_value, parse, position_of
from stepserve_core.executor.expression_values import TYPE_NAMES, ExpressionInvalidError, class_of

if TYPE_CHECKING:
    from lark import Token, Tree

    Node = Tree[Token]

VARIABLES = ("event", "async")
SEARCH_VARIABLES = ("event", "output", "error")
"""What searches of runs know (executor.md 13.5); their values are the parts of `awaited`."""
_KNOWN_FUNCTIONS = ", ".join((*FUNCTIONS, "has"))
_KNOWN_METHODS = ", ".join((*METHODS, *evaluators.MACRO_NAMES))


class EventPath(NamedTuple):
    """A part of an expression that reads nothing but the event: where it stands, and what it gives."""

    start: int
    end: int
    keys: Sequence[str | int]
    evaluate: Evaluator


class Program(NamedTuple):
    """A compiled expression."""

    evaluate: Evaluator
    locals_count: int
    event_paths: Sequence[EventPath]


def compile_program(text: str, variables: Sequence[str] = VARIABLES) -> Program:
    """Compile `text`, which may name `variables`.

    Raises:
        ExpressionInvalidError: not an expression; the message says where and what is allowed.
    """
    compiler = _Compiler(variables)
    evaluate = compiler.compile(parse(text))
    return Program(evaluate, compiler.locals_count, tuple(compiler.event_paths))


class _Compiler:
    """One walk over one tree."""

    def __init__(self, variables: Sequence[str]) -> None:
        self._variables = variables
        self.locals_count = 0
        self.event_paths: list[EventPath] = []
        self._local_slots: dict[str, int] = {}
        self._depth = 0
        self._nodes = 0
        self._kinds: Mapping[str, Callable[[Node], Evaluator]] = {
            "literal": self._literal,
            "group": self._group,
            "name": self._name,
            "member": self._member,
            "call": self._call,
            "prefixed": self._prefixed,
            "relation": self._chain,
            "addition": self._chain,
            "multiplication": self._chain,
            "any_of": self._any_of,
            "all_of": self._all_of,
            "conditional": self._conditional,
            "list": self._list,
            "map": self._map,
        }

    def compile(self, node: Node) -> Evaluator:
        """Return the evaluator of `node`.

        Raises:
            ExpressionInvalidError: an unknown name, a wrong number of arguments, too deep a nesting.
        """
        self._nodes += 1
        self._depth += 1
        if self._depth > MAX_DEPTH:
            raise ExpressionInvalidError(f"an expression may be nested {MAX_DEPTH} levels deep at most")
        evaluate = self._kinds[node.data](node)
        self._depth -= 1
        return evaluate

    def _compile_all(self, nodes: Sequence[Any]) -> list[Evaluator]:
        return [self.compile(node) for node in nodes]

    def _literal(self, node: Node) -> Evaluator:
        return evaluators.constant(literal_value(_token(node)))

    def _group(self, node: Node) -> Evaluator:
        return self.compile(_child(node))

    def _name(self, node: Node) -> Evaluator:
        name = str(_token(node))
        if name not in self._local_slots and name not in self._variables:
            if name in TYPE_NAMES:
                return evaluators.constant(TYPE_NAMES[name])
            raise ExpressionInvalidError(
                f"unknown variable {name!r} {position_of(node)}; expressions know {' and '.join(self._variables)}"
                ", and text stands in quotes"
            )
        return self._path(name, [])

    def _path(self, name: str, keys: list[Any]) -> Evaluator:
        if name in self._local_slots:
            return evaluators.local_path(self._local_slots[name], keys)
        if name == "event":
            return evaluators.event_path(keys)
        return evaluators.awaited_path(keys if name == "async" else [name, *keys])

    def _member(self, node: Node) -> Evaluator:
        first, suffixes = _child(node), _children(node)[1:]
        evaluate, count = self._constant_path(first, suffixes)
        if evaluate is None:
            evaluate = self.compile(first)
        self._depth += len(suffixes) - count
        for suffix in suffixes[count:]:
            evaluate = self._suffix(evaluate, suffix)
        self._depth -= len(suffixes) - count
        return evaluate

    def _constant_path(self, first: Node, suffixes: Sequence[Node]) -> tuple[Evaluator | None, int]:
        """Compile a variable and the constant keys after it in one piece; also say how many keys these are."""
        if first.data != "name" or (name := str(_token(first))) not in (*self._local_slots, *self._variables):
            return None, 0
        keys = list[Any]()
        for suffix in suffixes:
            key = _constant_key(suffix)
            if key is None:
                break
            keys.append(key)
        evaluate = self._path(name, keys)
        if keys and name == "event" and name not in self._local_slots:
            end = suffixes[len(keys) - 1].meta.end_pos
            self.event_paths.append(EventPath(first.meta.start_pos, end, keys, evaluate))
        return evaluate, len(keys)

    def _suffix(self, container: Evaluator, suffix: Node) -> Evaluator:
        self._nodes += 1
        if suffix.data == "select":
            return evaluators.selection(container, evaluators.constant(str(_token(suffix))))
        if suffix.data == "index":
            return evaluators.selection(container, self.compile(_child(suffix)))
        name, arguments = str(_token(suffix)), _children(suffix)[1:]
        if macro := evaluators.MACROS.get((name, len(arguments))):
            return self._macro(macro, container, suffix)
        if name in evaluators.MACRO_NAMES:
            counts = " or ".join(str(count - 1) for macro, count in evaluators.MACROS if macro == name)
            raise ExpressionInvalidError(f"{name}() {position_of(suffix)} takes a name and {counts} expression(s)")
        return self._invocation(METHODS, suffix, [container, *self._compile_all(arguments)])

    def _call(self, node: Node) -> Evaluator:
        name, arguments = str(_token(node)), _children(node)[1:]
        if name == "has":
            return self._has(node, arguments)
        if name == "json_parse" and len(arguments) == 1 and isinstance(text := _constant_of(arguments[0]), str):
            # A bound expression carries the lists and maps of its event in this form.
            return evaluators.constant(json_parse(text))
        return self._invocation(FUNCTIONS, node, self._compile_all(arguments))

    def _invocation(self, functions: Mapping[str, Function], node: Node, arguments: list[Evaluator]) -> Evaluator:
        name = str(_token(node))
        if name not in functions:
            is_method = functions is METHODS
            what, known = ("method", _KNOWN_METHODS) if is_method else ("function", _KNOWN_FUNCTIONS)
            raise ExpressionInvalidError(f"unknown {what} {name!r} {position_of(node)}; there are {known}")
        function = functions[name]
        if len(arguments) not in function.arities:
            counts = " or ".join(str(count - (functions is METHODS)) for count in sorted(function.arities))
            raise ExpressionInvalidError(f"{name}() {position_of(node)} takes {counts} argument(s)")
        if name == "matches" and isinstance(pattern := _constant_of(_children(node)[-1]), str):
            compile_pattern(pattern)
        return evaluators.invocation(name, function, arguments)

    def _has(self, node: Node, arguments: Sequence[Node]) -> Evaluator:
        """Compile has(path); as a whole it reads only the event where the path does."""
        suffixes = _children(arguments[0])[1:] if len(arguments) == 1 and arguments[0].data == "member" else []
        if not suffixes or suffixes[-1].data != "select":
            raise ExpressionInvalidError(f"has() {position_of(node)} takes one path, such as has(event.data.name)")
        known_paths = len(self.event_paths)
        path = self.compile(arguments[0])
        new_paths = self.event_paths[known_paths:]
        if [path.end for path in new_paths] != [arguments[0].meta.end_pos]:
            return evaluators.presence(path)
        keys = new_paths[0].keys
        evaluate = evaluators.event_presence(keys)
        self.event_paths[known_paths:] = [EventPath(node.meta.start_pos, node.meta.end_pos, keys, evaluate)]
        return evaluate

    def _macro(self, macro: evaluators.Macro, container: Evaluator, suffix: Node) -> Evaluator:
        variable, *bodies = _children(suffix)[1:]
        if variable.data != "name":
            raise ExpressionInvalidError(
                f"the first argument of {_token(suffix)}() {position_of(suffix)} is a new name, "
                "as in event.data.items.exists(item, item.price > 10)"
            )
        name = str(_token(variable))
        slot, hidden, nodes = self.locals_count, self._local_slots.get(name), self._nodes
        self.locals_count += 1
        self._local_slots[name] = slot
        compiled = self._compile_all(bodies)
        if hidden is None:
            del self._local_slots[name]
        else:
            self._local_slots[name] = hidden
        return macro(container, slot, self._nodes - nodes, *compiled)

    def _prefixed(self, node: Node) -> Evaluator:
        *signs, operand = _children(node)
        if signs[-1] == "-" and _is_number(operand):
            # One piece, because -9223372036854775808 fits an int and its positive does not.
            signs.pop()
            evaluate = evaluators.constant(literal_value(_token(operand), negative=True))
        else:
            evaluate = self.compile(operand)
        for sign in reversed(signs):
            evaluate = evaluators.prefixed(negate if sign == "-" else invert, evaluate)
        return evaluate

    def _chain(self, node: Node) -> Evaluator:
        first, *rest = _children(node)
        self._nodes += len(rest)
        operators = [OPERATORS[str(sign)] for sign in rest[::2]]
        return evaluators.chain(self.compile(first), operators, self._compile_all(rest[1::2]))

    def _any_of(self, node: Node) -> Evaluator:
        return evaluators.any_of(self._compile_all(_children(node)))

    def _all_of(self, node: Node) -> Evaluator:
        return evaluators.all_of(self._compile_all(_children(node)))

    def _conditional(self, node: Node) -> Evaluator:
        return evaluators.conditional(*self._compile_all(_children(node)))

    def _list(self, node: Node) -> Evaluator:
        return evaluators.list_of(self._compile_all(_children(node)))

    def _map(self, node: Node) -> Evaluator:
        entries = [self._compile_all(_children(entry)) for entry in _children(node)]
        return evaluators.map_of([(key, value) for key, value in entries])


def _children(node: Node) -> list[Any]:
    return list(node.children)


def _child(node: Node) -> Node:
    first: Node = _children(node)[0]
    return first


def _token(node: Node) -> Token:
    first: Token = _children(node)[0]
    return first


def _is_number(node: Node) -> bool:
    return node.data == "literal" and _token(node).type in ("INT", "FLOAT")


def _constant_of(node: Node) -> Any:
    return literal_value(_token(node)) if node.data == "literal" else None


def _constant_key(suffix: Node) -> str | int | None:
    """Return the key that a suffix of a path always reads: .name, ["name"] or [0]."""
    if suffix.data == "select":
        return str(_token(suffix))
    key = _constant_of(_child(suffix)) if suffix.data == "index" else None
    return key if class_of(key) in (str, int) else None

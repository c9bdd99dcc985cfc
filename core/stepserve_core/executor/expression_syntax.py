"""The grammar of expressions: from text to a syntax tree, and from a literal's text to its value (executor.md 3.3).

The grammar follows the public definition of the Common Expression Language; lark parses it. Messages, which people
without CEL meet first, are ours.
"""

from __future__ import annotations

import functools
import re
from typing import TYPE_CHECKING, Any

from stepserve_core.executor.expression_arithmetic import checked_int, checked_uint
from stepserve_core.executor.expression_values import ExpressionFailedError, ExpressionInvalidError

if TYPE_CHECKING:
    from lark import Lark, Token, Tree
    from lark.exceptions import UnexpectedInput

MAX_LENGTH = 4 * 1024 * 1024
"""Characters. Only a bound expression comes near it: it carries values of an event of up to 3 MiB."""
MAX_TOKENS = 2000
MAX_DEPTH = 64
"""Levels of nesting: brackets, calls, conditions in conditions."""


# Text in quotes, plain or raw. Written without nested repetition, so that a missing quote costs one pass at most.
_QUOTED = "|".join(
    rf"{quote * 3}[^{quote}\\]*(?:(?:\\(?s:.)|{quote}(?!{quote * 2}))[^{quote}\\]*)*{quote * 3}"
    rf"|{quote}[^{quote}\\\r\n]*(?:\\.[^{quote}\\\r\n]*)*{quote}"
    for quote in "\"'"
)
_RAW = "|".join(
    rf"{quote * 3}[^{quote}]*(?:{quote}(?!{quote * 2})[^{quote}]*)*{quote * 3}|{quote}[^{quote}\r\n]*{quote}"
    for quote in "\"'"
)
# Repetition, not recursion, wherever the language chains (a || b || c): a tree is only as deep as its nesting.
_GRAMMAR = rf"""
?expression: any_of
    | any_of "?" any_of ":" expression -> conditional
?any_of: all_of ("||" all_of)*
?all_of: relation ("&&" relation)*
?relation: addition ((COMPARISON | IN) addition)*
?addition: multiplication ((PLUS | MINUS) multiplication)*
?multiplication: prefixed (FACTOR prefixed)*
?prefixed: (NOT | MINUS)* member
?member: primary (select | method | index)*
select: "." NAME
method: "." NAME "(" _expressions? ")"
index: "[" expression "]"
primary: "."? NAME -> name
    | "."? NAME "(" _expressions? ")" -> call
    | "(" expression ")" -> group
    | "[" (_expressions ","?)? "]" -> list
    | "{{" (_entries ","?)? "}}" -> map
    | (INT | UINT | FLOAT | TEXT | TRUE | FALSE | NULL) -> literal
entry: expression ":" expression
_expressions: expression | _expressions "," expression
_entries: entry | _entries "," entry

COMPARISON: /[<>]=?|[=!]=/
IN: "in"
PLUS: "+"
MINUS: "-"
FACTOR: /[*\/%]/
NOT: "!"
TRUE: "true"
FALSE: "false"
NULL: "null"
NAME: /[_a-zA-Z][_a-zA-Z0-9]*/
INT.1: /0[xX][0-9a-fA-F]+|[0-9]+/
UINT.2: /(0[xX][0-9a-fA-F]+|[0-9]+)[uU]/
FLOAT.3: /[0-9]*\.[0-9]+([eE][+-]?[0-9]+)?|[0-9]+[eE][+-]?[0-9]+/
TEXT.4: /[bB]?(?:{_QUOTED})|(?:[rR][bB]?|[bB][rR])(?:{_RAW})/
IGNORED: /[ \t\r\n\f]+|\/\/[^\n]*/
%ignore IGNORED
"""


@functools.cache
def _parser() -> Lark:
    # Importing lark and building the tables takes longer than everything else here, and many servers need neither.
    from lark import Lark  # noqa: PLC0415  # lazy, see above

    return Lark(_GRAMMAR, parser="lalr", start="expression", propagate_positions=True, maybe_placeholders=False)


def parse(text: str) -> Tree[Token]:
    """Return the syntax tree of `text`.

    Raises:
        ExpressionInvalidError: not an expression, or longer than we take.
    """
    from lark.exceptions import UnexpectedInput  # noqa: PLC0415  # lazy, see above

    if len(text) > MAX_LENGTH:
        raise ExpressionInvalidError(f"an expression may have {MAX_LENGTH} characters at most")
    parser: Any = _parser()
    session = parser.parse_interactive(text)
    try:
        for count, _ in enumerate(session.iter_parse()):
            if count >= MAX_TOKENS:
                raise ExpressionInvalidError(f"an expression may have {MAX_TOKENS} names, values and signs at most")
        tree: Tree[Token] = session.feed_eof()
    except UnexpectedInput as error:
        raise ExpressionInvalidError(_explain(text, error, session.accepts())) from None
    return tree


_HINTS = (
    (re.compile(r"={3}|!=="), "write == or != to compare"),
    (re.compile(r"(?<![<>=!])=(?!=)"), "write == to compare"),
    (re.compile(r"and\b", re.IGNORECASE), "write && for 'and'"),
    (re.compile(r"or\b", re.IGNORECASE), "write || for 'or'"),
    (re.compile(r"[&|]"), "write && or ||"),
    (re.compile("[\"'`]"), "text stands between two \" or two ' on one line"),
)
_CLOSING = {"RPAR": "')'", "RSQB": "']'", "RBRACE": "'}'", "COLON": "':'", "COMMA": "','"}


def _explain(text: str, error: UnexpectedInput, expected: set[str]) -> str:
    """Say where the text stops being an expression, and what could stand there."""
    position = error.pos_in_stream
    if position is None or getattr(getattr(error, "token", None), "type", "") == "$END":
        where, hint = "the expression ends too early", ""
    else:
        line = text.count("\n", 0, position) + 1
        column = position - text.rfind("\n", 0, position)
        where = f"the expression is not valid at line {line}, column {column}, at {text[position : position + 20]!r}"
        # '===' is reported at its third sign: the two before it were read as an operator.
        starts = (position, max(0, position - 2))
        hint = next((f"; {words}" for sign, words in _HINTS for start in starts if sign.match(text, start)), "")
    if "INT" in expected:
        return f"{where}; expected a value, a name or '('{hint}"
    if "NAME" in expected:
        return f"{where}; expected a name{hint}"
    closing = "".join(f", {sign}" for kind, sign in _CLOSING.items() if kind in expected)
    end = " or the end" if "$END" in expected else ""
    return f"{where}; expected an operator such as == && || in{closing}{end}{hint}"


def position_of(tree: Tree[Token]) -> str:
    """Return where `tree` stands, for messages."""
    return f"at line {tree.meta.line}, column {tree.meta.column}"


_ESCAPE = re.compile(
    r"\\(?:(?P<plain>[abfnrtv\\?\"'`])|[xX](?P<byte>[0-9a-fA-F]{2})|u(?P<short>[0-9a-fA-F]{4})"
    r"|U(?P<long>[0-9a-fA-F]{8})|(?P<octal>[0-3][0-7]{2})|(?P<bad>))",
)
_PLAIN_ESCAPES = dict(zip("abfnrtv\\?\"'`", "\a\b\f\n\r\t\v\\?\"'`", strict=True))
_CONSTANTS = {"TRUE": True, "FALSE": False, "NULL": None}


def literal_value(token: Token, *, negative: bool = False) -> Any:
    """Return the value that the literal `token` means, `negative` for a number after a minus sign.

    Raises:
        ExpressionInvalidError: a number too large for its type, or an unknown escape.
    """
    if token.type in _CONSTANTS:
        return _CONSTANTS[token.type]
    if token.type == "TEXT":
        return _text_value(token)
    if token.type == "FLOAT":
        return -float(token) if negative else float(token)
    digits = token.rstrip("uU")
    if len(digits) > 20:
        raise ExpressionInvalidError(f"{digits[:20]}… does not fit an int; write it as a double, with a point")
    number = int(digits, 16) if digits[:2] in ("0x", "0X") else int(digits)
    try:
        return checked_uint(number) if token.type == "UINT" else checked_int(-number if negative else number)
    except ExpressionFailedError:
        raise ExpressionInvalidError(f"{token} does not fit its type") from None


def _text_value(token: Token) -> str | bytes:
    quotes = re.search("[\"']", token)
    start = quotes.start() if quotes else 0
    prefix, body = token[:start].lower(), token[start:]
    width = 3 if len(body) >= 6 and body[:3] in ('"""', "'''") else 1
    body = str(body[width:-width])
    if "b" not in prefix:
        return body if "r" in prefix else _ESCAPE.sub(_unescape, body)
    if "r" in prefix:
        return body.encode("utf-8", "surrogatepass")
    pieces, end = list[bytes](), 0
    for match in _ESCAPE.finditer(body):
        pieces.append(body[end : match.start()].encode("utf-8", "surrogatepass"))
        code = match["byte"] or match["octal"]
        # In bytes \x and octal escapes mean bytes, in text they mean code points.
        is_byte = code is not None
        pieces.append(bytes([ord(_unescape(match))]) if is_byte else _unescape(match).encode("utf-8", "surrogatepass"))
        end = match.end()
    return b"".join([*pieces, body[end:].encode("utf-8", "surrogatepass")])


def _unescape(match: re.Match[str]) -> str:
    if match["plain"]:
        return _PLAIN_ESCAPES[match["plain"]]
    if match["octal"]:
        return chr(int(match["octal"], 8))
    digits = match["byte"] or match["short"] or match["long"]
    if not digits or int(digits, 16) > 0x10FFFF:
        shown = match.string[match.start() : match.start() + 10]
        raise ExpressionInvalidError(f"{shown!r} is not an escape; write \\\\ for a backslash, or r'…' for raw text")
    return chr(int(digits, 16))

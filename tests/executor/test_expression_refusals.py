"""What is no expression, what fails, and what takes too long (executor.md 3.3)."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stepserve_core.executor.expressions import ExpressionFailedError, ExpressionInvalidError, compile_expression
from tests.executor.expression_samples import AWAITED, EVENT


@pytest.mark.parametrize(
    "text",
    [
        "1 / 0",
        "1 % 0",
        "5.5 % 2.0",
        "9223372036854775807 + 1",
        "-(-9223372036854775807 - 1)",
        "1u - 2u",
        "int(1e30)",
        "int('1_000')",
        "int(' 1')",
        "int(double('NaN'))",
        "uint(-1)",
        "double('x')",
        "bool('yes')",
        "string(b'\\xff')",
        "string([1])",
        "'a' < 1",
        "[1] < [2]",
        "'a' - 'b'",
        "'a' * 2",
        "true + true",
        "'a' + [1]",
        "{} + {}",
        "-'a'",
        "-1u - -1u",
        "!'a'",
        "!null",
        "'a' in 'abc'",
        "size(null)",
        "size(5)",
        "event.data.id.contains('4')",
        "['a'].contains('a')",
        "'a'.contains(1)",
        "lowercase(1)",
        "'abc'.map(c, c)",
        "[1].all(x, x < 'a')",
        "{[1]: 1}",
        "{1.5: 1}",
        "{'a': 1, 'a': 2}",
        "event.data.name.matches('(' + 'x')",
        "timestamp('2026-01-01')",
        "timestamp('2026-13-01T00:00:00Z')",
        "timestamp('2026-01-01T00:00:00+25:00')",
        "timestamp('9999-12-31T23:59:59-01:00')",
        "timestamp(999999999999999)",
        "timestamp('9999-12-31T23:00:00Z') + duration('2h')",
        "timestamp(0).getHours('Mars/Base')",
        "timestamp('9999-12-31T23:59:59Z').getHours('+10:00')",
        "duration('soon')",
        "duration('99999999999w')",
        "now_plus('999999w')",
        "now_plus('later')",
        "date('1999-12-31')",
        "date('Jan 02 03:04:05')",
        "date('tomorrow')",
        "date(0)",
        "date(double('inf'))",
        "false || 1/0 == 1",
        "1/0 == 1 && true",
    ],
)
def test_what_cannot_be_evaluated_fails(text: str) -> None:
    expression = compile_expression(text)

    with pytest.raises(ExpressionFailedError) as caught:
        expression.evaluate(EVENT, AWAITED)

    assert str(caught.value)


@pytest.mark.parametrize(
    ("text", "part_of_message"),
    [
        ("", "ends too early; expected a value"),
        ("event.data.a = 1", "line 1, column 14, at '= 1'"),
        ("event.data.a = 1", "write == to compare"),
        ("event.data.a === 1", "write == or != to compare"),
        ("true and false", "write && for 'and'"),
        ("true OR false", "write || for 'or'"),
        ("true & false", "write && or ||"),
        ("true &&\n  && false", "line 2, column 3"),
        ("event.", "expected a name"),
        ("(event.x", "expected an operator such as == && || in, ')'"),
        ("[1, 2", "']'"),
        ("event.x 5", "or the end"),
        ("'abc", "text stands between"),
        ("'a\\q'", "is not an escape"),
        ("'\\U00110000'", "is not an escape"),
        ("9223372036854775808", "does not fit"),
        ("18446744073709551616u", "does not fit"),
        ("1" * 5000, "does not fit an int"),
        ("data.x == 1", "unknown variable 'data' at line 1, column 1; expressions know event and async"),
        ("event.x == abc", "unknown variable 'abc' at line 1, column 12"),
        ("vars.a", "unknown variable"),
        ("foo(1)", "unknown function 'foo'"),
        ("event.x.trim() == ''", "unknown method 'trim' at line 1, column 8"),
        ("event.x.lowercase()", "unknown method 'lowercase'"),
        ("size()", "size() at line 1, column 1 takes 1 argument"),
        ("'a'.contains()", "contains() at line 1, column 4 takes 1 argument"),
        ("[1].exists(x, x, x)", "exists() at line 1, column 4 takes a name and 1 expression"),
        ("[1].exists('x', true)", "is a new name"),
        ("x && [1].exists(x, x == 1)", "unknown variable 'x'"),
        ("[1].exists(x, x == 1) && x", "unknown variable 'x'"),
        ("has(event)", "takes one path"),
        ("has(event['x'])", "takes one path"),
        ("has(event.x, 1)", "takes one path"),
        ("'a'.matches('(')", "is not a regular expression"),
        ("'a'.matches('(?=a)')", "is not a regular expression"),
        ("'a'.matches('" + "a" * 1001 + "')", "1000 characters at most"),
        ("a" + "||a" * 2000, "2000 names, values and signs"),
        ("(" * 70 + "1" + ")" * 70, "nested 64 levels deep"),
        ("true ? 1 : " * 70 + "2", "nested 64 levels deep"),
        ("[0]" * 70, "nested 64 levels deep"),
        (" " * 5_000_000, "characters at most"),
    ],
)
def test_what_does_not_compile_is_refused_with_the_place_and_a_way_out(text: str, part_of_message: str) -> None:
    with pytest.raises(ExpressionInvalidError) as caught:
        compile_expression(text)

    assert part_of_message in str(caught.value)


@pytest.mark.parametrize(
    "text",
    [
        "event.data.all.exists(a, event.data.all.exists(b, event.data.all.exists(c, a + b + c == -1)))",
        "event.data.all.map(a, event.data.all).map(l, l + l).map(l, l + l).size() > 0",
        "event.data.all.all(a, event.data.long == async.data.long)",
        "event.data.all.all(a, event.data.long <= async.data.long)",
        "event.data.all.all(a, event.data.all == event.data.same)",
        "event.data.all.all(a, -1 in event.data.all || true)",
        "event.data.all.all(a, event.data.long.contains('b') || true)",
        "event.data.all.all(a, event.data.long + 1)",
        "event.data.all.all(a, true" + " && a >= 0" * 450 + ")",
        "event.data.all.exists(a, event.data.all.exists(b, a + b == -1)) || true",
        " || ".join(["event.data.long.matches('(?:x{500}){2}y')"] * 3),
        "event.data.all.all(a, event.data.long.matches('(x|xx)+y') || true)",
        "event.data.all.all(a, event.data.all.exists(b, b == -1) || true)",
    ],
)
def test_an_evaluation_over_too_much_data_is_given_up(text: str) -> None:
    event = {"data": {"all": list(range(2000)), "same": list(range(2000)), "long": "x" * 100_000}}
    awaited = {"data": {"long": "".join(["x"] * 100_000)}}
    expression = compile_expression(text)

    with pytest.raises(ExpressionFailedError, match="takes too long"):
        expression.evaluate(event, awaited)


def test_values_nested_too_deeply_are_not_compared() -> None:
    deep: dict[str, Any] = {}
    other: dict[str, Any] = {}
    for _ in range(20_000):
        deep, other = {"a": deep}, {"a": other}
    expression = compile_expression("event.data == async.data")

    with pytest.raises(ExpressionFailedError, match="nested too deeply"):
        expression.evaluate({"data": deep}, {"data": other})


def test_a_regular_expression_takes_time_linear_in_the_text() -> None:
    # A backtracking engine would need longer than the universe has existed.
    actual = compile_expression("event.data.text.matches('^(a+)+$')").matches({"data": {"text": "a" * 5000 + "b"}})

    assert actual is False


_WORDS = (
    *(
        "event",
        "async",
        ".",
        "data",
        "x",
        "[",
        "]",
        "(",
        ")",
        "{",
        "}",
        ",",
        ":",
        "?",
        "==",
        "!=",
        "<",
        "<=",
        "&&",
        "||",
    ),
    *("!", "-", "+", "*", "/", "%", "in", "1", "2u", "1.5", "'a'", '"b"', "r'c'", "true", "null", "has", "size", "map"),
    *("contains", "exists", "matches", "json_parse", "date", "e", "=>", "=", "&", "`", "\\", "//", "\n", "\u00e9"),
)
_words = st.sampled_from(_WORDS)


@settings(deadline=None)
@given(st.one_of(st.text(max_size=60), st.lists(_words, max_size=25).map(" ".join), st.lists(_words).map("".join)))
def test_any_text_compiles_or_is_refused_and_evaluates_or_fails(text: str) -> None:
    try:
        expression = compile_expression(text)
        result = expression.bind(EVENT).evaluate(EVENT, AWAITED)
    except (ExpressionInvalidError, ExpressionFailedError) as error:
        result = str(error)

    assert json.dumps(result)

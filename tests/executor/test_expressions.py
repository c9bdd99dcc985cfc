"""The leniency of expressions: missing values, null, mixed types, what counts as true (executor.md 3.3)."""

from __future__ import annotations

import pytest

from stepserve_core.executor.expressions import ExpressionFailedError, compile_expression
from tests.executor.expression_samples import EVENT, value_and_type


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("event.missing == null", True),
        ("event.missing != null", False),
        ("null == event.missing", True),
        ("null != event.data.missing.deeper", False),
        ("event.missing == 'a'", False),
        ("'a' == event.missing", False),
        ("event.missing == 0", False),
        ("event.missing != 'a'", True),
        ("1 != event.missing", True),
        ("event.missing == async.missing", False),
        ("event.missing == event.missing", False),
        ("event.data.name.first == null", True),
        ("event.data.nil.first == null", True),
        ("event.data.tags[7] == null", True),
        ("event.data.tags[0.5] == null", True),
    ],
)
def test_a_missing_value_equals_null_and_nothing_else(text: str, expected: bool) -> None:
    actual = value_and_type(text)

    assert (type(expected), expected) == actual


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("event.missing < 5", True),
        ("event.missing <= 'a'", True),
        ("event.missing > 5", False),
        ("event.missing >= -5", False),
        ("5 < event.missing", False),
        ("5 <= event.missing", False),
        ("5 > event.missing", True),
        ("'' >= event.missing", True),
        ("event.missing < event.missing", False),
    ],
)
def test_a_missing_value_stands_below_every_other(text: str, expected: bool) -> None:
    actual = value_and_type(text)

    assert (type(expected), expected) == actual


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("size(event.missing)", 0),
        ("event.missing.size()", 0),
        ("event.missing in ['a']", False),
        ("'a' in event.missing", False),
        ("event.missing.contains('a')", False),
        ("'abc'.startsWith(event.missing)", False),
        ("lowercase(event.missing)", False),
        ("event.missing.exists(x, x == 1)", False),
        ("event.missing - 1", False),
        ("2 * event.missing", False),
        ("-event.missing", False),
        ("!event.missing", False),
        ("event.missing + 'x'", "x"),
        ("'x' + event.missing", "x"),
        ("event.missing + 1", 1),
        ("event.missing + event.data.missing", False),
        ("event.missing + event.data.missing == false", True),
        ("event.missing", False),
        ("event.data.missing.deeper", False),
        ("async.data.missing", False),
    ],
)
def test_a_function_over_a_missing_value_is_false_and_a_sum_leaves_it_out(text: str, expected: object) -> None:
    actual = value_and_type(text)

    assert (type(expected), expected) == actual


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("event.data.nil == 'a'", False),
        ("event.data.nil != 'a'", True),
        ("event.data.nil == null", True),
        ("event.data.nil < 1", True),
        ("event.data.nil < 0", False),
        ("event.data.nil <= 0", True),
        ("event.data.nil > -1.5", True),
        ("event.data.nil < 'a'", True),
        ("event.data.nil >= ''", True),
        ("0u >= event.data.nil", True),
        ("true > event.data.nil", True),
        ("event.data.nil <= null", True),
        ("event.data.nil < null", False),
        ("duration('1s') > event.data.nil", True),
    ],
)
def test_null_is_ordered_as_the_zero_of_the_other_side(text: str, expected: bool) -> None:
    actual = value_and_type(text)

    assert (type(expected), expected) == actual


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("'a' + 1", "a1"),
        ("1 + 'a'", "1a"),
        ("event.data.name + event.data.id", "Ada42"),
        ("event.data.price + '€'", "9.5€"),
        ("'is ' + true", "is true"),
        ("'b' + event.data.nil", "bnull"),
        ("'t-' + timestamp(0)", "t-1970-01-01T00:00:00Z"),
        ("'a' + 'b'", "ab"),
    ],
)
def test_a_sum_of_different_types_joins_them_as_text(text: str, expected: str) -> None:
    actual = value_and_type(text)

    assert (type(expected), expected) == actual


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("event.data.id == 42", True),
        ("event.data.id == 42u", True),
        ("event.data.id == 42.0", True),
        ("1 == 1u && 1u == 1.0", True),
        ("event.data.id > 41", True),
        ("41u < event.data.id", True),
        ("event.data.price < 10", True),
        ("event.data.id", 42.0),
        ("event.data.numbers[0]", 1.0),
        ("int(event.data.id)", 42),
        ("type(event.data.id) == double", True),
        ("event.data.id + 1", 43.0),
        ("[1, 2, 3.5] == event.data.numbers", True),
        ("1 == true", False),
        ("[1] == [true]", False),
        ("event.data.numbers.map(n, n * 2)", [2.0, 4.0, 7.0]),
    ],
)
def test_numbers_are_compared_by_value_and_those_of_json_are_doubles(text: str, expected: object) -> None:
    actual = value_and_type(text)

    assert (type(expected), expected) == actual


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("event.missing || 'fallback'", "fallback"),
        ("event.data.empty || event.data.name", "Ada"),
        ("event.data.name || 'fallback'", "Ada"),
        ("event.data.nil || event.data.zero", 0.0),
        ("false || event.data.nil", None),
        ("event.missing || event.missing", False),
        ("event.data.name && event.data.id", 42.0),
        ("event.data.empty && true", ""),
        ("event.data.zero && 1/0 == 1", 0.0),
        ("event.data.nil && true", None),
        ("event.missing && true", False),
        ("event.data.name && event.missing", False),
        ("1/0 == 1 || true", True),
        ("'a' < 1 || 'later'", "later"),
        ("true || 1/0 == 1", True),
        ("event.data.nothing && 'lists are true'", "lists are true"),
        ("event.data.void && 'maps are true'", "maps are true"),
        ("event.missing ? 1 : 2", 2),
        ("event.data.name ? 1 : 2", 1),
        ("event.data.nothing ? 1 : 2", 1),
        ("event.data.void ? 1 : 2", 1),
        ("event.data.empty ? 1 : 2", 2),
        ("event.data.nil ? 1 : 2", 2),
        ("event.data.zero ? 1 : 2", 2),
        ("0u ? 1 : 2", 2),
        ("1/0 == 1 ? 1 : 2", 2),
        ("false ? 1 : event.data.no ? 2 : 3", 3),
        ("true || false && false", True),
    ],
)
def test_and_or_and_conditions_go_by_what_counts_as_true(text: str, expected: object) -> None:
    actual = value_and_type(text)

    assert (type(expected), expected) == actual


@pytest.mark.parametrize(
    "text", ["event.data.name", "event.data.id", "event.data.nil", "'true'", "1", "event.data.tags", "true && 2"]
)
def test_where_true_or_false_is_needed_another_type_is_an_error(text: str) -> None:
    with pytest.raises(ExpressionFailedError, match="must be true or false"):
        compile_expression(text).matches(EVENT)


@pytest.mark.parametrize(("text", "expected"), [("event.data.yes", True), ("event.missing", False), ("2 > 1", True)])
def test_true_false_and_a_missing_attribute_decide_a_match(text: str, expected: bool) -> None:
    actual = compile_expression(text).matches(EVENT)

    assert expected is actual


def test_the_same_text_is_compiled_once() -> None:
    assert compile_expression("event.data.x == 1") is compile_expression("event.data.x == 1")


def test_an_expression_without_an_awaited_event_finds_async_missing() -> None:
    actual = compile_expression("async.data.x == null && event.name == 'a'").matches({"name": "a"})

    assert actual is True

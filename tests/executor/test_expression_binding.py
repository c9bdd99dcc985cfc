"""Binding an expression to its event, as a pause keeps it (executor.md 3.3)."""

from __future__ import annotations

import math
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stepserve_core.executor.expressions import ExpressionFailedError, compile_expression
from tests.executor.expression_samples import AWAITED, EVENT


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("event.data.id == async.data.id", "42.0 == async.data.id"),
        ("async.data.id == event.data.id && event.data.name != ''", "async.data.id == 42.0 && \"Ada\" != ''"),
        ("event.data.missing == async.data.missing", "null == async.data.missing"),
        ("event.data.nil == async.x", "null == async.x"),
        ("event.data.yes && async.x", "true && async.x"),
        ("event.data['address'].city == async.x", '"Köln" == async.x'),
        ("event.data['yes']in[async.x]", "true in[async.x]"),
        ("event.data.items[1].sku == async.x", '"y" == async.x'),
        ("has(event.data.nil) && has(async.x)", "true && has(async.x)"),
        ("has(event.data.missing) == async.x", "false == async.x"),
        (
            "event.data.tags.exists(t, t == async.x)",
            'json_parse(r\'{"value": ["a", "b", "it\\u0027s"]}\').value.exists(t, t == async.x)',
        ),
        (
            "event.data.address[async.data.key]",
            'json_parse(r\'{"city": "Köln", "zip": "50667"}\')[async.data.key]',
        ),
        (
            "has(event.data.address[async.data.key].x)",
            'has(json_parse(r\'{"city": "Köln", "zip": "50667"}\')[async.data.key].x)',
        ),
        ("[1].exists(event, event.x == 1)", "[1].exists(event, event.x == 1)"),
        ("event == async", "event == async"),
        ("event['data'] == async", "event['data'] == async"),
        ("'event.data.id' == async.x", "'event.data.id' == async.x"),
        ("async.x == 1", "async.x == 1"),
    ],
)
def test_binding_replaces_the_paths_into_the_event_by_their_values(text: str, expected: str) -> None:
    actual = compile_expression(text).bind(EVENT).text

    assert expected == actual


@pytest.mark.parametrize(
    "value",
    [
        -5,
        -0.5,
        1e300,
        5e-324,
        2**63,
        math.inf,
        -math.inf,
        "quote \" ' \\ \n \x00 \u2028",
        "\ud800",
        "😀",
        "//",
        {"'": [-1]},
    ],
)
def test_a_bound_value_survives_as_text(value: object) -> None:
    bound = compile_expression("event.v == async.v && async.v == event.v").bind({"v": value})
    stored = bound.text.encode()

    assert compile_expression(stored.decode()).matches({}, {"v": value}) is True


def test_a_missing_value_matches_a_missing_one_once_it_is_bound() -> None:
    expression = compile_expression("event.data.missing == async.data.missing")

    assert expression.matches(EVENT, AWAITED) is False
    assert expression.bind(EVENT).matches(EVENT, AWAITED) is True


@pytest.mark.parametrize("text", ["5 -event.v == async.v", "event.v[async.missing] == null"])
def test_a_negative_number_stays_one_when_it_is_bound(text: str) -> None:
    bound = compile_expression(text).bind({"v": -2})

    assert bound.matches({}, {"v": 7}) is True


def test_an_event_that_json_cannot_carry_is_not_bound() -> None:
    bound = compile_expression("event.v == async.v").bind({"v": [object()]})

    with pytest.raises(ExpressionFailedError, match="cannot be written into the expression"):
        _ = bound.text


_json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)
_uses = st.sampled_from(
    [
        "event.v",
        "event.v == async.v",
        "async.v != event.v",
        "event.v < async.v",
        "'<' + event.v + '>'",
        "[event.v, event.w.a]",
        "event.v in [async.v, event.v]",
        "{'a': event.v}.a == event.v",
        "event.v ? event.w : -1",
        "event.v || event.w",
        "event.v && event.w",
        "has(event.v)",
        "event.v[0] == null",
        "event.v.map(x, x)",
        "1-event.v",
        "event.w.a.size()",
        "type(event.v)",
    ]
)


@settings(deadline=None)
@given(_uses, _json, _json, _json)
def test_a_bound_expression_gives_the_same_value(text: str, value: object, inner: object, awaited: object) -> None:
    event, other = {"v": value, "w": {"a": inner}}, {"v": awaited}
    expression = compile_expression(text)
    bound = expression.bind(event)
    stored = compile_expression(bound.text)

    expected = _outcome(lambda: expression.evaluate(event, other))
    actual = _outcome(lambda: bound.evaluate({}, other)), _outcome(lambda: stored.evaluate({}, other))

    assert (expected, expected) == actual


@pytest.mark.parametrize(
    "text",
    [
        "event.x.y == async.x",
        "event.x.y != null || has(event.x.y)",
        "event.x.y < 'a'",
        "'<' + event.x.y + '>'",
        "size(event.x.y)",
        "event.x.y[async.data.key] == null",
        "event.x.y.exists(e, e == 1)",
        "[event.x.y] == [null] && event.name == async.name",
        "has(event.data.address[async.data.key].x) || has(event.data.name)",
    ],
)
def test_a_bound_expression_gives_what_its_text_gives(text: str) -> None:
    bound = compile_expression(text).bind(EVENT)

    expected = _outcome(lambda: compile_expression(bound.text).evaluate({}, AWAITED))
    actual = _outcome(lambda: bound.evaluate({}, AWAITED))

    assert expected == actual


def test_a_bound_expression_keeps_to_its_event() -> None:
    bound = compile_expression("event.v == async.v").bind({"v": 1})

    assert bound.matches({"v": 2}, {"v": 1}) is True
    assert bound.bind({"v": 2}).text == "1.0 == async.v"


def _outcome(evaluate: Any) -> object:
    try:
        return evaluate()
    except ExpressionFailedError as error:
        return str(error)

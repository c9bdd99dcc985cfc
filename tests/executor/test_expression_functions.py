"""The operators, macros, functions and literals of expressions (executor.md 3.3)."""

from __future__ import annotations

import pytest

from tests.executor.expression_samples import value_and_type


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("1 + 2 * 3 - 4", 3),
        ("(1 + 2) * 3", 9),
        ("7 / 2", 3),
        ("-7 / 2", -3),
        ("-7 % 3", -1),
        ("7u % 3u", 1),
        ("7.0 / 2", 3.5),
        ("1.0 / 0.0 > 1e308", True),
        ("10 - 2 - 3", 5),
        ("- - 1", 1),
        ("!!true", True),
        ("-9223372036854775808", -(2**63)),
        ("0xFF", 255),
        ("1.5e3", 1500.0),
        (".5", 0.5),
        ("1 < 2 == true", True),
        ("'a' < 'b'", True),
        ("b'a' < b'b'", True),
        ("false < true", True),
        ("'b' in ['a', 'b']", True),
        ("2 in event.data.numbers", True),
        ("true in [1]", False),
        ("'c' in event.data.tags", False),
        ("'city' in event.data.address", True),
        ("1 in {1: 'a'}", True),
        ("true in {1: 'a'}", False),
        ("[1, 2] + [3]", [1, 2, 3]),
        ("event.data.numbers + [1]", [1.0, 2.0, 3.5, 1]),
        ("[1, [2]] == [1, [2.0]]", True),
        ("{'a': [1]} == {'a': [1u]}", True),
        ("{'a': 1} == {'b': 1}", False),
        ("event.data.address == {'city': 'Köln', 'zip': '50667'}", True),
        ("event.data.address != {'city': 'Köln'}", True),
        ("event.data.items[1].sku", "y"),
        ("event.data['name']", "Ada"),
        ("event.data.address[async.data.key]", "Köln"),
        ("{'a': {'b': 1}}.a.b", 1),
        ("[10, 20][1]", 20),
        ("[10, 20][1.0]", 20),
        (".event.name", "shop/order.created"),
        ("event.data.tags // a comment\n[0]", "a"),
        ("{'a': 1, 2: null,}", {"a": 1, "2": None}),
        ("[event.missing, 1u, b'a', duration('90s')]", [None, 1, "YQ==", "90s"]),
        ("type('a') == string && type(null) == null_type && type([]) == list", True),
        ("type({})", "map"),
        ("timestamp('2026-01-01T00:00:00Z') + duration('1h') > timestamp('2026-01-01T01:00:00+01:00')", True),
        ("timestamp('2026-01-02T00:00:00Z') - timestamp('2026-01-01T00:00:00Z') == duration('24h')", True),
        ("duration('1h') + duration('30m') - duration('1.5h') == duration('-0s')", True),
        ("timestamp('2026-01-01T00:00:00.5Z')", "2026-01-01T00:00:00.500000Z"),
    ],
)
def test_operators_calculate_as_cel_does(text: str, expected: object) -> None:
    actual = value_and_type(text)

    assert (type(expected), expected) == actual


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (r"'a\n\t\\\'\"'", "a\n\t\\'\""),
        (r'"\x41\101\u0041\U0001F600"', "AAA😀"),
        (r"r'\n'", r"\n"),
        ('R"""a"b"""', 'a"b'),
        ("'''two\nlines'''", "two\nlines"),
        ('""', ""),
        ("string(b'\\xc3\\xa9')", "é"),
        ("b'\\xff\\377é' == b'\\xff\\xff\\xc3\\xa9'", True),
        ("bR'\\x' == b'\\\\x'", True),
    ],
)
def test_text_is_written_as_cel_writes_it(text: str, expected: object) -> None:
    actual = value_and_type(text)

    assert (type(expected), expected) == actual


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("has(event.data.name)", True),
        ("has(event.data.nil)", True),
        ("has(event.data.missing)", False),
        ("has(event.missing.deeper)", False),
        ("has({'a': 1}.a)", True),
        ("event.data.items.all(i, i.count > 0)", True),
        ("event.data.items.all(i, i.count > 1)", False),
        ("[].all(i, false)", True),
        ("event.data.items.exists(i, i.sku == async.data.sku)", True),
        ("event.data.items.exists(i, i.sku == 'z')", False),
        ("event.data.tags.exists(t, t < 1 || t == 'b')", True),
        ("event.data.items.exists_one(i, i.count >= 2)", True),
        ("event.data.items.exists_one(i, i.count >= 1)", False),
        ("event.data.items.map(i, i.sku)", ["x", "y"]),
        ("event.data.items.map(i, i.count > 1, i.sku)", ["y"]),
        ("event.data.items.filter(i, i.count > 1).size()", 1),
        ("event.data.address.exists(key, key == 'zip')", True),
        ("{'a': 1, 'b': 2}.filter(k, k != 'a')", ["b"]),
        ("[1, 2].map(x, [10, 20].map(y, x * y))", [[10, 20], [20, 40]]),
        ("[1, 2].map(x, [x].map(x, x + 1))", [[2], [3]]),
        ("[1].map(x, [5].map(x, x) + [x])", [[5, 1]]),
        ("[1, 'b'].exists(x, x.startsWith('b'))", True),
        ("[7].exists(event, event == 7)", True),
        ("event.data.items.filter(i, i.missing)", []),
    ],
)
def test_macros_go_over_lists_and_the_keys_of_maps(text: str, expected: object) -> None:
    actual = value_and_type(text)

    assert (type(expected), expected) == actual


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("size('Köln')", 4),
        ("size(b'\\xff')", 1),
        ("size(event.data.tags) + event.data.address.size()", 5),
        ("event.data.name.contains('d')", True),
        ("event.data.name.startsWith('d')", False),
        ("event.data.name.endsWith('da')", True),
        ("event.data.name.matches('^A.a$')", True),
        ("matches('xay', 'a')", True),
        ("'Köln'.matches('^K.ln$')", True),
        ("'a'.matches(event.data.name)", False),
        ("int('-5') + int(2.9) + int(-2.9) + int(3u)", -2),
        ("int(timestamp('1970-01-01T00:01:00Z'))", 60),
        ("uint(5) == 5u", True),
        ("double('2.5') + double(1)", 3.5),
        ("string(1.0) + string(0.1) + string(2u) + string(true) + string(1e21)", "10.12true1e+21"),
        ("string(duration('1.5s'))", "1.5s"),
        ("bytes('é') == b'\\xc3\\xa9'", True),
        ("bool('true') && !bool('0')", True),
        ("dyn('a')", "a"),
        ("lowercase('ÄB') + uppercase('äb')", "äbÄB"),
        ("b64decode('SGkh')", "Hi!"),
        ("b64decode('SGkh!')", ""),
        ('json_parse(\'{"a": [1, {"b": null}]}\').a[1].b == null', True),
        ("json_parse('{\"a\": 1}').a == 1.0", True),
        ("json_parse('[1]')", {}),
        ("json_parse(event.data.name)", {}),
        ("now() > now_minus('1h') && now() < now_plus('1d')", True),
        ("now_plus('1w') - now() > duration('160h')", True),
        ("timestamp('2026-03-01T10:20:30.456Z').getFullYear()", 2026),
        ("timestamp('2026-03-01T10:20:30.456Z').getMonth()", 2),
        ("timestamp('2026-03-01T10:20:30.456Z').getDate()", 1),
        ("timestamp('2026-03-01T10:20:30.456Z').getDayOfMonth()", 0),
        ("timestamp('2026-03-01T10:20:30.456Z').getDayOfWeek()", 0),
        ("timestamp('2026-03-01T10:20:30.456Z').getDayOfYear()", 59),
        ("timestamp('2026-03-01T10:20:30.456Z').getHours()", 10),
        ("timestamp('2026-03-01T10:20:30.456Z').getHours('America/New_York')", 5),
        ("timestamp('2026-03-01T10:20:30.456Z').getMinutes('-02:30')", 50),
        ("timestamp('2026-03-01T10:20:30.456Z').getSeconds()", 30),
        ("timestamp('2026-03-01T10:20:30.456Z').getMilliseconds()", 456),
        ("duration('90m').getHours()", 1),
        ("duration('-90m').getHours()", -1),
        ("duration('90s').getMinutes()", 1),
        ("duration('1m').getSeconds()", 60),
        ("duration('2s').getMilliseconds()", 2000),
    ],
)
def test_functions_do_what_they_say(text: str, expected: object) -> None:
    actual = value_and_type(text)

    assert (type(expected), expected) == actual


@pytest.mark.parametrize(
    ("argument", "expected"),
    [
        ("'2026-01-02T03:04:05Z'", "2026-01-02T03:04:05Z"),
        ("'2026-01-02T03:04:05.25+01:00'", "2026-01-02T02:04:05.250000Z"),
        ("'2026-01-02T03:04:05'", "2026-01-02T03:04:05Z"),
        ("'2026-01-02'", "2026-01-02T00:00:00Z"),
        ("'Fri, 02 Jan 2026 03:04:05 GMT'", "2026-01-02T03:04:05Z"),
        ("'Fri, 02 Jan 2026 03:04:05 -0700'", "2026-01-02T10:04:05Z"),
        ("'02 Jan 26 03:04 UTC'", "2026-01-02T03:04:00Z"),
        ("'02 Jan 26 03:04 +0100'", "2026-01-02T02:04:00Z"),
        ("'Friday, 02-Jan-26 03:04:05 GMT'", "2026-01-02T03:04:05Z"),
        ("'Fri Jan 02 03:04:05 -0700 2026'", "2026-01-02T10:04:05Z"),
        ("'Fri Jan  2 03:04:05 UTC 2026'", "2026-01-02T03:04:05Z"),
        ("'Fri Jan  2 03:04:05 2026'", "2026-01-02T03:04:05Z"),
        ("1767323045", "2026-01-02T03:04:05Z"),
        ("1767323045000", "2026-01-02T03:04:05Z"),
        ("1767323045000000000", "2026-01-02T03:04:05Z"),
        ("event.ts", "2026-01-01T00:00:00Z"),
        ("timestamp('2026-01-02T03:04:05Z')", "2026-01-02T03:04:05Z"),
    ],
)
def test_a_date_is_read_in_many_forms(argument: str, expected: str) -> None:
    actual = value_and_type(f"date({argument})")

    assert (str, expected) == actual

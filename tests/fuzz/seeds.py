"""Where fuzzing begins, and what it has found: whatever broke a parser once stays here."""

from __future__ import annotations

import json

from stepserve_core._signature import sign
from tests.fuzz.targets import EVENT, NOW

_BODY = b'{"a":1}'
_CALL = {
    "ctx": {
        "attempt": 0,
        "disable_immediate_execution": False,
        "run_id": "01H",
        "stack": {"current": 1, "stack": ["86f7e437faa5a7fce15d1ddcb9eaeaea377667b8"]},
    },
    "event": EVENT,
    "events": [EVENT],
    "steps": {"86f7e437faa5a7fce15d1ddcb9eaeaea377667b8": {"data": {"x": 1}}, "b": {"error": {"name": "E"}}, "c": None},
    "use_api": False,
}
_FUNCTION = {
    "id": "shop-ship",
    "name": "ship",
    "triggers": [{"event": "shop/ordered", "expression": "event.data.amount > 1"}, {"cron": "*/5 * * * *"}],
    "steps": {
        "step": {"runtime": {"type": "http", "url": "http://a.test/api?fnId=shop-ship"}, "retries": {"attempts": 3}}
    },
    "concurrency": [{"limit": 2, "key": "event.data.id", "scope": "fn"}],
    "debounce": {"period": "5s"},
    "batchEvents": {"maxSize": 5, "timeout": "10s"},
    "cancel": [{"event": "shop/cancelled", "if": "async.data.id == event.data.id", "timeout": "1h"}],
    "throttle": {"limit": 1, "period": "1m", "burst": 2},
    "rateLimit": {"limit": 1, "period": "1m"},
    "priority": {"run": "event.data.amount"},
    "singleton": {"mode": "skip", "key": "event.data.id"},
    "timeouts": {"start": "1m", "finish": "1h"},
    "idempotency": "event.data.id",
}
_OPS = [
    {"op": "StepRun", "id": "a", "data": {"x": 1.0}, "displayName": "a", "timing": {"a": 1, "b": 2}},
    {"op": "StepError", "id": "b", "error": {"name": "E", "message": "m", "noRetry": True}},
    {"op": "Sleep", "id": "c", "name": "2030-01-02T03:04:05.678Z"},
    {"op": "WaitForEvent", "id": "d", "name": "x", "opts": {"if": "async.data.a == 1", "timeout": "1d"}},
    {"op": "InvokeFunction", "id": "e", "opts": {"function_id": "a-b", "payload": {"data": {}}, "timeout": "1h"}},
    {"op": "Gateway", "id": "f", "opts": {"url": "https://a.test", "body": "x", "headers": {"a": "b"}}},
    {"op": "WaitForSignal", "id": "g", "opts": {"signal": "s", "timeout": "1h", "conflict": "replace"}},
    {"op": "DeferAdd", "id": "h", "opts": {"fn_slug": "a-b", "input": {}}},
    {
        "op": "RunComplete",
        "id": "i",
        "data": 1,
        "metadata": [{"kind": "a", "scope": "step", "op": "merge", "values": {}}],
    },
]

SEEDS: dict[str, list[bytes]] = {
    "signature": [sign(_BODY, "signkey-test-beef", NOW).encode() + b"\n" + _BODY, b"t=1&s=ab\n", b"s=&t=\n{}"],
    "call": [json.dumps(_CALL).encode()],
    "canonical": [
        b'{"b":[1.0,1e21,1E-7,-0.0,100000000000000000000,5e-324],"a":"\\u00e9\\ud83d \\/","\xf0\x9f\x98\x80":0}',
        b'{"a":9007199254740993,"a":true}',
    ],
    "expression": [
        b'event.data.amount > 1.5 && event.name == "shop/ordered" || !has(event.data.x)',
        b"event.data.list.exists(x, x == 1.0) ? size(event.data.text) : -1",
        b"async.data.id == event.data.id && event.ts in [1, 2u, 0x1f]",
        b'event.data.text.matches("^h.*o$") && event.data.id.startsWith("A")',
        b'timestamp("2024-01-02T03:04:05Z") + duration("1h") > timestamp(event.ts)',
        b"{'a': [1, 2], \"b\": r'\\n'}.a[0] % 3 == int(event.data.amount) - bytes('x').size()",
        b"event.data.list.map(x, string(x)).filter(x, x != null).all(x, x.contains('a')) || type(1) == int",
    ],
    "schedule": [b"*/5 0-12 1,15 JAN-jun MON", b"TZ=Europe/Berlin 30 2 31 3 0", b"CRON_TZ=America/New_York 0 0 29 2 ?"],
    "duration": [b"1w2d3h4m5s6ms7us8ns", b"1.5h", b"90s", "3µs".encode(), b"9" * 400 + b"s"],
    "moment": [
        b"2024-01-02T03:04:05.678Z",
        b"Tue, 02 Jan 2024 03:04:05 GMT",
        b"45",
        b"1h30m",
        b"2024-01-02 03:04:05+02:00",
    ],
    "events": [
        b"1743130137367,eii2YKXRVTJPuA==;application/json\n" + json.dumps([EVENT, {"name": "a", "id": "x"}]).encode(),
        b";application/x-www-form-urlencoded\nname=a&data.b=1&data[c]=2",
        b';multipart/form-data; boundary=x\n--x\r\nContent-Disposition: form-data; name="name"\r\n\r\na\r\n--x--\r\n',
    ],
    "registration": [
        json.dumps({"appName": "shop", "url": "http://a.test/api", "sdk": "py:v1", "functions": [_FUNCTION]}).encode(),
        json.dumps({"appName": "shop", "url": "http://a.]b/", "functions": [_FUNCTION]})
        .replace("a.test", "a.]b")
        .encode(),
    ],
    "answer": [json.dumps(_OPS).encode(), *(json.dumps(op).encode() for op in _OPS), b'{"name":"E","message":"m"}'],
}

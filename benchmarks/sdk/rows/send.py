"""Rows about sending one event to a local stub event server (design.md 9)."""

import asyncio
import functools
import importlib
import json
import time
from collections.abc import Awaitable, Callable, Iterator
from typing import Any

import httpx

from benchmarks.sdk import calls
from benchmarks.sdk.measure import Repeat, Samples, interleaved, progress
from benchmarks.sdk.rows.http import child_server
from benchmarks.sdk.subjects import FLOOR, Failure, sdk_client
from benchmarks.sdk.table import Goal, Result, Row

FRESH_LOOPS = 100
EVENT_NAME = "bench/sent"

_SDKS = {"ours": "stepserve", "official": "inngest"}


def send_rows(subjects: tuple[str, ...], rounds: int) -> Iterator[Row]:
    """Measure `send` and `send_sync` beside a bare httpx POST, then send once from each of 100 fresh event loops."""
    with child_server("events") as (port, _):
        origin = f"http://127.0.0.1:{port}"
        group = "send one 1 KB event, connection kept: CPU per send"
        progress("send, sync")
        yield Row(group, "sync", "µs", _measured(_sync_repeat, subjects, origin, rounds), Goal(times_floor=1.2))
        progress("send, async")
        on_one_loop = functools.partial(_async_repeat, asyncio.new_event_loop())
        results = _measured(on_one_loop, subjects, origin, rounds)
        yield Row(group, "async", "µs", results, Goal(times_floor=1.2))
        progress("send, fresh event loops")
        failures, costs = _fresh_loops(subjects, origin)
        group = f"send from {FRESH_LOOPS} fresh event loops, one after the other"
        yield Row(group, "failures", "failed", failures, Goal(at_most=0))
        yield Row(group, "CPU per loop that sent", "ms", costs)


def _event_maker(subject: str) -> Callable[[], Any]:
    """Return a function that makes the subject's event object, as user code does for every send."""
    make = importlib.import_module(_SDKS[subject]).Event
    data = calls.event_data(calls.EVENT_KB, 0)
    return lambda: make(name=EVENT_NAME, data=data)


def _poster(client: Any, origin: str) -> Callable[[], Any]:
    """Return a function that sends as little as an event needs: encode, post."""
    url, headers = f"{origin}/e/{calls.EVENT_KEY}", {"content-type": "application/json"}
    data = calls.event_data(calls.EVENT_KB, 0)

    def post() -> Any:
        event = {"name": EVENT_NAME, "data": data, "ts": int(time.time() * 1_000)}
        return client.post(url, content=json.dumps([event]), headers=headers)

    return post


def _sync_sender(subject: str, origin: str) -> Callable[[], None]:
    if subject == FLOOR:
        post = _poster(httpx.Client(), origin)
        return lambda: _check_sent(post().json()["ids"])
    client, event = sdk_client(subject, event_api_base_url=origin), _event_maker(subject)
    return lambda: _check_sent(client.send_sync(event()))


def _async_sender(subject: str, origin: str) -> Callable[[], Awaitable[object]]:
    if subject == FLOOR:
        post = _poster(httpx.AsyncClient(), origin)

        async def send_bare() -> None:
            _check_sent((await post()).json()["ids"])

        return send_bare
    client, event = sdk_client(subject, event_api_base_url=origin), _event_maker(subject)

    async def send() -> None:
        _check_sent(await client.send(event()))

    return send


def _sync_repeat(subject: str, origin: str) -> Repeat:
    send = _sync_sender(subject, origin)

    def repeat(times: int) -> float:
        start = time.process_time()
        for _ in range(times):
            send()
        return time.process_time() - start

    return repeat


def _async_repeat(loop: asyncio.AbstractEventLoop, subject: str, origin: str) -> Repeat:
    send = _async_sender(subject, origin)

    async def repeat(times: int) -> float:
        start = time.process_time()
        for _ in range(times):
            await send()
        return time.process_time() - start

    return lambda times: loop.run_until_complete(repeat(times))


def _measured(
    repeat_of: Callable[[str, str], Repeat], subjects: tuple[str, ...], origin: str, rounds: int
) -> dict[str, Result]:
    """Send once from each subject, then measure those that could."""
    results: dict[str, Result] = {}
    senders: dict[str, Repeat] = {}
    for subject in subjects:
        try:
            repeat = repeat_of(subject, origin)
            repeat(1)
        except Exception as error:  # whatever a subject raises is its result
            results[subject] = Failure.of(error)
        else:
            senders[subject] = repeat
    return {**interleaved(senders, rounds), **results}


def _fresh_loops(subjects: tuple[str, ...], origin: str) -> tuple[dict[str, Result], dict[str, Result]]:
    failures: dict[str, Result] = {}
    costs: dict[str, Result] = {}
    for subject in subjects:
        try:
            # The floor makes a client for each loop, as httpx asks for; the others keep their one client.
            send = _fresh_floor(origin) if subject == FLOOR else _async_sender(subject, origin)
        except Exception as error:  # whatever a subject raises is its result
            failures[subject] = costs[subject] = Failure.of(error)
            continue
        spent = [seconds for _ in range(FRESH_LOOPS) if (seconds := _send_on_fresh_loop(send)) is not None]
        failures[subject] = Samples([float(FRESH_LOOPS - len(spent))])
        costs[subject] = Samples(spent) if spent else Failure("never sent")
    return failures, costs


def _send_on_fresh_loop(send: Callable[[], Awaitable[object]]) -> float | None:
    """Return the CPU seconds, or None when the send failed."""
    start = time.process_time()
    try:
        asyncio.run(_awaited(send))
    except Exception:  # counted, whatever it is
        return None
    return time.process_time() - start


def _fresh_floor(origin: str) -> Callable[[], Awaitable[object]]:
    async def send() -> None:
        async with httpx.AsyncClient() as http:
            _check_sent((await _poster(http, origin)()).json()["ids"])

    return send


async def _awaited(send: Callable[[], Awaitable[object]]) -> None:
    await send()


def _check_sent(ids: object) -> None:
    if not isinstance(ids, list) or len(ids) != 1:
        raise RuntimeError(f"expected one id, got {ids!r}")

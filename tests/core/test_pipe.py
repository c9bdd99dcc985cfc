"""Bytes between a route and its client: threads and event loops on either side, and clients that do not read."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from typing import Any

import pytest

from stepserve_core import _pipe
from stepserve_core._endpoint_stream import EventStream
from stepserve_core._pipe import MOST, ROOM, Pipe
from stepserve_core._runtime import AsyncRuntime, SyncRuntime, run_sync

PIECES = [b"%07d" % number for number in range(1000)]
WHOLE = b"".join(PIECES)

Side = Callable[[Pipe], Any]


def write_in_thread(pipe: Pipe) -> None:
    for piece in PIECES:
        run_sync(pipe.make_room(SyncRuntime()))
        pipe.put(piece)
    pipe.close()


async def write_on_loop(pipe: Pipe) -> None:
    for piece in PIECES:
        await pipe.make_room(AsyncRuntime())
        pipe.put(piece)
    pipe.close()


def read_in_thread(pipe: Pipe) -> bytes:
    return b"".join(EventStream(pipe).chunks())


async def read_on_loop(pipe: Pipe) -> bytes:
    return b"".join([piece async for piece in EventStream(pipe).achunks()])


async def run(side: Side, pipe: Pipe) -> Any:
    return await (side(pipe) if asyncio.iscoroutinefunction(side) else asyncio.to_thread(side, pipe))


@pytest.mark.parametrize("write", [write_in_thread, write_on_loop])
@pytest.mark.parametrize("read", [read_in_thread, read_on_loop])
def test_what_is_written_is_read_whole_and_in_order(write: Side, read: Side, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_pipe, "ROOM", 20)  # so that each side waits for the other again and again

    async def both() -> Any:
        pipe = Pipe()
        return (await asyncio.gather(run(read, pipe), run(write, pipe)))[0]

    assert WHOLE == asyncio.run(asyncio.wait_for(both(), 30))


@pytest.mark.parametrize("write", [write_in_thread, write_on_loop])
def test_a_reader_that_takes_nothing_is_given_up(write: Side, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_pipe, "ROOM", 20)
    monkeypatch.setattr(_pipe, "PATIENCE", 0.01)
    pipe = Pipe()
    asyncio.run(asyncio.wait_for(run(write, pipe), 30))

    assert (True, True) == (pipe.is_closed, pipe.is_empty)


@pytest.mark.parametrize("write", [write_in_thread, write_on_loop])
def test_a_writer_that_waits_goes_on_when_the_reader_goes_away(write: Side, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_pipe, "ROOM", 20)

    async def leave() -> None:
        pipe = Pipe()
        writing = asyncio.ensure_future(run(write, pipe))
        while pipe.take() == b"":
            await asyncio.sleep(0)
        pipe.abandon()
        await asyncio.wait_for(writing, 30)

        assert (True, True) == (pipe.is_closed, pipe.is_empty)

    asyncio.run(leave())


def test_who_cannot_wait_gives_a_reader_up_that_is_far_behind() -> None:
    pipe, piece = Pipe(), b"x" * ROOM
    puts = 0
    while not pipe.is_closed:
        pipe.put(piece)
        puts += 1

    assert (MOST // ROOM + 2, True) == (puts, pipe.is_empty)


def test_a_silent_route_keeps_its_connection_alive(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("stepserve_core._endpoint_stream.KEEP_ALIVE", 0.001)
    pipe = Pipe()
    chunks = EventStream(pipe).chunks()

    assert b":\n\n" == next(chunks)
    pipe.put(b"x")
    assert b"x" == next(chunks)
    chunks.close()


def test_a_thread_that_sends_waits_for_its_route_where_the_client_went_away() -> None:
    from concurrent.futures import ThreadPoolExecutor

    pipe, let_go, done = Pipe(), threading.Event(), threading.Event()

    def route() -> None:
        pipe.put(b"x")
        assert let_go.wait(20)
        done.set()

    with ThreadPoolExecutor() as pool:
        chunks = EventStream(pipe, pool.submit(route)).chunks()
        first = next(chunks)
        threading.Timer(0.01, let_go.set).start()
        chunks.close()

        assert (b"x", True) == (first, done.is_set())


def test_pieces_are_taken_whole_up_to_a_size() -> None:
    pipe = Pipe()
    for piece in (b"aaaa", b"bb", b"ccc"):
        pipe.put(piece)

    assert [b"aaaa", b"bb", b"ccc", b""] == [pipe.take(most) for most in (3, 4, 3, 3)]

"""Finds code of a function, outside of steps, that reads the clock or random numbers. Only for `STEPSERVE_STRICT`.

Python's profiling hook tells of every call of a C function; clock and random numbers all come from a few of them.
`time.monotonic` and `time.perf_counter` are left out: they measure, and nobody decides by them.
"""

from __future__ import annotations

import datetime
import os
import random
import secrets
import sys
import sysconfig
import threading
import time
import uuid
from collections.abc import Callable, Generator
from contextlib import contextmanager
from contextvars import ContextVar
from types import FrameType
from typing import Any

Note = Callable[[str, str], None]
"""Is told what was read, and where."""

_READS: dict[Any, str] = {
    time.time: "the clock (time.time)",
    time.time_ns: "the clock (time.time_ns)",
    **{getattr(datetime.datetime, name): f"the clock (datetime.{name})" for name in ("now", "today", "utcnow")},
    datetime.date.today: "the clock (date.today)",
    os.urandom: "random numbers",
    random.random: "random numbers",
    random.getrandbits: "random numbers",
}
_THROUGH = {module.__file__ for module in (random, secrets, uuid)}
"""Modules in Python that read for whoever calls them. Other libraries read the clock for reasons of their own."""

_OTHERS = tuple(
    {
        *(os.path.join(path, "") for name, path in sysconfig.get_paths().items() if name.endswith("lib")),
        os.path.join(sysconfig.get_paths()["stdlib"], ""),
        os.path.join(os.path.dirname(os.path.abspath(__file__)), ""),
        "<frozen",
    }
)

_noting: ContextVar[Note | None] = ContextVar("stepserve_noting", default=None)


class _Installed(threading.local):
    count = 0


_installed = _Installed()


@contextmanager
def watching(note: Note) -> Generator[None, None, None]:
    """Tell `note` what the code in this block, in this thread and context, reads."""
    if _installed.count == 0 and sys.getprofile() is not None:  # somebody profiles; that is more important
        yield
        return
    token = _noting.set(note)
    _installed.count += 1
    sys.setprofile(_profile)
    try:
        yield
    finally:
        _installed.count -= 1
        if _installed.count == 0:
            sys.setprofile(None)
        _noting.reset(token)


def _profile(frame: FrameType, event: str, called: Any) -> None:
    if event != "c_call" or called not in _READS:
        return
    note = _noting.get()
    place = None if note is None else _place(frame)
    if note is not None and place is not None:
        note(_READS[called], place)


def _place(frame: FrameType | None) -> str | None:
    """Return file and line of the user's code that reads; None if it is not the user's."""
    while frame is not None and frame.f_code.co_filename in _THROUGH:
        frame = frame.f_back
    if frame is None or frame.f_code.co_filename.startswith(_OTHERS):
        return None
    return f"{frame.f_code.co_filename}:{frame.f_lineno}"

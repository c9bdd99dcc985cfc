"""Errors of user code as the wire has them (protocol.md 5.9)."""

from __future__ import annotations

import os
from types import TracebackType
from typing import overload

from stepserve_core._opcodes import ErrorObject
from stepserve_core.errors import Error, StepError

_OUR_FILES = os.path.dirname(os.path.abspath(__file__)) + os.sep


def to_wire(error: Exception) -> ErrorObject:
    """Return what the server stores and shows of `error`."""
    if isinstance(error, Error):
        stack = error.stack if isinstance(error, StepError) or not error.include_stack else format_stack(error)
        return ErrorObject(code=error.code, message=_unicode(error.message), name=error.name, stack=_unicode(stack))
    name = type(error).__name__
    return ErrorObject(code="unknown", message=_unicode(_text(error)), name=name, stack=_unicode(format_stack(error)))


@overload
def _unicode(text: str) -> str: ...


@overload
def _unicode(text: str | None) -> str | None: ...


def _unicode(text: str | None) -> str | None:
    """Return `text` with half characters, such as file names have, written out; JSON cannot carry them."""
    return None if text is None else text.encode(errors="backslashreplace").decode()


def format_stack(error: BaseException) -> str:
    """Return the traceback of `error` without the frames of this package around the user's code."""
    import traceback  # noqa: PLC0415 - only programs in which something fails pay for importing it

    return "".join(traceback.format_exception(type(error), error, _user_frames(error.__traceback__)))


def sole_cause(error: Exception) -> Exception:
    """Return the one error inside a group of one, as task groups raise it; otherwise `error` itself."""
    while True:
        inner = getattr(error, "exceptions", None)
        if not isinstance(inner, tuple) or len(inner) != 1 or not isinstance(inner[0], Exception):
            return error
        error = inner[0]


def _user_frames(frames: TracebackType | None) -> TracebackType | None:
    first = frames
    while frames is not None and frames.tb_frame.f_code.co_filename.startswith(_OUR_FILES):
        frames = frames.tb_next
    return frames or first


def _text(error: Exception) -> str:
    try:
        return str(error)
    except Exception as broken:
        return f"(str() of this error raised {type(broken).__name__})"

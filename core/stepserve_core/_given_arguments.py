"""Arguments of steps, compared between the calls of a run: help against functions that do not replay (protocol.md 6.7).

A step that has finished is not executed again, but its arguments are made anew in each call. Where they differ, what
the step did and what the function now believes are two things; and if the result was lost, it does the other one too.
"""

from __future__ import annotations

import binascii
from collections import OrderedDict
from typing import Any

from stepserve_core._inputs import recorded_arguments

MOST_RUNS = 1_000
"""Runs whose arguments a process remembers."""

MOST_TOLD = 10
"""Steps whose changed arguments one answer tells: headers are short."""

_SHOWN = 80
"""Characters of arguments that are shown."""

_Given = dict[tuple[str, int], str]


class GivenArguments:
    """What the steps of each run were given, in this process."""

    def __init__(self) -> None:
        self._runs: OrderedDict[str, _Given] = OrderedDict()

    def of_run(self, run_id: str) -> _Given:
        """Return what the steps of a run were given, by hashed id and attempt; what is new goes into it."""
        given = self._runs.setdefault(run_id, {})
        self._runs.move_to_end(run_id)
        if len(self._runs) > MOST_RUNS:
            self._runs.popitem(last=False)
        return given

    def forget(self, run_id: str) -> None:
        """Forget a run: another one has its id."""
        self._runs.pop(run_id, None)


def shown(args: tuple[Any, ...], *, in_full: bool = True) -> str | None:
    """Return arguments as text that is the same for the same ones; None where JSON cannot carry them.

    What is long, or not to be shown, stands there as a checksum.
    """
    encoded = recorded_arguments(args)
    if encoded is None:
        return None
    text = bytes(encoded).decode()[1:-1]
    if in_full and len(text) <= _SHOWN:
        return text
    begin = f"{text[:_SHOWN]}… " if in_full else ""
    return f"{begin}({len(text)} characters, checksum {binascii.crc32(encoded):08x})"


def as_header(changed: dict[str, str]) -> str:
    """Return what an answer says about steps whose arguments changed: (step, both) as JSON, in ASCII."""
    import json  # noqa: PLC0415 - most programs change no arguments, and msgspec writes more than ASCII

    return json.dumps(list(changed.items())[:MOST_TOLD])

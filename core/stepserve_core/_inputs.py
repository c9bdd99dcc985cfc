"""Arguments of steps as JSON: shown to the server (protocol.md 13.5), and edited ones that it sends back (5.3)."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

import msgspec

from stepserve_core._annotations import UNTYPED, types_of
from stepserve_core._converter import MisfitError, converter_for
from stepserve_core._serialize import encode_input
from stepserve_core.errors import NonRetriableError

MOST_RECORDED = 64 * 1024
"""Bytes of arguments that are shown. A server takes 4 MiB for a step and 8 MiB for an answer, which holds the results
of many steps under checkpointing (5.6); what is larger nobody edits by hand."""

_POSITIONAL = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)


def recorded_arguments(args: tuple[Any, ...]) -> msgspec.Raw | None:
    """Return arguments as JSON; None where there is nothing to show, or JSON cannot carry it.

    A step may be given anything: a session of a database, a file. That is no error, for nobody asked to see it.
    """
    if not args:
        return None
    try:
        encoded = encode_input(list(args), "the step")
    except Exception:  # a user's own type may raise whatever it likes, and the step shall run all the same
        return None
    return msgspec.Raw(encoded) if len(encoded) <= MOST_RECORDED else None


def typed_arguments(handler: Callable[..., Any], args: list[object], step_id: str) -> list[object]:
    """Return `args` in the types that the parameters of `handler` are annotated with.

    Raises:
        NonRetriableError: one does not fit; whoever edited the input has to do it again.
    """
    typed: list[object] = []
    for index, (arg, typ) in enumerate(zip(args, _parameter_types(handler, len(args)), strict=True)):
        converter = None if typ is UNTYPED else converter_for(typ)
        try:
            typed.append(arg if converter is None else converter.load(arg))
        except MisfitError as misfit:
            raise NonRetriableError(
                f"argument {index} in the edited input of step {step_id!r} does not fit: {misfit}"
            ) from None
    return typed


def _parameter_types(handler: Callable[..., Any], count: int) -> list[object]:
    try:
        parameters = list(inspect.signature(handler).parameters.values())
    except (TypeError, ValueError):  # written in C, without a signature
        return [UNTYPED] * count
    annotations = [each.annotation for each in parameters if each.kind in _POSITIONAL]
    rest = [each.annotation for each in parameters if each.kind is inspect.Parameter.VAR_POSITIONAL]
    annotations += (rest or [inspect.Parameter.empty]) * max(0, count - len(annotations))
    return types_of(handler, [UNTYPED if each is inspect.Parameter.empty else each for each in annotations[:count]])

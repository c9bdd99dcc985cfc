"""Steps on their way to the wire: asked for by the user, found by the engine, reported to the server."""

from __future__ import annotations

from collections.abc import Callable
from contextvars import ContextVar
from typing import Any, NamedTuple

import msgspec

from stepserve_core._converter import Converter
from stepserve_core._inputs import recorded_arguments, typed_arguments
from stepserve_core._opcodes import Op, Opcode, ParallelMode, Userland

variant_opts: ContextVar[dict[str, object] | None] = ContextVar("stepserve_variant", default=None)
"""What steps add to their `opts` inside a variant of an experiment (13.8)."""


class Ask(NamedTuple):
    """What a step asks for: code to run in the app (`handler`), or something that the server does (protocol.md 5.6)."""

    opcode: Opcode
    name: str | None = None
    opts: dict[str, object] | None = None
    handler: Callable[..., Any] | None = None
    args: tuple[Any, ...] = ()
    converter: Converter | None = None
    is_shown: bool = False
    """Whether the server is told the arguments when the handler is called."""

    def edited(self, args: list[object], step_id: str) -> Ask:
        """Return the ask with new arguments, as a re-run from this step brings them (5.3, executor.md 4.9).

        Raises:
            NonRetriableError: one does not have the type of its parameter.
        """
        opts = self.opts
        if opts is not None and "input" in opts:
            opts = {**opts, "input": args}
        elif opts is not None and self.handler is None and "body" in opts and args:
            opts = {**opts, "body": args[0]}  # of a request that the server makes, the input is its body
        typed = args if self.handler is None else typed_arguments(self.handler, args, step_id)
        return self._replace(args=tuple(typed), opts=opts)

    def shown(self) -> Ask:
        """Return the ask with its arguments in `opts.input`, as they are now: the handler may change them (13.5)."""
        given = recorded_arguments(self.args) if self.is_shown else None
        return self if given is None else self._replace(opts={**(self.opts or {}), "input": given})


class Found:
    """A step that was reached and has no memo."""

    __slots__ = ("_variant", "ask", "hashed", "index", "metadata", "mode", "step_id")

    def __init__(self, step_id: str, hashed: str, index: int | None, ask: Ask) -> None:
        self.step_id = step_id
        self.hashed = hashed
        self.index = index
        self.ask = ask
        self.mode = ParallelMode.WAIT
        self._variant = variant_opts.get()
        self.metadata: tuple[object, ...] = ()
        """What the step says about itself (13.8)."""

    def op(self, opcode: Opcode) -> Op:
        """Return the step as the wire has it."""
        opts = self.ask.opts
        if self._variant is not None:
            opts = {**(opts or {}), **self._variant}
        if self.mode is ParallelMode.RACE:
            opts = {**(opts or {}), "parallelMode": "race"}
        return Op(
            display_name=self.step_id,
            id=self.hashed,
            name=self.step_id if self.ask.name is None else self.ask.name,
            op=opcode.value,
            opts=opts,
            userland=Userland(self.step_id, self.index),
            metadata=self.metadata or msgspec.UNSET,
        )


class Report:
    """An op together with the Python value or error behind it, so that middleware can see and change them."""

    __slots__ = ("converter", "error", "op", "opts", "output")

    def __init__(self, found: Found, opcode: Opcode, *, output: object = None, error: Exception | None = None) -> None:
        self.op = found.op(opcode)
        self.opts: dict[str, object] | None = self.op.opts if isinstance(self.op.opts, dict) else None
        self.output = output
        self.converter = found.ask.converter
        self.error = error

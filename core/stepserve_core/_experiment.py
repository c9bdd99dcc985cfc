"""`group.experiment`: one of several variants, chosen once for each run (protocol.md 13.8). For both colours.

The choice is a step. Its result is the name of the variant; the steps of the variant say which one they belong to.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager
from typing import Any

import msgspec

from stepserve_core._engine import Run
from stepserve_core._found import Ask, variant_opts
from stepserve_core._metadata import EXPERIMENT, Metadata, attach
from stepserve_core._opcodes import Opcode
from stepserve_core._runtime import run_sync
from stepserve_core._serialize import encode_output
from stepserve_core.errors import MemoMismatchError, NonRetriableError
from stepserve_core.experiment import Choose, Selection, custom, weighted

_OPTS: dict[str, object] = {"type": "group.experiment"}


class Experiment:
    """One experiment of one call.

    Args:
        variants: the name of each variant, and what runs it.
        select: how to choose; a callable is `custom`, None gives every variant the same weight.

    Raises:
        ValueError: there are no variants, or a weight names none of them.
        TypeError: `select` is something else.
    """

    def __init__(
        self, run: Run, experiment_id: str, variants: Mapping[str, Callable[[], Any]], select: Selection | Choose | None
    ) -> None:
        if not variants:
            raise ValueError("group.experiment needs at least one variant: variants={'control': …}")
        if select is None:
            select = weighted(dict.fromkeys(variants, 1))
        elif not isinstance(select, Selection):
            if not callable(select):
                raise TypeError(f"select must be a callable or a Selection, not {type(select).__name__}")
            select = custom(select)
        strangers = (select.weights or {}).keys() - variants.keys()
        if strangers:
            raise ValueError(f"a weight is given for {min(strangers)!r}, which is no variant of {experiment_id!r}")
        self._run = run
        self._id = experiment_id
        self._variants = variants
        self._selection = select

    def ask(self) -> Ask:
        """Ask to choose a variant in the app, from an `async def` function."""
        return Ask(Opcode.STEP_RUN, None, dict(_OPTS), self._choose)

    def ask_sync(self) -> Ask:
        """Ask to choose a variant in the app, from a `def` function."""
        return Ask(Opcode.STEP_RUN, None, dict(_OPTS), lambda: run_sync(self._choose()))

    async def _choose(self) -> str:
        """Choose, and let the server see what was chosen among what.

        Raises:
            NonRetriableError: what was chosen is no variant.
        """
        chosen: object = await self._run.runtime.call(self._selection.choose)
        if not isinstance(chosen, str) or chosen not in self._variants:
            raise NonRetriableError(
                f"the experiment {self._id!r} has no variant {chosen!r}; it has {', '.join(self._variants)}"
            )
        values: dict[str, object] = {
            "name": self._id,
            "variant": chosen,
            "selection_strategy": self._selection.strategy,
            "available_variants": list(self._variants),
        }
        if self._selection.weights is not None:
            values["variant_weights"] = self._selection.weights
        encoded = encode_output(values, f"experiment {self._id!r}")
        attach(Metadata(EXPERIMENT, "step", "merge", msgspec.Raw(encoded)))
        return chosen

    def read(self, memo: object) -> str:
        """Read the memo of the choice.

        Raises:
            MemoMismatchError: the variant was removed while the run was waiting.
        """
        if not isinstance(memo, str) or memo not in self._variants:
            raise MemoMismatchError(
                f"this run is in the variant {memo!r} of the experiment {self._id!r}, which has only"
                f" {', '.join(self._variants)} now; keep the variant until its runs have ended"
            )
        return memo

    @contextmanager
    def entered(self, variant: str, hashed: str) -> Generator[Callable[[], Any], None, None]:
        """Give what runs a variant; the steps that it reaches meanwhile say that they belong to it.

        Raises:
            NonRetriableError: it came to its end without a step, so that there is nothing to compare.
        """
        opts: dict[str, object] = {
            "experimentStepID": hashed,
            "experimentName": self._id,
            "variant": variant,
            "selectionStrategy": self._selection.strategy,
        }
        token = variant_opts.set(opts)
        before = self._run.steps_reached
        try:
            yield self._variants[variant]
        finally:
            variant_opts.reset(token)
        if self._run.steps_reached == before:
            raise NonRetriableError(
                f"the variant {variant!r} of the experiment {self._id!r} has no step; what it does would be repeated"
            )

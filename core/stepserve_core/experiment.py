"""How `group.experiment` chooses a variant (protocol.md 13.8).

from stepserve import experiment

price = await ctx.group.experiment(
    "price",
    variants={"old": lambda: ctx.step.run("old price", old_price), "new": lambda: ctx.step.run("new price", new_price)},
    select=experiment.bucket(ctx.event.data["user_id"], {"old": 90, "new": 10}),
)
"""

from __future__ import annotations

import hashlib
import random
from collections.abc import Awaitable, Callable, Mapping
from typing import NamedTuple

__all__ = ["Choose", "Selection", "bucket", "custom", "fixed", "weighted"]

Choose = Callable[[], str | Awaitable[str]]
"""Returns the name of a variant, or something to await that gives it."""


class Selection(NamedTuple):
    """How an experiment chooses; made by `fixed`, `weighted`, `bucket` and `custom`.

    `strategy` is what the server shows; `weights`, where there are any, are those of the variants.
    """

    strategy: str
    choose: Choose
    weights: dict[str, float] | None = None


def fixed(variant: str) -> Selection:
    """Choose always the same variant, for example to end an experiment before its code is removed."""
    return Selection("fixed", lambda: variant)


def weighted(weights: Mapping[str, float]) -> Selection:
    """Choose at random: a variant of weight 3 three times as often as one of weight 1.

    Raises:
        ValueError: a weight is below 0 or no number, or none is above 0.
    """
    names, shares = _checked(weights)

    def choose() -> str:
        return random.choices(names, shares)[0]  # noqa: S311 - nobody gains from guessing it

    return Selection("weighted", choose, dict(weights))


def bucket(value: object, weights: Mapping[str, float]) -> Selection:
    """Choose by `value`, such as the id of a user: the same value has the same variant in every run.

    The values spread over the variants by weight, as with `weighted`.

    Raises:
        ValueError: as `weighted`.
    """
    names, shares = _checked(weights)

    def choose() -> str:
        digest = hashlib.sha256(str(value).encode()).digest()
        rest = int.from_bytes(digest[:8], "big") / 2**64 * sum(shares)
        for name, share in zip(names, shares, strict=True):
            rest -= share
            if rest < 0:
                return name
        return next(name for name, share in zip(reversed(names), reversed(shares), strict=True) if share)

    return Selection("bucket", choose, dict(weights))


def custom(choose: Choose) -> Selection:
    """Choose by a function without arguments; it returns the name of the variant, and may be async as the run is."""
    return Selection("custom", choose)


def _checked(weights: Mapping[str, float]) -> tuple[list[str], list[float]]:
    shares = list(weights.values())
    if not all(isinstance(share, (int, float)) and 0 <= share < float("inf") for share in shares) or not any(shares):
        raise ValueError(f"weights are numbers from 0 on, and one of them is above 0; not {dict(weights)!r}")
    return list(weights), shares

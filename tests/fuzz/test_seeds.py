"""Every seed, and everything that was found with it, passes through its parser; so does some damage to it."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.fuzz.seeds import SEEDS
from tests.fuzz.targets import TARGETS

CASES = [(name, seed) for name, seeds in SEEDS.items() for seed in seeds]


def test_every_target_has_seeds() -> None:
    """Or it would begin with nothing."""
    assert TARGETS.keys() == SEEDS.keys()


@pytest.mark.parametrize(("name", "seed"), CASES, ids=lambda value: str(value)[:30])
def test_seeds_pass_through_their_target(name: str, seed: bytes) -> None:
    """A target raises where its parser does what it must not."""
    assert TARGETS[name](seed) is None


@settings(max_examples=40, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow])
@given(st.sampled_from(CASES), st.data())
def test_damaged_seeds_pass_through_their_target(case: tuple[str, bytes], data: st.DataObject) -> None:
    """With something cut out, and something else put in."""
    name, seed = case
    begin, end = sorted(data.draw(st.tuples(*[st.integers(0, len(seed))] * 2)))
    TARGETS[name](seed[:begin] + data.draw(st.binary(max_size=8)) + seed[end:])

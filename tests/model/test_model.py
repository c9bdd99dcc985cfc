"""Generated functions do what a program of a few lines says: with the harness, on a file, killed, and under faults."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, note, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test

from stepserve import Checkpointing
from stepserve.testing import Faults
from stepserve_core.faults import KINDS
from tests.model import histories
from tests.model.programs import EVENTS, FUNCTIONS, Break, Program, Send, Work, apps, walk
from tests.model.simulation import Model
from tests.model.worlds import START, InHarness, OnFile, Place

EXAMPLES = int(os.environ.get("STEPSERVE_MODEL_EXAMPLES", "0"))
"""More examples than CI has, and others each time."""

numbers = st.integers(0, FUNCTIONS - 1)


def profile(examples: int, steps: int = 12) -> settings:
    """Return how much is tried: always the same in CI, else as much as was asked for."""
    return settings(
        max_examples=EXAMPLES or examples,
        stateful_step_count=steps,
        deadline=None,
        derandomize=not EXAMPLES,
        database=None,
        suppress_health_check=[
            HealthCheck.too_slow,
            HealthCheck.data_too_large,
            HealthCheck.filter_too_much,
            HealthCheck.large_base_example,
        ],
        phases=[Phase.generate, Phase.shrink],
    )


class App(RuleBasedStateMachine):
    """An app of generated functions, and everything that can happen to it."""

    checkpointing = False
    place: Place
    model: Model

    def make_place(self, programs: Any) -> Place:
        """Return where the programs run."""
        raise NotImplementedError

    @initialize(data=st.data())
    def open(self, data: Any) -> None:
        """Begin."""
        # A wait sees what came since its call began; with checkpoints that may be what the call itself has sent.
        programs = data.draw(apps(tells_itself=not self.checkpointing))
        self.model = Model(programs, START)
        self.place = self.make_place(programs)
        self.started = 0
        self.start(0)

    @rule(number=numbers)
    def start(self, number: int) -> None:
        """Start a run."""
        key = f"r{self.started}"
        self.started += 1
        self.model.start(number, key)
        self.model.advance(self.model.now)
        self.place.send(f"start/{number}", {"key": key})

    @rule(name=st.sampled_from(EVENTS), number=st.integers(0, 5), value=st.integers(0, 3))
    def tell(self, name: str, number: int, value: int) -> None:
        """Send an event that runs wait for, perhaps with the key of one of them."""
        key = list(self.model.runs)[number] if number < len(self.model.runs) else "nobody"
        self.model.publish(name, key, value)
        self.model.advance(self.model.now)
        self.place.send(name, {"key": key, "n": value})

    @rule(seconds=st.sampled_from([1, 7, 15, 60, 4_000, 500_000]))
    def advance(self, seconds: int) -> None:
        """Let time go on."""
        moment = self.model.now + seconds
        self.model.advance(moment)
        self.place.advance(moment)

    @rule(times=st.integers(1, 5))
    def go_on(self, times: int) -> None:
        """Let time go on to where something happens."""
        for _ in range(times):
            due = self.model.next_due
            if due is None:
                return
            self.model.advance(due)
            self.place.advance(due)
            self.agree()

    @rule(what=st.sampled_from(["cancel", "pause", "resume"]), number=st.integers(0, 5))
    def interfere(self, what: str, number: int) -> None:
        """Cancel a run that goes on, or pause a function, or let it go on."""
        going = [key for key, run in self.model.runs.items() if run.ended_at is None]
        if what == "cancel" and number < len(going):
            self.model.cancel(going[number])
            self.model.advance(self.model.now)
            self.place.cancel(self.place.look(histories.run_ids)[going[number]])
        elif what == "pause" and number < FUNCTIONS:
            self.model.pause(number)
            self.place.pause(number)
        elif what == "resume":
            self.model.resume(number % FUNCTIONS)
            self.model.advance(self.model.now)
            self.place.resume(number % FUNCTIONS)

    @invariant()
    def agree(self) -> None:
        """Model and server have the same histories."""
        if hasattr(self, "place"):
            expected, recorded = histories.expected(self.model), self.place.look(histories.recorded)
            assert histories.settled(expected, recorded) == histories.settled(recorded, expected)

    def teardown(self) -> None:
        """End everything."""
        if hasattr(self, "place"):
            self.place.close()


class Harnessed(App):
    """In the harness."""

    in_place = False

    def make_place(self, programs: Any) -> Place:
        """Return a harness."""
        return InHarness(programs, in_place=self.in_place, checkpointing=self.checkpointing)


class InPlace(Harnessed):
    """In the harness of sync tests."""

    in_place = True


class Checkpointed(Harnessed):
    """In the harness, with calls that go on after each step."""

    checkpointing = True


class Killed(App):
    """On a file, by an executor that dies now and then."""

    def make_place(self, programs: Any) -> Place:
        """Return an executor on a file."""
        self.folder = tempfile.TemporaryDirectory()
        self.executor = OnFile(programs, Path(self.folder.name))
        return self.executor

    @rule(calls=st.integers(0, 6))
    def die(self, calls: int) -> None:
        """Die in a call that is still to come."""
        self.executor.die_in(calls)

    @rule()
    def restart(self) -> None:
        """Stop in order, and start again."""
        self.executor.restart()

    def teardown(self) -> None:
        """Delete the files too."""
        super().teardown()
        if hasattr(self, "folder"):
            self.folder.cleanup()


@pytest.mark.parametrize(
    ("machine", "examples"),
    [(Harnessed, 25), (InPlace, 12), (Checkpointed, 12), (Killed, 12)],
    ids=str,
)
def test_histories_are_those_of_the_model(machine: type[App], examples: int) -> None:
    """With every step, its attempts, its output, and the moment of its end, after everything that happens."""
    run_state_machine_as_test(machine, settings=profile(examples))


def test_a_step_that_an_earlier_attempt_did_not_reach_agrees_too() -> None:
    """Random examples found it late: the function fails once before its step does, and is looked at in between."""
    machine = Harnessed()
    step = Work(name="a", value=0, fails=99, how="error", catches=False)
    programs = tuple(
        Program(number=number, is_async=False, retries=2, body=(Break(name="a", fails=1), step))
        for number in range(FUNCTIONS)
    )
    try:
        machine.model = Model(programs, START)
        machine.place = machine.make_place(programs)
        machine.started = 0
        machine.start(0)
        for seconds in (15, 30):
            machine.advance(seconds)
            machine.agree()
    finally:
        machine.teardown()


@st.composite
def faults(draw: st.DrawFn) -> Faults:
    """Faults of a few kinds."""
    chances: dict[str, Any] = dict.fromkeys(draw(st.lists(st.sampled_from(KINDS), min_size=1, max_size=3)), 0.25)
    return Faults(**chances, seed=draw(st.integers(0, 1_000)), always_replay=draw(st.booleans()))


checkpointings = st.sampled_from([False, True, Checkpointing(batch_steps=3)])


@profile(20)
@given(apps(timed=False, tells_itself=False), faults(), checkpointings, st.booleans())
def test_whatever_goes_wrong_the_outcome_is_that_of_the_model(
    programs: tuple[Program, ...], faults: Faults, checkpointing: Checkpointing | bool, in_place: bool
) -> None:
    """Of each run that the model has, and of each step; no step runs again whose result is recorded."""
    note(f"{programs}\n{faults} {checkpointing}")
    model = Model(programs, START)
    model.start(0, "r")
    while model.next_due is not None:
        model.advance(model.next_due)
    place = InHarness(programs, in_place=in_place, checkpointing=checkpointing, faults=faults)
    try:
        place.send("start/0", {"key": "r"})
        place.skip_time()
        found, report = place.look(histories.recorded), place.report
    finally:
        place.close()

    expected = histories.expected(model)
    assert {key: run[:3] for key, run in expected.items()} == {key: run[:3] for key, run in found.items()}
    for key, run in expected.items():
        ended = outcomes(found[key])
        assert {hashed: one for hashed, one in outcomes(run).items() if hashed in ended} == {
            hashed: one for hashed, one in ended.items() if hashed in outcomes(run)
        }
    assert ((), ()) == (report.executed_again, report.nondeterministic)
    # The ids of what is sent twice differ.
    assert report.changed == () or any(isinstance(one, Send) for program in programs for one in walk(program.body))


def outcomes(run: histories.RunHistory) -> dict[str, tuple[Any, ...]]:
    """Return what came of the steps that ended; which of those that nobody waits for end depends on time."""
    ended = {hashed: step for hashed, step in run.steps.items() if step.status != "Cancelled"}
    return {hashed: (step.op, step.output, step.error) for hashed, step in ended.items()}

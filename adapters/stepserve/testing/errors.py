"""What goes wrong in tests.

Error
└── HarnessError                   the test asks for something that is not so
    ├── NoRunError                     an event started no run, or several
    ├── UnknownStepError               a run has no such step
    ├── UnstubbedStepError             a step would leave this process, and no stub says what comes of it
    ├── StubError                      a stub does not fit its step
    ├── NeverIdleError                 there is always more to do
    ├── BlockedError                   a function waits for something that is no step
    └── ReplayError                    today's code does not replay a recorded run
"""

from __future__ import annotations

from stepserve_core.errors import Error


class HarnessError(Error, AssertionError):
    """Base of what goes wrong in tests. It is an AssertionError: the test has failed."""


class NoRunError(HarnessError, LookupError):
    """An event started no run, or several, and one was asked for."""


class UnknownStepError(HarnessError, LookupError):
    """A run has no step of this id; the message names those that it has."""


class UnstubbedStepError(HarnessError):
    """A step asks the server for a request to the outside, and there is no stub for it."""


class StubError(HarnessError):
    """A stub cannot take the place of its step."""


class NeverIdleError(HarnessError):
    """Functions were called so often without an end that there is none to expect; the message says which."""


class BlockedError(HarnessError):
    """A function did not come back; the message says which one, and where it waits."""


class ReplayError(HarnessError):
    """Code of today diverges from a recorded run. `step` is the id of the first step that does, if there is one."""

    def __init__(self, message: str, step: str | None = None) -> None:
        super().__init__(message)
        self.step = step

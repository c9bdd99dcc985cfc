"""Tests of durable functions, and of adapters.

    async with Harness(client, [order]) as h:
        run = await h.send(Event(name="shop/order.created"))
        await h.run_until_idle()
        assert run.step("charge").attempts == 1

The harness needs `stepserve[server]`. Fixtures for pytest are in `stepserve_pytest`, which pytest finds by itself.
`stepserve.testing.contract` needs pytest too. What is here is loaded when it is first used.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from stepserve_core.later import names_later

if TYPE_CHECKING:
    from stepserve.testing.errors import BlockedError as BlockedError
    from stepserve.testing.errors import HarnessError as HarnessError
    from stepserve.testing.errors import NeverIdleError as NeverIdleError
    from stepserve.testing.errors import NoRunError as NoRunError
    from stepserve.testing.errors import ReplayError as ReplayError
    from stepserve.testing.errors import StubError as StubError
    from stepserve.testing.errors import UnknownStepError as UnknownStepError
    from stepserve.testing.errors import UnstubbedStepError as UnstubbedStepError
    from stepserve.testing.harness import Harness as Harness
    from stepserve.testing.harness import HarnessSync as HarnessSync
    from stepserve.testing.replay import assert_replays as assert_replays
    from stepserve.testing.runs import Run as Run
    from stepserve.testing.runs import RunError as RunError
    from stepserve.testing.runs import StepRecord as StepRecord
    from stepserve.testing.server import LiveServer as LiveServer
    from stepserve_core.executor.fault_report import FaultReport as FaultReport
    from stepserve_core.executor.fault_words import Finding as Finding
    from stepserve_core.faults import Faults as Faults

_ERRORS = (
    "BlockedError",
    "HarnessError",
    "NeverIdleError",
    "NoRunError",
    "ReplayError",
    "StubError",
    "UnknownStepError",
    "UnstubbedStepError",
)
_MODULES = {
    **dict.fromkeys(_ERRORS, "stepserve.testing.errors"),
    **dict.fromkeys(("Harness", "HarnessSync"), "stepserve.testing.harness"),
    **dict.fromkeys(("Run", "RunError", "StepRecord"), "stepserve.testing.runs"),
    "FaultReport": "stepserve_core.executor.fault_report",
    "Finding": "stepserve_core.executor.fault_words",
    "Faults": "stepserve_core.faults",
    "LiveServer": "stepserve.testing.server",
    "assert_replays": "stepserve.testing.replay",
}

__all__ = [  # pyright: ignore[reportUnsupportedDunderAll] - see __getattr__
    "BlockedError",
    "FaultReport",
    "Faults",
    "Finding",
    "Harness",
    "HarnessError",
    "HarnessSync",
    "LiveServer",
    "NeverIdleError",
    "NoRunError",
    "ReplayError",
    "Run",
    "RunError",
    "StepRecord",
    "StubError",
    "UnknownStepError",
    "UnstubbedStepError",
    "assert_replays",
]


if not TYPE_CHECKING:
    __getattr__ = names_later(__name__, _MODULES)

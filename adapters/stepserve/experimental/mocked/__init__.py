"""Run functions in tests, without a server: `trigger(function, event, client)`.

The run goes through the embedded executor, in memory, as in a harness of `stepserve.testing`. Nothing is waited for,
and nothing is sent.
"""

from stepserve.experimental.mocked.client import Inngest
from stepserve.experimental.mocked.result import Result, Status
from stepserve.experimental.mocked.trigger import trigger
from stepserve.testing.timeout import Timeout

__all__ = ["Inngest", "Result", "Status", "Timeout", "trigger"]

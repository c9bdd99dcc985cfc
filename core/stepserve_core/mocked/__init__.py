"""Run functions in tests, without a server: `trigger(function, event, client)`.

The steps go through the engine that serves calls in production. Nothing is waited for, and nothing is sent.
"""

from stepserve_core.mocked.client import Inngest
from stepserve_core.mocked.result import Result, Status
from stepserve_core.mocked.stubs import Timeout
from stepserve_core.mocked.trigger import trigger

__all__ = ["Inngest", "Result", "Status", "Timeout", "trigger"]

"""Run functions in tests, without a server: `trigger(function, event, client)`.

The steps go through the engine that serves calls in production. Nothing is waited for, and nothing is sent.
"""

from stepserve.experimental.mocked.client import Inngest
from stepserve.experimental.mocked.result import Result, Status
from stepserve.experimental.mocked.stubs import Timeout
from stepserve.experimental.mocked.trigger import trigger

__all__ = ["Inngest", "Result", "Status", "Timeout", "trigger"]

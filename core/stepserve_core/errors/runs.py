"""Errors of functions and steps: what they raise, and what users raise in them (protocol.md section 11)."""

from __future__ import annotations

import datetime

from stepserve_core._error_code import ErrorCode
from stepserve_core._in_process import now
from stepserve_core.errors.base import Error


class EventInvalidError(Error, ValueError):
    """An event that cannot be sent, or whose data is not what its `EventType` says. It is never retried."""

    code = ErrorCode.EVENT_INVALID
    is_retriable = False


class DecryptionError(Error):
    """Something was encrypted with a key that is not configured, or was damaged."""

    code = "decryption_failed"


class AsyncUnsupportedError(Error):
    """Something async was reached from a sync function."""

    code = ErrorCode.ASYNC_UNSUPPORTED


class OutputUnserializableError(Error):
    """An output that JSON cannot carry. Trying again would fail again, so it is not retried."""

    code = ErrorCode.OUTPUT_UNSERIALIZABLE
    is_retriable = False


class MemoMismatchError(Error):
    """A memo does not fit the type of its step, usually because the type changed while the run was waiting.

    The function cannot catch it, so that no clean-up code takes it for a failure of the step, and nothing is executed
    again: the step has done its work. It is retried, because the next deploy may bring a type that fits.
    """

    code = "memo_mismatch"


class StepUnexpectedError(Error):
    """The server asked for a step that the function does not reach."""

    code = ErrorCode.STEP_UNEXPECTED
    include_stack = False


class DeterminismError(Error):
    """A function would not replay as it ran, found by the checks of `STEPSERVE_STRICT=1`. The text says what to do."""

    code = "not_deterministic"
    include_stack = False
    is_retriable = False


class EndpointUnsupportedError(Error):
    """A durable endpoint answered with what cannot be kept: a stream, or too much (protocol.md 13.3)."""

    is_retriable = False


class StaleDispatchError(Error):
    """The server has given up the call that is under way, and called again; this one stops (protocol.md 13.1)."""

    include_stack = False
    is_retriable = False
    quiet = True


class StepOutsideFunctionError(Error, RuntimeError):
    """A step was used after its function ended, or outside of one."""

    code = ErrorCode.STEP_OUTSIDE_FUNCTION
    is_retriable = False


class NonRetriableError(Error):
    """Raise this to fail at once, whatever retries are left (protocol.md 5.8). `quiet` keeps it out of the log."""

    code = ErrorCode.NON_RETRIABLE_ERROR
    is_retriable = False

    def __init__(self, message: str | None = None, quiet: bool = False) -> None:
        super().__init__(message)
        self.quiet = quiet


class RetryAfterError(Error):
    """Raise this to be tried again, but not before `retry_after` (protocol.md 5.8).

    Args:
        message: what went wrong.
        retry_after: an int (milliseconds from now), a timedelta, text such as "30s", or a datetime. A datetime without
            time zone is local time. The server tries again after a second at the earliest and a day at the latest.
        quiet: keep the error out of the log.

    The attribute `retry_after` is a datetime: the one that was given, else one in local time without time zone.

    Raises:
        TypeError, ValueError: `retry_after` is none of these.
    """

    code = ErrorCode.RETRY_AFTER_ERROR

    def __init__(
        self,
        message: str | None,
        retry_after: int | datetime.timedelta | datetime.datetime | str,
        quiet: bool = False,
    ) -> None:
        super().__init__(message)
        if not isinstance(retry_after, datetime.datetime):
            retry_after = _local_after(retry_after, datetime.datetime.fromtimestamp(now(), datetime.timezone.utc))
        self.retry_after = retry_after
        self.quiet = quiet


def _local_after(duration: int | datetime.timedelta | str, now: datetime.datetime) -> datetime.datetime:
    """Return `now` plus `duration` in local time. Added in UTC, so that clocks that are put forward do not matter."""
    from stepserve_core._durations import to_milliseconds  # noqa: PLC0415 - it imports this module

    delta = datetime.timedelta(milliseconds=to_milliseconds(duration))
    return datetime.datetime.fromtimestamp((now + delta).timestamp())


class StepError(Error):
    """A step used up its retries; `name`, `message`, `stack` are those of its error (protocol.md 11.1).

    `step_id` names the step, with the number of its repeat behind a colon if the function uses the id more than once
    ("charge:1" is the second "charge"). It is None as long as the function has not reached the step.
    """

    code = ErrorCode.STEP_ERRORED
    is_retriable = False

    def __init__(self, message: str, name: str, stack: str | None) -> None:
        super().__init__(message)
        self._name = name
        self._stack = stack
        self.step_id: str | None = None

    @property
    def name(self) -> str:
        """The class name of the original error."""
        return self._name

    @property
    def stack(self) -> str | None:
        """The traceback of the original error, if it was recorded."""
        return self._stack

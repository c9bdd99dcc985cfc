"""Every public error.

    Exception
    └── UnreachableError               a bug in stepserve
    Error (an Exception)
    ├── CodedError                     a code chosen where it is raised
    │   └── URLInvalidError
    ├── ConfigurationError             the program is set up wrongly; raised while it starts
    │   ├── FunctionConfigInvalidError     a function's options
    │   ├── SigningKeyMissingError
    │   ├── SigningKeyInvalidError
    │   ├── EventKeyUnspecifiedError
    │   └── DependencyMissingError         `ctx.get()` found nothing
    ├── RequestError                   what arrived cannot be served
    │   ├── UnauthorizedError              401, and nothing is told to the sender
    │   │   ├── HeaderMissingError
    │   │   ├── SignatureMalformedError
    │   │   ├── SignatureExpiredError
    │   │   └── SigVerificationFailedError
    │   ├── BodyInvalidError
    │   ├── QueryParamMissingError
    │   └── FunctionNotFoundError
    ├── EventInvalidError              an event that cannot be sent, or does not have its type; never retried
    ├── SendEventsError                the server took only some of the events, or none
    ├── RegistrationFailedError        the server did not accept the app's functions
    ├── UnknownError                   for whatever has no class of its own
    ├── StateUnavailableError          a run's state could not be fetched
    ├── ServerAPIError                 the server's REST API refused a request, does not know it, or was not reached
    ├── DecryptionError                something was encrypted with another key
    ├── UnsupportedByServerError       the server lacks something that the function uses; never retried
    ├── AsyncUnsupportedError          something async was reached from a sync function
    ├── OutputUnserializableError      an output that JSON cannot carry; never retried
    ├── MemoMismatchError              a memo that does not fit the type of its step (any more); retried
    ├── StepUnexpectedError            the server asked for a step that the function does not reach
    ├── DeterminismError               a function that does not replay, under STEPSERVE_STRICT=1; never retried
    ├── StepOutsideFunctionError       a step was used after its function had ended
    ├── NonRetriableError              raised by users: do not try again
    ├── RetryAfterError                raised by users: try again, but not before
    └── StepError                      a step failed for good; raised where its result was expected

Wire codes and retry rules: protocol.md section 11. `status` is the HTTP status an error becomes.
"""

from __future__ import annotations

import datetime as _datetime
import traceback as _traceback
from collections.abc import Sequence

from stepserve_core._error_code import ErrorCode
from stepserve_core._in_process import now as _now


class Error(Exception):
    """Base of all errors of stepserve."""

    code: str = ErrorCode.UNKNOWN
    status = 500
    include_stack = True
    is_retriable = True

    @property
    def message(self) -> str:
        """The text of the error."""
        return str(self)

    @property
    def name(self) -> str:
        """The name of the error's class, as reported on the wire."""
        return type(self).__name__

    @property
    def stack(self) -> str | None:
        """The formatted traceback, of an error that was not raised only its last line; None where no stack is told."""
        if not self.include_stack:
            return None
        return "".join(_traceback.format_exception(type(self), self, self.__traceback__))


class CodedError(Error):
    """An error whose wire code is chosen where it is raised."""

    def __init__(self, code: str, message: str, *, is_retriable: bool = True) -> None:
        super().__init__(message)
        self.code = code
        self.is_retriable = is_retriable


class URLInvalidError(CodedError):
    """A URL that cannot be used. Nothing raises it today; the official SDK reserves it too."""

    code = ErrorCode.URL_INVALID

    def __init__(self, code: str = ErrorCode.URL_INVALID, message: str = "", *, is_retriable: bool = True) -> None:
        super().__init__(code, message, is_retriable=is_retriable)


class UnreachableError(Exception):
    """A place in stepserve that must not be reached was reached: a bug."""


class UnknownError(Error):
    """For whatever has no class of its own."""


class ConfigurationError(Error):
    """The program is set up wrongly; raised while it starts, not while it serves."""


class FunctionConfigInvalidError(ConfigurationError):
    """A function's options cannot be used."""

    code = ErrorCode.FUNCTION_CONFIG_INVALID


class SigningKeyMissingError(ConfigurationError):
    """Production mode needs a signing key."""

    code = ErrorCode.SIGNING_KEY_UNSPECIFIED


class SigningKeyInvalidError(ConfigurationError, ValueError):
    """The signing key is not hexadecimal text."""

    code = ErrorCode.SIGNING_KEY_INVALID


class EventKeyUnspecifiedError(ConfigurationError):
    """Production mode needs an event key before events can be sent."""

    code = ErrorCode.EVENT_KEY_UNSPECIFIED


class DependencyMissingError(ConfigurationError, LookupError):
    """No middleware provides what a function asked for with `ctx.get()`."""

    code = ErrorCode.DEPENDENCY_MISSING


class RequestError(Error):
    """What arrived cannot be served."""


class UnauthorizedError(RequestError):
    """The request does not prove that it comes from the server."""

    code = ErrorCode.UNAUTHORIZED
    status = 401


class HeaderMissingError(UnauthorizedError):
    """A required header is missing."""

    code = ErrorCode.HEADER_MISSING


class SignatureMalformedError(UnauthorizedError):
    """The signature header does not have the form of one."""

    code = ErrorCode.SIG_VERIFICATION_FAILED


class SignatureExpiredError(UnauthorizedError):
    """The signature was made too long ago, or in the future."""

    code = ErrorCode.SIG_VERIFICATION_FAILED


class SigVerificationFailedError(UnauthorizedError):
    """No configured key made the signature."""

    code = ErrorCode.SIG_VERIFICATION_FAILED


class BodyInvalidError(RequestError):
    """The body is not what the protocol asks for."""

    code = ErrorCode.BODY_INVALID


class QueryParamMissingError(RequestError):
    """A required query parameter is missing."""

    code = ErrorCode.QUERY_PARAM_MISSING


class FunctionNotFoundError(RequestError):
    """No served function has this id."""

    code = ErrorCode.FUNCTION_NOT_FOUND


class EventInvalidError(Error, ValueError):
    """An event that cannot be sent, or whose data is not what its `EventType` says. It is never retried."""

    code = ErrorCode.EVENT_INVALID
    is_retriable = False


class SendEventsError(Error):
    """The server took only some of the events, or none.

    `ids` holds the ids of the events that it did take.
    """

    code = ErrorCode.SEND_EVENT_FAILED

    def __init__(self, message: str, ids: Sequence[str]) -> None:
        super().__init__(message)
        self.ids = list(ids)


class RegistrationFailedError(Error):
    """The server did not accept the app's functions."""

    code = ErrorCode.REGISTRATION_FAILED


class StateUnavailableError(Error):
    """The state of a run, too large for the request, could not be fetched."""


class ServerAPIError(Error):
    """The server's REST API refused a request, does not know it, or could not be reached.

    `http_status` is the status of its answer, None where there was none.
    """

    code = "server_api_error"

    def __init__(self, message: str, http_status: int | None) -> None:
        super().__init__(message)
        self.http_status = http_status


class DecryptionError(Error):
    """Something was encrypted with a key that is not configured, or was damaged."""

    code = "decryption_failed"


class UnsupportedByServerError(Error):
    """The server lacks something that the function uses. It would be so at the next attempt too: not retried."""

    code = "unsupported_by_server"
    is_retriable = False


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


class StepOutsideFunctionError(Error, RuntimeError):
    """A step was used after its function ended, or outside of one."""

    code = ErrorCode.STEP_OUTSIDE_FUNCTION
    is_retriable = False


class NonRetriableError(Error):
    """Raise this to fail at once, whatever retries are left. `quiet` keeps it out of the log."""

    code = ErrorCode.NON_RETRIABLE_ERROR
    is_retriable = False

    def __init__(self, message: str | None = None, quiet: bool = False) -> None:
        super().__init__(message)
        self.quiet = quiet


class RetryAfterError(Error):
    """Raise this to be tried again, but not before `retry_after`.

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
        retry_after: int | _datetime.timedelta | _datetime.datetime | str,
        quiet: bool = False,
    ) -> None:
        super().__init__(message)
        if not isinstance(retry_after, _datetime.datetime):
            retry_after = _local_after(retry_after, _datetime.datetime.fromtimestamp(_now(), _datetime.timezone.utc))
        self.retry_after = retry_after
        self.quiet = quiet


def _local_after(duration: int | _datetime.timedelta | str, now: _datetime.datetime) -> _datetime.datetime:
    """Return `now` plus `duration` in local time. Added in UTC, so that clocks that are put forward do not matter."""
    from stepserve_core._durations import to_milliseconds  # noqa: PLC0415 - it imports this module

    delta = _datetime.timedelta(milliseconds=to_milliseconds(duration))
    return _datetime.datetime.fromtimestamp((now + delta).timestamp())


class StepError(Error):
    """A step used up its retries. `name`, `message` and `stack` are those of the error it ended with.

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


def is_retriable(err: BaseException) -> bool:
    """Say whether the server should try again after `err`."""
    return getattr(err, "is_retriable", True) is not False


def is_quiet(err: BaseException) -> bool:
    """Say whether `err` was raised with `quiet=True`."""
    return getattr(err, "quiet", False) is True

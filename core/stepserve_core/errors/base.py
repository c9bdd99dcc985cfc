"""What all errors have, and those that belong to no part of the work (protocol.md section 11)."""

from __future__ import annotations

from stepserve_core._error_code import ErrorCode


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
        import traceback  # noqa: PLC0415 - only programs in which something fails pay for importing it

        return "".join(traceback.format_exception(type(self), self, self.__traceback__))


class CodedError(Error):
    """An error whose wire code is chosen where it is raised."""

    def __init__(self, code: str, message: str, *, is_retriable: bool = True) -> None:
        super().__init__(message)
        self.code = code
        self.is_retriable = is_retriable


class URLInvalidError(CodedError):
    """A URL that cannot be used: of a request whose Host header is no host. The official SDK reserves it only."""

    code = ErrorCode.URL_INVALID
    status = 400

    def __init__(self, code: str = ErrorCode.URL_INVALID, message: str = "", *, is_retriable: bool = True) -> None:
        super().__init__(code, message, is_retriable=is_retriable)


class UnreachableError(Exception):
    """A place in stepserve that must not be reached was reached: a bug."""


class UnknownError(Error):
    """For whatever has no class of its own."""


def is_retriable(err: BaseException) -> bool:
    """Say whether the server should try again after `err`."""
    return getattr(err, "is_retriable", True) is not False


def is_quiet(err: BaseException) -> bool:
    """Say whether `err` was raised with `quiet=True`."""
    return getattr(err, "quiet", False) is True

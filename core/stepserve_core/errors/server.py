"""Errors of what the program asks of its server (protocol.md sections 8, 11 and 14)."""

from __future__ import annotations

from collections.abc import Sequence

from stepserve_core._error_code import ErrorCode
from stepserve_core.errors.base import Error


class SendEventsError(Error):
    """The server took only some of the events, or none (protocol.md 8.3).

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


class ConnectError(Error):
    """A worker is not connected to the server, or cannot be; see `stepserve.connect`."""


class ConnectRefusedError(ConnectError):
    """The server does not let the worker connect: its key or its functions are not accepted."""


class ServerAPIError(Error):
    """The server's REST API refused a request, does not know it, or could not be reached.

    `http_status` is the status of its answer, None where there was none.
    """

    code = "server_api_error"

    def __init__(self, message: str, http_status: int | None) -> None:
        super().__init__(message)
        self.http_status = http_status


class UnsupportedByServerError(Error):
    """The server lacks something that the function uses. It would be so at the next attempt too: not retried."""

    code = "unsupported_by_server"
    is_retriable = False

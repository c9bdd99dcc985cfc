"""Errors of requests that cannot be served (protocol.md section 11)."""

from __future__ import annotations

from stepserve_core._error_code import ErrorCode
from stepserve_core.errors.base import Error


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

"""Errors of a program that is set up wrongly; raised while it starts (protocol.md section 11)."""

from __future__ import annotations

from stepserve_core._error_code import ErrorCode
from stepserve_core.errors.base import Error


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

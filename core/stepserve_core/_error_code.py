"""The codes of errors (protocol.md section 11)."""

from __future__ import annotations

import enum


class ErrorCode(str, enum.Enum):
    """What kind of error it is, on the wire. Compares equal to its text."""

    ASYNC_UNSUPPORTED = "async_unsupported"
    BODY_INVALID = "body_invalid"
    DEPENDENCY_MISSING = "dependency_missing"
    EVENT_INVALID = "event_invalid"
    EVENT_KEY_UNSPECIFIED = "event_key_unspecified"
    FUNCTION_CONFIG_INVALID = "function_config_invalid"
    FUNCTION_NOT_FOUND = "function_not_found"
    HEADER_MISSING = "header_missing"
    NON_RETRIABLE_ERROR = "non_retriable_error"
    OUTPUT_UNSERIALIZABLE = "output_unserializable"
    QUERY_PARAM_MISSING = "query_param_missing"
    REGISTRATION_FAILED = "registration_failed"
    RETRY_AFTER_ERROR = "retry_after_error"
    SEND_EVENT_FAILED = "send_event_failed"
    SERVER_KIND_MISMATCH = "server_kind_mismatch"
    SIG_VERIFICATION_FAILED = "sig_verification_failed"
    SIGNING_KEY_INVALID = "signing_key_invalid"
    SIGNING_KEY_UNSPECIFIED = "signing_key_unspecified"
    STEP_ERRORED = "step_errored"
    STEP_NESTED = "step_nested"
    STEP_OUTSIDE_FUNCTION = "step_outside_function"
    STEP_UNEXPECTED = "step_unexpected"
    UNAUTHORIZED = "unauthorized"
    UNKNOWN = "unknown"
    URL_INVALID = "url_invalid"

    def __str__(self) -> str:
        return self.value

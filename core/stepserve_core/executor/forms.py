"""Forms that browsers send, in both encodings: fields and their texts (executor.md 2.1). No I/O."""

from __future__ import annotations

from urllib.parse import parse_qs

from stepserve_core.errors import EventInvalidError
from stepserve_core.executor import limits

URL_ENCODED = "application/x-www-form-urlencoded"
MULTIPART = "multipart/form-data"


def is_form(content_type: str) -> bool:
    """Say whether a body of this type is a form."""
    return _kind_of(content_type) in (URL_ENCODED, MULTIPART)


def read_form(body: bytes, content_type: str) -> dict[str, list[str]]:
    """Return the texts of each field, in their order. Files are left out: an event is JSON, which has no bytes.

    Raises:
        EventInvalidError: the form is broken, too long, or no UTF-8.
    """
    if len(body) > limits.EVENT_SIZE:
        raise EventInvalidError(f"the form is larger than {limits.EVENT_SIZE} bytes")
    try:
        if _kind_of(content_type) == URL_ENCODED:
            return parse_qs(body.decode(), keep_blank_values=True, max_num_fields=limits.FORM_FIELDS)
        # Hardly any event comes as one, and the executor runs in tests without the library that reads it.
        from stepserve_core.executor.multipart import read_multipart  # noqa: PLC0415

        return read_multipart(body, content_type)
    except ValueError as error:
        raise EventInvalidError(f"the form cannot be read: {error}") from None


def _kind_of(content_type: str) -> str:
    return content_type.partition(";")[0].strip().lower()

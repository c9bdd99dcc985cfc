"""A form as bytes again, where a framework has parsed it, and its body is gone."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from typing import NamedTuple
from urllib.parse import urlencode

_ESCAPES = {ord('"'): "%22", ord("\r"): "%0D", ord("\n"): "%0A"}
"""As browsers write names into the headers of a part."""


class File(NamedTuple):
    """An uploaded file."""

    filename: str
    content_type: str | None
    content: bytes


def encode_form(content_type: str, fields: Iterable[tuple[str, str | File]]) -> tuple[str, bytes]:
    """Return the content type and the body of a form, for one that came as `content_type`.

    What is parsed and encoded again gives the same bytes: the server signs them, and they come again.
    """
    if not content_type.startswith("multipart/"):
        return content_type, urlencode([(name, str(value)) for name, value in fields]).encode()
    parts = [_part(name, value) for name, value in fields]
    boundary = hashlib.sha256(b"".join(parts)).hexdigest().encode()
    lines = b"".join(b"--%b\r\n%b\r\n" % (boundary, part) for part in parts)
    return f"multipart/form-data; boundary={boundary.decode()}", lines + b"--%b--\r\n" % boundary


def _part(name: str, value: str | File) -> bytes:
    header = f'Content-Disposition: form-data; name="{name.translate(_ESCAPES)}"'
    if isinstance(value, str):
        return f"{header}\r\n\r\n{value}".encode()
    header += f'; filename="{value.filename.translate(_ESCAPES)}"'
    if value.content_type is not None:
        header += f"\r\nContent-Type: {value.content_type}"
    return f"{header}\r\n\r\n".encode() + value.content

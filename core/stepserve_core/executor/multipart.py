"""Forms of the type multipart/form-data (executor.md 2.1). No I/O."""

from __future__ import annotations

from typing import TYPE_CHECKING

from python_multipart.multipart import MultipartParser, parse_options_header

from stepserve_core.executor import limits

if TYPE_CHECKING:
    from python_multipart.multipart import MultipartCallbacks


class _Parts:
    """What the parser has found; it calls back with pieces of the body."""

    def __init__(self) -> None:
        self.fields: dict[str, list[str]] = {}
        self.is_complete = False
        self._count = 0
        # The parser gives many pieces where a body has many line ends: byte arrays grow without being copied.
        self._header, self._value, self._content = bytearray(), bytearray(), bytearray()
        self._disposition = b""

    def begin(self) -> None:
        self._count += 1
        if self._count > limits.FORM_FIELDS:
            raise ValueError(f"it has more than {limits.FORM_FIELDS} fields")
        self._content.clear()
        self._disposition = b""

    def add_header(self, data: bytes, start: int, end: int) -> None:
        self._header += data[start:end]

    def add_value(self, data: bytes, start: int, end: int) -> None:
        self._value += data[start:end]

    def end_header(self) -> None:
        if self._header.lower() == b"content-disposition":
            self._disposition = bytes(self._value)
        self._header.clear()
        self._value.clear()

    def add_content(self, data: bytes, start: int, end: int) -> None:
        self._content += data[start:end]

    def end(self) -> None:
        _, options = parse_options_header(self._disposition)
        if b"name" not in options:
            raise ValueError("a field has no name")
        if b"filename" not in options:
            self.fields.setdefault(options[b"name"].decode(), []).append(self._content.decode())

    def complete(self) -> None:
        self.is_complete = True


def read_multipart(body: bytes, content_type: str) -> dict[str, list[str]]:
    """Return the texts of each field, in their order.

    Raises:
        ValueError: the body is broken.
    """
    _, options = parse_options_header(content_type)
    boundary = options.get(b"boundary", b"")
    if not boundary:
        raise ValueError("its content type names no boundary")
    parts = _Parts()
    callbacks: MultipartCallbacks = {
        "on_part_begin": parts.begin,
        "on_header_field": parts.add_header,
        "on_header_value": parts.add_value,
        "on_header_end": parts.end_header,
        "on_part_data": parts.add_content,
        "on_part_end": parts.end,
        "on_end": parts.complete,
    }
    MultipartParser(boundary, callbacks).write(body)
    if not parts.is_complete:
        raise ValueError("it ends before its last boundary")
    return parts.fields

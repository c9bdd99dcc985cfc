"""Keys stay out of the lines that httpx logs about our requests: event keys are part of the URL (protocol.md 8.1)."""

from __future__ import annotations

import logging
import re

_SECRET = re.compile(r"(://[^/]+/e/|[?&]token=)[^/?&#]+")


def hide_keys() -> None:
    """Let httpx log URLs of ours without their keys, now and from now on."""
    logging.getLogger("httpx").addFilter(_hide)  # adding it again changes nothing


def _hide(record: logging.LogRecord) -> bool:
    if isinstance(record.args, tuple):
        record.args = tuple(map(_without_key, record.args))
    return True


def _without_key(value: object) -> object:
    text = str(value) if type(value).__name__ == "URL" else value
    return _SECRET.sub(r"\1…", text) if isinstance(text, str) else text

"""HTTP inside of events: what serverless platforms hand to a function instead of a request.

They say the same things in different places: a method, a URL in pieces, headers, a body that is text or base64.
"""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import quote

from stepserve_core import Function, Inngest, Streaming
from stepserve_core.errors import ConfigurationError
from stepserve_core.handler import Handler, ServeOptions

_PATH_CHARACTERS = "/%:@!$&'()*+,;=~"
"""What may stand in a path; `%`, because some platforms decode paths and some do not."""


def whole_answer_handler(
    platform: str,
    client: Inngest,
    functions: Sequence[Function[Any]],
    framework: str,
    options: ServeOptions,
) -> Handler:
    """Return a handler for a platform that takes an answer as a whole.

    Raises:
        ConfigurationError: `options` ask for streaming; or see `Handler`.
    """
    if options.get("streaming") is Streaming.FORCE:
        raise ConfigurationError(
            f"{platform} takes an answer as a whole: it cannot be streamed; leave out streaming=Streaming.FORCE"
        )
    return Handler(client, functions, framework=framework, **options)


def headers_from(headers: Mapping[str, str | Sequence[str]]) -> dict[str, str]:
    """Return headers by their lower-case names; of several values, the first."""
    found: dict[str, str] = {}
    for name, value in headers.items():
        found.setdefault(name.lower(), value if isinstance(value, str) else value[0])
    return found


def body_from(body: str | None, is_base64: bool) -> bytes:
    """Return the bytes of a body that came as text, or as base64 of what is not text."""
    if not body:
        return b""
    # Half characters cannot be part of a signed body; they must not be able to raise an error either.
    return base64.b64decode(body) if is_base64 else body.encode("utf-8", "surrogatepass")


def url_from(origin: str, path: str, query: str) -> str:
    """Return a URL; `query` is encoded, `path` may be."""
    url = origin + quote(path, safe=_PATH_CHARACTERS)
    return f"{url}?{query}" if query else url

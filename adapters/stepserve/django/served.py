"""What the project's URLs serve, for commands and checks."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

from django.urls import URLResolver, get_resolver, get_script_prefix

from stepserve.django.patterns import ServePattern
from stepserve_core import Inngest
from stepserve_core.handler import Handler

DEV_ORIGIN = "http://127.0.0.1:8000"
"""Where `manage.py runserver` listens."""


class ServedApp(NamedTuple):
    """An app in the project's URLs; `path` begins with a slash."""

    path: str
    client: Inngest
    handler: Handler


def served_apps() -> list[ServedApp]:
    """Return the apps that the URLs of ROOT_URLCONF serve, in their order."""
    return list(_below(get_resolver().url_patterns, get_script_prefix()))


def _below(patterns: Any, prefix: str) -> Iterator[ServedApp]:
    for pattern in patterns:
        if isinstance(pattern, ServePattern):
            yield ServedApp(f"{prefix}{pattern.pattern}", pattern.client, pattern.handler)
        elif isinstance(pattern, URLResolver):
            yield from _below(pattern.url_patterns, f"{prefix}{pattern.pattern}")

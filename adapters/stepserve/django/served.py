"""What the project's URLs serve, for commands and checks."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any, NamedTuple

from django.urls import URLPattern, URLResolver, get_resolver, get_script_prefix
from django.urls.resolvers import RegexPattern

from stepserve.django.configuration import Problem
from stepserve.django.patterns import RefusedPattern, ServePattern
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
    found = _below(get_resolver().url_patterns, get_script_prefix())
    return [ServedApp(path, one.client, one.handler) for path, one in found if isinstance(one, ServePattern)]


def refusals() -> list[Problem]:
    """Return why URLs of ROOT_URLCONF refuse to serve what they should."""
    found = _below(get_resolver().url_patterns, get_script_prefix())
    return [one.problem for _, one in found if isinstance(one, RefusedPattern)]


def _below(patterns: Any, prefix: str) -> Iterator[tuple[str, URLPattern]]:
    for pattern in patterns:
        path = prefix + _text(pattern.pattern)
        if isinstance(pattern, URLResolver):
            yield from _below(pattern.url_patterns, path)
        else:
            yield path, pattern


def _text(pattern: object) -> str:
    """Return the path that a pattern matches; of a regular expression, what it would be without operators."""
    if not isinstance(pattern, RegexPattern):
        return str(pattern)
    return re.sub(r"\\(.)", r"\1", str(pattern).removeprefix("^").removesuffix("$"))

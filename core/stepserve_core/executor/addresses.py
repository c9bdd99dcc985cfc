"""URLs as people see them. No I/O."""

from __future__ import annotations


def show_url(url: str) -> str:
    """Return a URL for what is stored and shown: without query and credentials, where keys may stand."""
    place = url.partition("#")[0].partition("?")[0]
    scheme, separator, rest = place.partition("://")
    authority, slash, path = rest.partition("/")
    return f"{scheme}{separator}{authority.rpartition('@')[2]}{slash}{path}"

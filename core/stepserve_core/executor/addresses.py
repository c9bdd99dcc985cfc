"""URLs as people see them, and which of them are the same. No I/O."""

from __future__ import annotations

from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

_DEFAULT_PORTS = {"http": 80, "https": 443, "ws": 80, "wss": 443}
_OWN_QUERY = frozenset({"deployId", "probe"})
_THIS_MACHINE = frozenset({"127.0.0.1", "0.0.0.0"})  # noqa: S104 - compared with, not listened at


def show_url(url: str) -> str:
    """Return a URL for what is stored and shown: without query and credentials, where keys may stand."""
    place = url.partition("#")[0].partition("?")[0]
    scheme, separator, rest = place.partition("://")
    authority, slash, path = rest.partition("/")
    return f"{scheme}{separator}{authority.rpartition('@')[2]}{slash}{path}"


def normalize_url(url: str) -> str:
    """Return the one spelling of the URLs at which the same app is served (executor.md 1.4).

    Parameters that SDKs add are left out and the others sorted, default ports are dropped, and with another port the
    addresses of this machine are `localhost`. What is no URL stays as it is.
    """
    try:
        parts = urlsplit(url)
        port, host = parts.port, parts.hostname or ""
        kept = sorted(pair for pair in parse_qsl(parts.query, keep_blank_values=True) if pair[0] not in _OWN_QUERY)
    except ValueError:
        return url
    user, at, _ = parts.netloc.rpartition("@")
    host = f"[{host}]" if ":" in host else host
    if port is None or port == _DEFAULT_PORTS.get(parts.scheme):
        place = host
    else:
        place = f"{'localhost' if host in _THIS_MACHINE else host}:{port}"
    return urlunsplit((parts.scheme, f"{user}{at}{place}", parts.path, urlencode(kept), ""))

"""What is wrong with an app, by what it and its server answered. No I/O."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import urlsplit

from stepserve_core import _protocol
from stepserve_core._signature import hash_signing_key
from stepserve_core.cli.doctor.findings import Finding, Level, check_clock
from stepserve_core.cli.doctor.looks import Answer, AppLook, ServerLook, Silence
from stepserve_core.cli.doctor.remedies import advise, silence_remedy
from stepserve_core.cli.doctor.server_checks import kind_of

_COMPANIONS = ("-failure", "-cancel")
"""How the slugs of handlers end that are registered beside their function, and not counted with the others."""

_LOCAL = ("localhost", "127.0.0.1", "::1", "0.0.0.0")  # noqa: S104 - compared with, not listened at


def check_app(look: AppLook, server: ServerLook, key: str | None) -> Iterator[Finding]:
    """Judge an app, and whether the server knows of it what it serves. `key`: the signing key that opened both."""
    about = f"app {look.url}"
    refusal = _refusal(look.inspection, has_key=key is not None, kind=kind_of(server))
    if refusal is not None:
        yield Finding(Level.PROBLEM, about, *refusal)
        return
    assert isinstance(look.inspection, Answer)
    inspected = look.inspection.fields
    yield from check_clock(about, look.inspection.ahead)
    yield Finding(Level.OK, about, _introduction(inspected, look.inspection.headers))
    findings = [*_check_settings(inspected, look.url, server, key), *_check_url(look), *_check_registered(look, server)]
    yield from (Finding(level, about, text, remedy) for level, text, remedy in findings)


_Judgement = tuple[Level, str, str]


def _refusal(seen: Answer | Silence, *, has_key: bool, kind: str | None) -> tuple[str, str] | None:
    """Return what is wrong with an app that does not introduce itself, and what to do; None where it does."""
    if isinstance(seen, Silence):
        return f"does not answer: {seen.reason}", silence_remedy(seen.reason)
    if 300 <= seen.status < 400:
        target = seen.headers.get("location", "elsewhere")
        return f"redirects to {target}", "Register the URL that it redirects to; signed requests are not redirected."
    # An app that refuses says no more of itself than that it was the app (protocol.md 4.1).
    if _protocol.SDK not in seen.headers and _protocol.SDK_HANDLED not in seen.headers:
        return _STRIPPED if "function_count" in seen.fields else _foreign_refusal(seen.status)
    return None if seen.status == 200 else _own_refusal(seen.status, has_key=has_key, kind=kind)


def _own_refusal(status: int, *, has_key: bool, kind: str | None) -> tuple[str, str]:
    """Return what it means that the app answers, but not with its introduction."""
    if status == 401 and has_key:
        remedy = (
            "Give both the same INNGEST_SIGNING_KEY (or the app the old one as INNGEST_SIGNING_KEY_FALLBACK). If they"
            " have it: does a proxy remove the header X-Inngest-Signature, or is the clock of the app off by minutes?"
        )
        return "refuses the signature: its signing key is another one", remedy
    if status == 401 and kind == "dev":
        remedy = "To develop, start the app with INNGEST_DEV=1. In production, use `stepserve start`, with its keys."
        return "is in production mode, and the server is one for development", remedy
    if status == 401:
        return "is in production mode and wants signed requests", "Pass its signing key: INNGEST_SIGNING_KEY."
    if status == 403:
        with_key = "Start the app without INNGEST_DEV, with INNGEST_SIGNING_KEY."
        return "is in another mode than the server", "Start the app with INNGEST_DEV=1." if kind == "dev" else with_key
    return f"answers {status}", "Its own log says why."


_STRIPPED = (
    "introduces itself, but the X-Inngest-* headers of its answer are missing",
    "Let the proxy before it pass all headers that begin with X-Inngest-, in both directions.",
)


def _foreign_refusal(status: int) -> tuple[str, str]:
    """Return what it means that something answers which is not the app."""
    if status == 404:
        return "serves nothing at this path (404)", "Check the path; serve() uses /api/inngest unless told otherwise."
    if status in (401, 403, 405):
        remedy = "Let GET, POST and PUT of this path pass without login or CSRF token; its requests are signed."
        return f"something before the app refuses the request ({status})", remedy
    if status >= 500:
        return f"the web server or a proxy before the app answers {status}", "See whether the app runs behind it."
    return f"what answers there ({status}) does not serve functions", "Check the path; a catch-all page may answer."


def _introduction(inspected: Mapping[str, Any], headers: Mapping[str, str]) -> str:
    count = inspected.get("function_count", 0)
    mode = "development" if inspected.get("mode") == "dev" else "production"
    name = inspected.get("app_id") or "answers"
    with_what = inspected.get("framework") or headers.get(_protocol.FRAMEWORK) or "unknown framework"
    made = headers.get(_protocol.SDK, "")
    return f"{name}: {count} function{'' if count == 1 else 's'} on {with_what}, {made}, in {mode} mode"


def _check_settings(
    inspected: Mapping[str, Any], url: str, server: ServerLook, key: str | None
) -> Iterator[_Judgement]:
    if inspected.get("function_count") == 0:
        yield Level.PROBLEM, "serves no functions", "Pass the functions to serve()."
    if inspected.get("mode") == "dev" and (urlsplit(url).hostname or "") not in _LOCAL:
        remedy = "Where others can reach it, start it without INNGEST_DEV and with INNGEST_SIGNING_KEY."
        yield Level.WARNING, "is in development mode: it takes orders from everybody", remedy
    if not inspected.get("authentication_succeeded"):
        return
    if key is not None and inspected.get("signing_key_hash") != hash_signing_key(key):
        remedy = "End the exchange of keys: give the app this key as INNGEST_SIGNING_KEY."
        yield Level.WARNING, "accepts this signing key as its fallback only", remedy
    if not inspected.get("has_event_key"):
        yield Level.WARNING, "has no event key and cannot send events", "Set INNGEST_EVENT_KEY where it runs."
    origin = inspected.get("api_origin") or ""
    if origin and not _same_place(origin, server.url):
        remedy = f"Set INNGEST_BASE_URL={server.url} where the app runs, if this is the server that you mean."
        yield Level.PROBLEM, f"works with another server: {origin}", remedy


def _check_url(look: AppLook) -> Iterator[_Judgement]:
    """Judge under which URL the app thinks that it is reached: that is the one it registers."""
    if look.in_band is None:
        return
    if isinstance(look.in_band, Silence) or look.in_band.status != 200:
        why = look.in_band.reason if isinstance(look.in_band, Silence) else str(look.in_band.status)
        yield Level.PROBLEM, f"does not list its functions (PUT: {why})", "Its own log says why."
        return
    own = look.in_band.fields.get("url", "")
    if _comparable(own) != _comparable(look.url):
        yield Level.WARNING, f"calls itself {own}", _URL_REMEDY


_URL_REMEDY = (
    "Behind a proxy, set INNGEST_SERVE_ORIGIN (and serve_path), or let the web server trust the proxy's"
    " X-Forwarded-Proto and X-Forwarded-Host."
)


_OTHER_URL_REMEDY = (
    "If the app has moved, sync it. If that is another app, give one of them another app_id: they replace each other."
    " If both URLs lead to this one, the first is what the server calls; set INNGEST_SERVE_ORIGIN to change it."
)


def _check_registered(look: AppLook, server: ServerLook) -> Iterator[_Judgement]:
    """Compare what the app serves with what the server has."""
    if server.apps is None:
        return
    assert isinstance(look.inspection, Answer)
    name = look.inspection.fields.get("app_id")
    known = [
        app for app in server.apps if (name and app["name"] == name) or _comparable(app["url"]) == _comparable(look.url)
    ]
    sync = f"Sync it: stepserve apps sync {look.url}"
    if not known:
        if look.inspection.fields.get("mode") == "dev":
            sync += f" (its INNGEST_DEV must be {server.url}: there it registers)"
        yield Level.PROBLEM, "is not registered with the server", sync
        return
    app = known[0]
    if app.get("error"):
        yield Level.PROBLEM, f"the server could not sync it: {app['error']}", f"{advise(app['error'])} {sync}"
        return
    if _comparable(app["url"]) != _comparable(look.url):
        yield Level.WARNING, f"the server has an app of this id at another URL: {app['url']}", _OTHER_URL_REMEDY
    registered = (server.slugs or {}).get(app["id"])
    if registered is None:
        return
    differences = list(_differences(look, registered))
    yield from ((Level.PROBLEM, text, sync) for text in differences)
    if not differences:
        yield Level.OK, "what it serves is registered", ""


def _differences(look: AppLook, registered: frozenset[str]) -> Iterator[str]:
    if isinstance(look.in_band, Answer) and look.in_band.status == 200:
        served = {function["id"] for function in look.in_band.fields.get("functions", [])}
        if served - registered:
            yield f"serves functions that are not registered: {', '.join(sorted(served - registered))}"
        if registered - served:
            yield f"functions are registered that it does not serve: {', '.join(sorted(registered - served))}"
        return
    assert isinstance(look.inspection, Answer)
    served_count = look.inspection.fields.get("function_count")
    count = sum(1 for slug in registered if not _is_companion(slug, registered))
    if served_count is not None and served_count != count:
        yield f"serves {served_count} functions, of which the server has {count}"


def _is_companion(slug: str, slugs: frozenset[str]) -> bool:
    return any(slug.endswith(end) and slug.removesuffix(end) in slugs for end in _COMPANIONS)


def _comparable(url: str) -> tuple[str, str, int | None, str]:
    """Return what must be the same of two URLs that lead to one app; the names of this machine are one name."""
    parts = urlsplit(url)
    host = parts.hostname or ""
    port = parts.port or {"http": 80, "https": 443}.get(parts.scheme)
    return parts.scheme, "localhost" if host in _LOCAL else host, port, parts.path.rstrip("/")


def _same_place(one: str, other: str) -> bool:
    return _comparable(one)[:3] == _comparable(other)[:3]

"""What is wrong with a server, by what it answered. No I/O."""

from __future__ import annotations

from collections.abc import Iterator

from stepserve_core import _protocol
from stepserve_core.cli.doctor.findings import Finding, Level, check_clock
from stepserve_core.cli.doctor.looks import ServerLook, Silence


def kind_of(look: ServerLook) -> str | None:
    """Return the kind that a server says it is, dev or cloud; None where it did not."""
    return None if isinstance(look.health, Silence) else look.health.headers.get(_protocol.SERVER_KIND)


def check_server(look: ServerLook, *, has_key: bool) -> Iterator[Finding]:
    """Judge a server; `has_key`: it was asked with a signing key."""
    about = f"server {look.url}"
    if isinstance(look.health, Silence):
        remedy = "Start it (`stepserve dev`, or `stepserve start` in production), or pass its URL: --url."
        yield Finding(Level.PROBLEM, about, f"does not answer: {look.health.reason}", remedy)
        return
    kind = kind_of(look)
    if look.health.status != 200 or kind is None:
        text = f"what answers there is not a server of functions (GET /health: {look.health.status})"
        yield Finding(Level.PROBLEM, about, text, "Pass the server's URL: --url. The app's own URL is the argument.")
        return
    yield from check_clock(about, look.health.ahead)
    if look.listing is None:
        yield Finding(Level.WARNING, about, "did not say in time which apps it knows", "Try again; see its log.")
    elif look.listing.status == 401:
        text = "refused the signing key" if has_key else "wants a signing key"
        yield Finding(Level.PROBLEM, about, text, "Pass the key it was started with: INNGEST_SIGNING_KEY.")
    elif look.apps is None:
        text = f"does not tell which apps it knows (GET /v2/apps: {look.listing.status})"
        yield Finding(Level.WARNING, about, text, "What is registered there cannot be compared.")
    else:
        what = "for development, without keys" if kind == "dev" else "for production, with keys"
        count = len(look.apps)
        yield Finding(Level.OK, about, f"answers; it is {what}, and knows {count} app{'' if count == 1 else 's'}")
        if not look.apps:
            remedy = "Sync your app: stepserve apps sync http://127.0.0.1:8000/api/inngest"
            yield Finding(Level.WARNING, about, "no app has registered", remedy)

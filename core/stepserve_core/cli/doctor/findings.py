"""What the doctor finds, and what was found about the environment. No I/O."""

from __future__ import annotations

import difflib
import enum
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from stepserve_core import _settings
from stepserve_core.errors import ConfigurationError, SigningKeyInvalidError

SETTINGS = (
    "INNGEST_API_BASE_URL",
    "INNGEST_BASE_URL",
    "INNGEST_DEV",
    "INNGEST_ENABLE_UNAUTHED_SYNC",
    "INNGEST_ENV",
    "INNGEST_EVENT_API_BASE_URL",
    "INNGEST_EVENT_KEY",
    "INNGEST_SERVE_ORIGIN",
    "INNGEST_SERVE_PATH",
    "INNGEST_SIGNING_KEY",
    "INNGEST_SIGNING_KEY_FALLBACK",
    "INNGEST_STREAMING",
)
"""Variables that apps read; others are not warned of unless they look like one of these."""


class Level(enum.Enum):
    """How bad it is."""

    OK = "ok"
    WARNING = "warning"
    PROBLEM = "problem"


@dataclass(frozen=True)
class Finding:
    """Something that was looked at: what it is about, how it is, and in words what to change."""

    level: Level
    about: str
    text: str
    remedy: str = ""


def check_environment(variables: Mapping[str, str]) -> Iterator[Finding]:
    """Judge the variables that apps and commands which are started here get their settings from (protocol.md 1.2)."""
    about = "environment"
    yield from _check_names(variables)
    try:
        settings = _settings.resolve(
            api_base_url=None,
            env=None,
            event_api_base_url=None,
            event_key=None,
            is_production=None,
            signing_key=None,
            environment=variables,
        )
    except (ConfigurationError, SigningKeyInvalidError) as error:
        yield Finding(Level.PROBLEM, about, str(error), "Copy the key anew; an app refuses to start with this one.")
        return
    for name in ("INNGEST_BASE_URL", "INNGEST_API_BASE_URL", "INNGEST_EVENT_API_BASE_URL"):
        yield from _check_url(name, variables.get(name, ""))
    if settings.mode == "dev" and settings.signing_key is not None:
        yield Finding(
            Level.WARNING,
            about,
            "INNGEST_DEV is set beside a signing key: apps started here do not check signatures",
            "In production leave INNGEST_DEV away, or set it to 0.",
        )
    elif settings.mode == "cloud" and settings.signing_key is None:
        yield Finding(
            Level.WARNING,
            about,
            "apps started here are in production mode and have no signing key: they refuse to serve",
            "To develop set INNGEST_DEV=1; in production set INNGEST_SIGNING_KEY.",
        )
    else:
        mode = "development" if settings.mode == "dev" else "production"
        yield Finding(Level.OK, about, f"apps started here are in {mode} mode")
    if settings.mode == "cloud" and settings.signing_key is not None and settings.event_key is None:
        yield Finding(
            Level.WARNING,
            about,
            "there is no event key: apps started here cannot send events",
            "Set INNGEST_EVENT_KEY to a key that the server knows.",
        )


def _check_names(variables: Mapping[str, str]) -> Iterator[Finding]:
    """Look for keys in the place of others, and for names that are almost right."""
    if variables.get("INNGEST_EVENT_KEY", "").startswith("signkey-"):
        yield Finding(
            Level.PROBLEM,
            "environment",
            "INNGEST_EVENT_KEY holds a signing key, which is sent in the path of URLs",
            "Put it into INNGEST_SIGNING_KEY, and a key for events here; then make a new signing key.",
        )
    for name in sorted(variables):
        close = [] if name in SETTINGS else difflib.get_close_matches(name, SETTINGS, 1, 0.85)
        if close and name.startswith("INNGEST_"):
            yield Finding(Level.WARNING, "environment", f"{name} is no setting", f"Is {close[0]} meant?")


def _check_url(name: str, text: str) -> Iterator[Finding]:
    if not text:
        return
    try:
        _settings.parse_origin(text, "cloud")
    except ValueError as error:
        remedy = f"Write {name} as https://host:port; as it is, it counts as not set."
        yield Finding(Level.PROBLEM, "environment", f"{name}: {error}", remedy)


def check_clock(about: str, ahead: float | None) -> Iterator[Finding]:
    """Judge another machine's clock: signatures are good for 5 minutes, and 1 minute ahead (protocol.md 2.4)."""
    if ahead is None or abs(ahead) < 5:
        return
    level = Level.PROBLEM if abs(ahead) > 60 else Level.WARNING
    where = "ahead of" if ahead > 0 else "behind"
    text = f"its clock is {abs(ahead):.0f} seconds {where} that of this machine"
    yield Finding(level, about, text, "Let both machines get the time from NTP; signatures are good for minutes only.")

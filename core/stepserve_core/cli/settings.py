"""What flags and environment variables say: flag first, then INNGEST_<FLAG NAME>, then the default (executor.md 1.2).

No I/O. Single values get their variable from the CLI library; what it cannot do is here. Keys, ports and the
database are checked by the server, which names the flag too.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from stepserve_core._durations import parse
from stepserve_core._settings import parse_origin
from stepserve_core.cli.problems import UsageProblem


def variable_of(flag: str) -> str:
    """Return the environment variable of a flag: `--sdk-url` has INNGEST_SDK_URL."""
    return "INNGEST_" + flag.lstrip("-").replace("-", "_").upper()


def values_of(flag: str, given: Sequence[str] | None, environment: Mapping[str, str]) -> tuple[str, ...]:
    """Return the values of a flag that may be repeated; in its variable they are separated by commas."""
    texts = given or environment.get(variable_of(flag), "").split(",")
    return tuple(text.strip() for text in texts if text.strip())


def check_urls(flag: str, urls: Sequence[str]) -> tuple[str, ...]:
    """Return the URLs, with http:// where they name no scheme.

    Raises:
        UsageProblem: one of them is no http or https URL.
    """
    try:
        return tuple(parse_origin(url, "dev") for url in urls)
    except ValueError as error:
        raise UsageProblem(f"{flag} (or the environment variable {variable_of(flag)}): {error}") from None


def read_duration(flag: str, text: str | None) -> float | None:
    """Return the seconds of a duration such as 30d, 12h or 90s; None where none is given.

    Raises:
        UsageProblem: it is no duration.
    """
    if not text:
        return None
    try:
        return parse(text) / 1000
    except ValueError as error:
        raise UsageProblem(f"{flag} (or the environment variable {variable_of(flag)}): {error}") from None

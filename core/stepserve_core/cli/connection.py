"""The options by which a command finds its server, and how it prints."""

from __future__ import annotations

import datetime
from typing import Annotated, Any

import msgspec
import typer

from stepserve_core._durations import parse, to_iso
from stepserve_core._settings import DEV_ORIGIN, parse_origin
from stepserve_core._signing_key import check_key
from stepserve_core.cli.executor_api import ExecutorApi
from stepserve_core.cli.problems import UsageProblem
from stepserve_core.errors import SigningKeyInvalidError

DEFAULT_URL = DEV_ORIGIN

Url = Annotated[
    str, typer.Option("--url", envvar="INNGEST_BASE_URL", metavar="URL", help="Where the executor listens.")
]
SigningKey = Annotated[
    str | None,
    typer.Option("--signing-key", envvar="INNGEST_SIGNING_KEY", metavar="KEY", help="The key of a production server."),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]
Data = Annotated[str, typer.Option("--data", "-d", metavar="JSON", help="The event's data, a JSON object.")]
Limit = Annotated[int, typer.Option("--limit", "-n", min=1, metavar="COUNT", help="How many to show at most.")]
Since = Annotated[
    str | None,
    typer.Option("--since", metavar="WHEN", help="Only those since then: a duration back, such as 2h, or a date."),
]


def connect(url: str, signing_key: str | None = None) -> ExecutorApi:
    """Return a connection to the server that the options name.

    Raises:
        UsageProblem: the URL or the key cannot be one.
    """
    return ExecutorApi(read_url(url), read_key(signing_key))


def read_key(signing_key: str | None) -> str | None:
    """Return the signing key.

    Raises:
        UsageProblem: it cannot be one.
    """
    if not signing_key:
        return None
    try:
        return check_key(signing_key, "--signing-key (or the environment variable INNGEST_SIGNING_KEY)")
    except SigningKeyInvalidError as error:
        raise UsageProblem(str(error)) from None


def read_url(url: str, source: str = "--url (or the environment variable INNGEST_BASE_URL)") -> str:
    """Return a URL, with http:// where it names no scheme.

    Raises:
        UsageProblem: it cannot be one.
    """
    try:
        return parse_origin(url, "dev")
    except ValueError as error:
        raise UsageProblem(f"{source}: {error}") from None


def read_object(text: str, flag: str = "--data") -> dict[str, Any]:
    """Return the JSON object of an option.

    Raises:
        UsageProblem: it is none.
    """
    try:
        return msgspec.json.decode(text, type=dict[str, Any])
    except (ValueError, RecursionError) as error:
        raise UsageProblem(f"{flag} must be a JSON object: {error}") from None


def read_array(text: str, flag: str) -> list[Any]:
    """Return the JSON array of an option.

    Raises:
        UsageProblem: it is none.
    """
    try:
        return msgspec.json.decode(text, type=list[Any])
    except (ValueError, RecursionError) as error:
        raise UsageProblem(f"{flag} must be a JSON array: {error}") from None


def read_since(text: str | None, now: datetime.datetime | None = None) -> str | None:
    """Return the RFC 3339 date of `--since`: "2h" is two hours before now.

    Raises:
        UsageProblem: it is neither a duration nor a date.
    """
    if text is None:
        return None
    now = now or datetime.datetime.now(datetime.timezone.utc)
    try:
        return to_iso(now - datetime.timedelta(milliseconds=parse(text)))
    except (ValueError, OverflowError):
        pass
    try:
        return to_iso(datetime.datetime.fromisoformat(text.replace("Z", "+00:00")))
    except (ValueError, OverflowError):
        raise UsageProblem(
            f"--since: {text!r} is neither a duration such as 2h nor a date such as 2026-01-31"
        ) from None


def print_json(value: object) -> None:
    """Print a value for machines, on one line."""
    typer.echo(msgspec.json.encode(value).decode())

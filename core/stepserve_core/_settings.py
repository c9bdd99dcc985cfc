"""Where the client's settings come from: arguments, environment variables, defaults (protocol.md section 1)."""

from __future__ import annotations

import functools
import os
from collections.abc import Mapping
from typing import Literal

import msgspec

from stepserve_core._signing_key import check_key
from stepserve_core.errors import ConfigurationError, SigningKeyMissingError

Mode = Literal["cloud", "dev"]

DEV_ORIGIN = "http://127.0.0.1:8288/"
CLOUD_API_ORIGIN = "https://api.inngest.com/"
CLOUD_EVENT_ORIGIN = "https://inn.gs/"

_BRANCH_VARIABLES = ("INNGEST_ENV", "RAILWAY_GIT_BRANCH", "RENDER_GIT_BRANCH", "VERCEL_GIT_COMMIT_REF")


class Settings(msgspec.Struct, frozen=True):
    """Everything that a client needs to know about where it runs."""

    mode: Mode
    api_origin: str
    event_api_origin: str
    event_key: str | None
    signing_key: str | None
    signing_key_fallback: str | None
    env: str | None

    @property
    def keys(self) -> tuple[str, ...]:
        """The signing keys, the primary one first."""
        return tuple(key for key in (self.signing_key, self.signing_key_fallback) if key)

    def api_url(self, path: str) -> str:
        """Return the URL of `path` (with its leading slash) in the REST API."""
        return _root(self.api_origin) + path

    def event_api_url(self, path: str) -> str:
        """Return the URL of `path` (with its leading slash) in the event API."""
        return _root(self.event_api_origin) + path

    def require_signing_key(self) -> None:
        """Refuse to serve without a key where everybody could call.

        Raises:
            SigningKeyMissingError: production mode without a key.
        """
        if self.mode == "cloud" and not self.signing_key:
            raise SigningKeyMissingError(
                "production mode needs a signing key: set the environment variable INNGEST_SIGNING_KEY"
                " or pass Inngest(signing_key=…). To develop without keys, set INNGEST_DEV=1."
            )


def resolve(
    *,
    api_base_url: str | None,
    env: str | None,
    event_api_base_url: str | None,
    event_key: str | None,
    is_production: bool | None,
    signing_key: str | None,
    environment: Mapping[str, str] | None = None,
) -> Settings:
    """Combine arguments and environment variables; arguments win (1.2, 1.4).

    Raises:
        ConfigurationError: an argument is not a URL.
        SigningKeyInvalidError: a key is not hexadecimal; the error names the argument or variable.
    """
    variables = os.environ if environment is None else environment
    mode = _mode(is_production, variables)
    api = _origin("api_base_url", api_base_url, "INNGEST_API_BASE_URL", mode, variables)
    event_api = _origin("event_api_base_url", event_api_base_url, "INNGEST_EVENT_API_BASE_URL", mode, variables)
    return Settings(
        mode=mode,
        api_origin=api or (CLOUD_API_ORIGIN if mode == "cloud" else DEV_ORIGIN),
        event_api_origin=event_api or (CLOUD_EVENT_ORIGIN if mode == "cloud" else DEV_ORIGIN),
        event_key=event_key or variables.get("INNGEST_EVENT_KEY") or None,
        signing_key=_key("Inngest(signing_key=…)", signing_key) or _key_variable("INNGEST_SIGNING_KEY", variables),
        signing_key_fallback=_key_variable("INNGEST_SIGNING_KEY_FALLBACK", variables),
        env=env or next((variables[name] for name in _BRANCH_VARIABLES if variables.get(name)), None),
    )


@functools.cache
def _root(origin: str) -> str:
    """Return an origin without a path. Kept: to take a URL apart costs as much as saving a step."""
    from urllib.parse import urljoin  # noqa: PLC0415 - only to talk to the server

    return urljoin(origin, "/")[:-1]


def is_enabled(text: str | None) -> bool:
    """Read a switch: empty, "0" and "false" are off; anything else is on."""
    return (text or "").strip().lower() not in ("", "0", "false")


def parse_origin(text: str, mode: Mode) -> str:
    """Return `text` as an origin, with the scheme that the mode implies where it has none (1.4).

    Raises:
        ValueError: it names neither a domain nor a port.
    """
    scheme, separator, rest = text.rpartition("://")
    if "." not in rest and ":" not in rest:
        raise ValueError(f"invalid URL {text!r}: no domain or port")
    if separator and scheme.lower() not in ("http", "https"):
        raise ValueError(f"invalid URL {text!r}: the scheme must be http or https")
    if not separator:
        text = f"{'https' if mode == 'cloud' else 'http'}://{text}"
    from urllib.parse import urlsplit  # noqa: PLC0415 - only where a URL was given

    parts = urlsplit(text)
    if not parts.hostname or parts.port == 0:  # reading `port` raises ValueError where it is not a number
        raise ValueError(f"invalid URL {text!r}: no host")
    return text


def _mode(is_production: bool | None, variables: Mapping[str, str]) -> Mode:
    if is_production is not None:
        return "cloud" if is_production else "dev"
    return "dev" if is_enabled(variables.get("INNGEST_DEV")) else "cloud"


def _origin(argument: str, value: str | None, variable: str, mode: Mode, variables: Mapping[str, str]) -> str | None:
    if value is not None:
        try:
            return parse_origin(value, mode)
        except ValueError as error:
            raise ConfigurationError(f"Inngest({argument}=…): {error}") from None
    for name in (variable, "INNGEST_BASE_URL", "INNGEST_DEV"):
        text = (variables.get(name) or "").strip()
        try:
            return parse_origin(text, mode)
        except ValueError:
            continue  # an invalid variable counts as absent (1.4); INNGEST_DEV=1 is the usual case
    return None


def _key(source: str, key: str | None) -> str | None:
    return check_key(key, source) if key else None


def _key_variable(name: str, variables: Mapping[str, str]) -> str | None:
    return _key(f"the environment variable {name}", variables.get(name))

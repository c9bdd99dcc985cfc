"""The setting STEPSERVE: the client, where it is served, and where functions are looked for.

    STEPSERVE = {"APP_ID": "shop"}                         # and any argument of `Inngest`, in capitals
    STEPSERVE = {"CLIENT": "shop.jobs.client", "PATH": "jobs"}   # or a client that you make yourself

What is left out comes from the environment, as everywhere (INNGEST_SIGNING_KEY, INNGEST_DEV, …).
"""

from __future__ import annotations

import difflib
import functools
import logging
from collections.abc import Iterable, Mapping
from datetime import timedelta
from typing import Any, NamedTuple, cast

from django.conf import settings
from django.core.signals import setting_changed
from django.utils.module_loading import import_string

from stepserve_core import Inngest, Streaming
from stepserve_core.errors import ConfigurationError
from stepserve_core.handler import MountOptions

NAME = "STEPSERVE"
MODULES = ("steps", "functions")

_CLIENT_TYPES: dict[str, tuple[type, ...]] = {
    "APP_ID": (str,),
    "API_BASE_URL": (str,),
    "APP_VERSION": (str,),
    "ENV": (str,),
    "EVENT_API_BASE_URL": (str,),
    "EVENT_KEY": (str,),
    "IS_PRODUCTION": (bool,),
    "LOGGER": (str, logging.Logger),
    "MIDDLEWARE": (list, tuple),
    "REQUEST_TIMEOUT": (int, str, timedelta),
    "SERIALIZER": (object,),
    "SIGNING_KEY": (str,),
}
_MOUNT_TYPES: dict[str, tuple[type, ...]] = {
    "ENABLE_UNAUTHED_SYNC": (bool,),
    "PUBLIC_PATH": (str,),
    "SERVE_ORIGIN": (str,),
    "STREAMING": (str, Streaming),
}
_TYPES: dict[str, tuple[type, ...]] = {
    **_CLIENT_TYPES,
    **_MOUNT_TYPES,
    "CLIENT": (str, Inngest),
    "MODULES": (list, tuple),
    "PATH": (str,),
}


class Problem(NamedTuple):
    """What is wrong with the setting, and what to do; `kind` numbers the system check."""

    kind: int
    message: str
    hint: str | None = None


class ConfiguredOptions(NamedTuple):
    """What the setting says apart from the client."""

    path: str | None
    modules: tuple[str, ...]
    mount: MountOptions


def find_problems() -> list[Problem]:
    """Return what is wrong with the setting, without making anything of it; nothing, if there is none."""
    value = _setting()
    if not isinstance(value, Mapping):
        return [Problem(1, f"{NAME} must be a dict, not {type(value).__name__}.", f'{NAME} = {{"APP_ID": "shop"}}')]
    return [*_wrong_keys(value), *_wrong_values(value), *_wrong_combinations(value)]


def _wrong_keys(value: Mapping[Any, Any]) -> Iterable[Problem]:
    for key in value:
        if key not in _TYPES:
            near = difflib.get_close_matches(str(key).upper(), _TYPES, n=1)
            yield Problem(2, f"{NAME} has an unknown key: {key!r}.", f"Did you mean {near[0]!r}?" if near else None)


def _wrong_values(value: Mapping[Any, Any]) -> Iterable[Problem]:
    for key, expected in _TYPES.items():
        given = value.get(key)
        is_number_for_bool = isinstance(given, bool) and int in expected
        if given is not None and (not isinstance(given, expected) or is_number_for_bool):
            names = " or ".join(one.__name__ for one in expected)
            yield Problem(3, f"{NAME}[{key!r}] must be {names}, not {type(given).__name__}.")
    streaming = value.get("STREAMING")
    if isinstance(streaming, str) and streaming not in {one.value for one in Streaming}:
        yield Problem(3, f'{NAME}["STREAMING"] must be "force" or "disable", not {streaming!r}.')


def _wrong_combinations(value: Mapping[Any, Any]) -> Iterable[Problem]:
    superfluous = [key for key in _CLIENT_TYPES if value.get(key) is not None]
    if value.get("CLIENT") is not None and superfluous:
        names = ", ".join(map(repr, superfluous))
        yield Problem(4, f'{NAME}["CLIENT"] names a finished client, so these say nothing: {names}.')
    elif value and value.get("CLIENT") is None and value.get("APP_ID") is None:
        yield Problem(4, f"{NAME} names no app.", f'{NAME} = {{"APP_ID": "shop"}}, or "CLIENT": "shop.jobs.client"')


def find_client_problems() -> list[Problem]:
    """Return why no client can be made of a setting of the right form."""
    if not _setting():
        return []
    try:
        get_client()
    except (ConfigurationError, ImportError) as error:
        return [Problem(5, f"{NAME}: {error}")]
    return []


def is_usable() -> bool:
    """Say whether there is nothing wrong with the setting."""
    return not find_problems() and not find_client_problems()


def get_client() -> Inngest:
    """Return the client of the setting STEPSERVE; there is one for the process.

    Raises:
        ConfigurationError: the setting is wrong or missing; the message says how.
    """
    return _make_client()


@functools.cache
def _make_client() -> Inngest:
    value = _checked()
    if not value:
        raise ConfigurationError(f'the setting {NAME} is missing: {NAME} = {{"APP_ID": "shop"}}')
    if value.get("CLIENT") is not None:
        return _imported_client(value["CLIENT"])
    arguments = {key.lower(): value[key] for key in _CLIENT_TYPES if value.get(key) is not None}
    arguments["middleware"] = [_imported(one) for one in arguments.get("middleware", ())]
    if isinstance(arguments.get("logger"), str):
        arguments["logger"] = logging.getLogger(arguments["logger"])
    arguments["serializer"] = _imported(arguments.get("serializer"))
    return Inngest(**arguments)


def configured_options() -> ConfiguredOptions:
    """Return the options of the setting STEPSERVE.

    Raises:
        ConfigurationError: the setting is wrong.
    """
    value = _checked()
    mount = {key.lower(): value[key] for key in _MOUNT_TYPES if value.get(key) is not None}
    if "streaming" in mount:
        mount["streaming"] = Streaming(mount["streaming"])
    modules = MODULES if value.get("MODULES") is None else tuple(value["MODULES"])
    return ConfiguredOptions(value.get("PATH"), modules, cast("MountOptions", mount))


def _checked() -> Mapping[str, Any]:
    problems = find_problems()
    if problems:
        raise ConfigurationError(" ".join(problem.message for problem in problems))
    return cast("Mapping[str, Any]", _setting())


def _setting() -> object:
    return getattr(settings, NAME, {})


def _imported(value: Any) -> Any:
    return import_string(value) if isinstance(value, str) else value


def _imported_client(value: object) -> Inngest:
    client = _imported(value)
    if not isinstance(client, Inngest):
        raise ConfigurationError(
            f'{NAME}["CLIENT"] must name an Inngest client; {value!r} is a {type(client).__name__}'
        )
    return client


def _forget_client(*, setting: str, **_: object) -> None:
    if setting == NAME:
        _make_client.cache_clear()


setting_changed.connect(_forget_client)  # sent by override_settings in tests

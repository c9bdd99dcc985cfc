"""Functions in the installed apps: what the modules `steps` and `functions` hold."""

from __future__ import annotations

import sys
from types import ModuleType
from typing import Any

from django.apps import apps
from django.utils.module_loading import autodiscover_modules

from stepserve.django.configuration import configured_options, get_client
from stepserve_core import Function


def discover() -> list[Function[Any]]:
    """Import the modules of all installed apps, and return the functions in them, each once.

    An app that has no such module is passed over; an error inside of one is raised.
    """
    found: dict[int, Function[Any]] = {}
    for module in _modules():
        for value in vars(module).values():
            if isinstance(value, Function):
                found.setdefault(id(value), value)
    return list(found.values())


def discovered_functions() -> list[Function[Any]]:
    """Return the discovered functions that belong to the client of the setting STEPSERVE."""
    app_id = get_client().app_id
    return [function for function in discover() if function.app_id == app_id]


def _modules() -> list[ModuleType]:
    names = configured_options().modules
    autodiscover_modules(*names)
    paths = [f"{config.name}.{name}" for config in apps.get_app_configs() for name in names]
    return [sys.modules[path] for path in paths if path in sys.modules]

"""Taking in what an app registers: change detection, versions, archiving, schedules (executor.md 1.8).

Runs inside a transaction.
"""

from __future__ import annotations

import msgspec

from stepserve_core.executor import ids
from stepserve_core.executor.crons import seed_ticks
from stepserve_core.executor.function_config import FunctionConfig
from stepserve_core.executor.functions import Registration
from stepserve_core.executor.registry import Registry
from stepserve_core.executor.scope import Scope
from stepserve_core.executor.store.apps import App


class Registered(msgspec.Struct, frozen=True):
    """The outcome of a registration; `registry` is what is known from now on."""

    app_id: str
    modified: bool
    registry: Registry


def register_app(scope: Scope, registration: Registration) -> Registered:
    """Store an app and its functions; one that did not change is left alone."""
    app_id = ids.app_id(registration.app_name)
    apps = scope.tables.apps
    known = apps.get(app_id)
    if known is not None and known.checksum == registration.checksum and known.error is None:
        return Registered(app_id, False, scope.registry)
    apps.remove_placeholder(registration.url)
    apps.put(
        App(
            app_id,
            registration.app_name,
            registration.url,
            registration.sdk,
            registration.framework,
            registration.app_version,
            registration.checksum,
            None,
            scope.now,
        )
    )
    registry = _store_functions(scope, app_id, registration)
    return Registered(app_id, known is None or known.checksum != registration.checksum, registry)


def remove_app(scope: Scope, app_id: str) -> Registry | None:
    """Forget an app and archive its functions. Return what is known from now on; None where there is no such app."""
    if not scope.tables.apps.remove(app_id):
        return None
    gone = scope.tables.apps.archive_others(app_id, [], scope.now)
    registry = scope.registry.replaced(scope.tables.apps.functions())
    _seed(scope, registry, gone)
    return registry


def _store_functions(scope: Scope, app_id: str, registration: Registration) -> Registry:
    kept: list[str] = []
    for config in registration.functions:
        kept.append(ids.function_id(app_id, config.id))
        scope.tables.apps.put_function(kept[-1], app_id, config)
    gone = scope.tables.apps.archive_others(app_id, kept, scope.now)
    registry = scope.registry.replaced(scope.tables.apps.functions())
    _seed(scope, registry, [*kept, *gone])
    # Limits may have changed; whatever still has no room is parked again when it is claimed.
    scope.tables.slots.unblock_all()
    return registry


def _seed(scope: Scope, registry: Registry, function_ids: list[str]) -> None:
    """Bring the pending ticks of functions in line with their schedules; archived ones have none."""
    for function_id in function_ids:
        function = registry.get(function_id)
        if function is not None:
            seed_ticks(scope, function)


def add_endpoint(scope: Scope, app_id: str, domain: str, config: FunctionConfig) -> str:
    """Store an endpoint as a function of the app that is its domain; return its id."""
    function_id = ids.function_id(app_id, config.id)
    if scope.tables.apps.get(app_id) is None:
        # Without a URL nobody asks it to sync.
        scope.tables.apps.put(App(app_id, domain, "", "", "endpoint", None, "", None, scope.now))
    scope.tables.apps.put_function(function_id, app_id, config)
    return function_id

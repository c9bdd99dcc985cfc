"""How apps, functions and workers look in GraphQL. Keys are fields; what costs a query is a callable."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from stepserve_core.executor.addresses import normalize_url
from stepserve_core.executor.api.graphql.configuration import configuration_of, limit_of
from stepserve_core.executor.api.graphql.costs import Costs
from stepserve_core.executor.api.graphql.workers import Worker
from stepserve_core.executor.internal_events import FAILED
from stepserve_core.executor.store.apps import App, Function

if TYPE_CHECKING:
    from stepserve_core.executor.executor import Executor

View = dict[str, Any]


class AppViews:
    """Views of one request: apps and what they run."""

    def __init__(self, executor: Executor) -> None:
        self._executor = executor
        self.costs = Costs()

    def app(self, app: App) -> View:
        """Return an app."""
        self.costs.spend()
        functions = [one for one in self._executor.registry.active() if one.app_id == app.id]
        language, _, version = app.sdk.partition(":")
        return {
            "id": app.id,
            "externalID": app.name,
            "name": app.name,
            "sdkLanguage": language,
            "sdkVersion": version.removeprefix("v"),
            "framework": app.framework or None,
            "url": app.url,
            "checksum": app.checksum,
            "error": app.error,
            "appVersion": app.version,
            "method": method_of(app),
            "connected": app.error is None,
            "autodiscovered": normalize_url(app.url) in self._executor.discovered,
            "functionCount": len(functions),
            "functions": lambda _info: [self.function(one) for one in functions],
        }

    def function(self, function: Function) -> View:
        """Return a function."""
        self.costs.spend()
        config = function.config
        return {
            "id": function.id,
            "name": config.name,
            "slug": function.slug,
            "config": msgspec.json.encode(config).decode(),
            "triggers": [
                {"type": "CRON", "value": one.cron, "condition": None}
                if one.cron is not None
                else {"type": "EVENT", "value": one.event, "condition": one.expression}
                for one in config.triggers
            ],
            "url": config.url,
            "appID": function.app_id,
            "app": lambda _info: self.app_of(function.app_id),
            "isPaused": function.paused is not None,
            "configuration": lambda _info: configuration_of(config),
            "concurrency": limit_of(config),
            "failureHandler": lambda _info: self._failure_handler(function),
        }

    def _failure_handler(self, function: Function) -> View | None:
        """Return the function that an SDK registered for the failures of this one (executor.md 2.8)."""
        wanted = f"event.data.function_id == '{function.slug}'"
        for one in self._executor.registry.active():
            if any(trigger.event == FAILED and trigger.expression == wanted for trigger in one.config.triggers):
                return self.function(one)
        return None

    async def app_of(self, app_id: str) -> View | None:
        """Return an app by its id."""
        found = await self._executor.read(lambda tables: tables.apps.get(app_id))
        return None if found is None else self.app(found)

    def worker(self, worker: Worker) -> View:
        """Return an app of a connected worker."""
        self.costs.spend()
        return {**worker.fields(), "app": lambda _info: self.app_of(worker.app_id)}

    def function_of(self, function_id: str) -> View | None:
        """Return a function by its id."""
        function = self._executor.registry.get(function_id)
        return None if function is None else self.function(function)

    def function_named(self, slug: str) -> View | None:
        """Return a function that is not archived by its slug."""
        function = self._executor.registry.find(slug)
        return None if function is None else self.function(function)


def method_of(app: App) -> str:
    """Return how an app is reached: called, by workers that connect, or as a durable endpoint."""
    if app.framework == "endpoint" and not app.sdk:
        return "API"
    return "CONNECT" if app.url.startswith("ws") else "SERVE"

"""The mutations (executor.md 13.2)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from stepserve_core.errors import FunctionNotFoundError
from stepserve_core.executor import ids
from stepserve_core.executor.api.graphql.app_views import View
from stepserve_core.executor.api.graphql.views import Views
from stepserve_core.executor.endings import CANCELLED
from stepserve_core.executor.reruns import read_arguments

if TYPE_CHECKING:
    from stepserve_core.executor.apps import AppSync
    from stepserve_core.executor.executor import Executor


class Mutations:
    """Root of the mutations of one request."""

    def __init__(self, executor: Executor, sync: AppSync | None) -> None:
        self._executor = executor
        self._sync = sync
        self._views = Views(executor)

    async def createApp(self, _info: object, input: dict[str, str]) -> View:  # noqa: A002, N802 - as in GraphQL
        """Sync the app at a URL and return it; one that cannot be reached is kept, and tried again."""
        return await self._sync_app(input["url"])

    async def updateApp(self, _info: object, input: dict[str, str]) -> View:  # noqa: A002, N802 - as in GraphQL
        """Sync an app from another URL and return it. Where it registers itself from there, it keeps its functions."""
        known = await self._executor.read(lambda tables: tables.apps.get(input["id"]))
        if known is None:
            raise ValueError(f"there is no app {input['id'][:40]}")
        if not known.name:
            await self._executor.store.write(lambda tables: tables.apps.remove_placeholder(known.url))
        return await self._sync_app(input["url"])

    async def _sync_app(self, wanted: str) -> View:
        if self._sync is None:
            raise ValueError("this executor does not sync apps by URL")
        url = wanted if "://" in wanted else f"http://{wanted}"
        await self._sync.sync(url)
        (app, *_) = await self._executor.read(lambda tables: tables.apps.of_url(url)) or (None,)
        if app is None:
            raise ValueError(f"the app at {url} registered itself under another URL")
        return self._views.app(app)

    async def deleteApp(self, _info: object, id: str) -> str:  # noqa: A002, N802 - as in GraphQL
        """Remove an app and archive its functions."""
        if not await self._executor.remove_app(id):
            raise ValueError(f"there is no app {id[:40]}")
        return id

    async def deleteAppByName(self, _info: object, name: str) -> bool:  # noqa: N802 - as in GraphQL
        """Remove an app; say whether there was one."""
        return await self._executor.remove_app(ids.app_id(name))

    async def invokeFunction(  # noqa: N802 - as in GraphQL
        self,
        _info: object,
        functionSlug: str,  # noqa: N803 - as in GraphQL
        data: dict[str, Any] | None = None,
        user: dict[str, Any] | None = None,
        meta: dict[str, Any] | None = None,
        **_debug: str | None,
    ) -> bool:
        """Start a function, whatever its triggers. There is no step debugger: its sessions are not used."""
        if self._executor.registry.find(functionSlug) is None:
            raise FunctionNotFoundError(f"function {functionSlug[:80]} not found")
        event = {"data": data or {}, "user": user or {}, "meta": meta or {}}
        await self._executor.invoke(functionSlug, msgspec.json.encode(event))
        return True

    async def cancelRun(self, _info: object, runID: str) -> View:  # noqa: N802, N803 - as in GraphQL
        """Cancel a run."""
        cancelled = await self._executor.cancel(runID)
        run = await self._executor.read(lambda tables: tables.runs.get(runID))
        if run is None:
            raise ValueError(f"run not found: {runID[:40]}")
        if not cancelled and run.status != CANCELLED:
            raise ValueError(f"cannot cancel an ended run: it has the status {run.status}")
        return self._views.function_run(run)

    async def rerun(
        self,
        _info: object,
        runID: str,  # noqa: N803 - as in GraphQL
        fromStep: dict[str, Any] | None = None,  # noqa: N803 - as in GraphQL
        **_debug: str | None,
    ) -> str:
        """Start a run once more, perhaps from a step and with other arguments for it; return the id of the new run."""
        given, step = None, None
        if fromStep is not None:
            step, text = fromStep["stepID"], fromStep.get("input")
            given = None if not text else read_arguments(text.encode())
        return await self._executor.rerun(runID, step, given)

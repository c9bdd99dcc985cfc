"""The queries (executor.md 13.1). Each is called with the request's info and its arguments."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from stepserve_core.executor import ids
from stepserve_core.executor.api.graphql.app_views import View, method_of
from stepserve_core.executor.api.graphql.costs import COUNT, PAGE, Once
from stepserve_core.executor.api.graphql.stream import list_events, list_stream
from stepserve_core.executor.api.graphql.trace import output_of, read_output_id
from stepserve_core.executor.api.graphql.views import Views
from stepserve_core.executor.api.graphql.workers import list_workers
from stepserve_core.executor.defers import SCHEDULE
from stepserve_core.executor.moments import parse_date
from stepserve_core.executor.run_lists import list_runs
from stepserve_core.executor.run_search import (
    DEFAULT_PAGE,
    LARGEST_PAGE,
    TIME_FIELDS,
    RunFilter,
    RunSearch,
    SearchInvalidError,
    read_cursor,
    read_statuses,
    write_cursor,
)
from stepserve_core.executor.store.runs import RunRow

if TYPE_CHECKING:
    from stepserve_core.executor.executor import Executor

_LARGEST_EVENTS_PAGE = 100


class Queries:
    """Root of the queries of one request."""

    def __init__(self, executor: Executor) -> None:
        self._executor = executor
        self._views = Views(executor)
        self._counts: Once[RunFilter, int] = Once()

    async def apps(self, _info: object, filter: dict[str, Any] | None = None) -> list[View]:  # noqa: A002 - as in GraphQL
        """Return every app, or those that are reached in one way."""
        wanted = (filter or {}).get("method")
        apps = await self._executor.read(lambda tables: tables.apps.all())
        return [self._views.app(app) for app in apps if wanted is None or method_of(app) == wanted]

    async def app(self, _info: object, id: str) -> View | None:  # noqa: A002 - the name of the argument in GraphQL
        """Return an app."""
        return await self._views.app_of(id)

    def functions(self, _info: object) -> list[View]:
        """Return the functions that are not archived."""
        return [self._views.function(one) for one in self._executor.registry.active()]

    def functionBySlug(self, _info: object, query: dict[str, str]) -> View | None:  # noqa: N802 - as in GraphQL
        """Return a function."""
        function = self._executor.registry.find(query["functionSlug"])
        return None if function is None else self._views.function(function)

    async def event(self, _info: object, query: dict[str, str]) -> View:
        """Return an event, in the older form."""
        found = await self._executor.read(lambda tables: tables.events.get(query["eventId"]))
        if found is None:
            raise ValueError("event not found")
        return self._views.event(found)

    async def eventV2(self, _info: object, id: str) -> View:  # noqa: A002, N802 - as in GraphQL
        """Return an event."""
        found = await self._executor.read(lambda tables: tables.events.get(id))
        if found is None:
            raise ValueError("event not found")
        return self._views.event_v2(found)

    async def events(self, _info: object, query: dict[str, Any]) -> list[View]:
        """Return the newest events, in the older form."""
        return await list_events(self._executor, self._views, query)

    async def stream(self, _info: object, query: dict[str, Any]) -> list[View]:
        """Return events and ticks of schedules, the newest first."""
        return await list_stream(self._executor, self._views, query)

    async def functionRun(self, _info: object, query: dict[str, str]) -> View:  # noqa: N802 - as in GraphQL
        """Return a run, in the older form."""
        return self._views.function_run(await self._run(query["functionRunId"]))

    async def eventsV2(  # noqa: N802 - as in GraphQL
        self,
        _info: object,
        first: int,
        filter: dict[str, Any],  # noqa: A002 - as in GraphQL
        after: str | None = None,
    ) -> View:
        """Return events, the newest first."""
        self._views.costs.spend(PAGE)
        limit = min(max(first, 1), _LARGEST_EVENTS_PAGE)
        begin = ids.first_id(parse_date(filter["from"]))
        until = filter.get("until")
        end = ids.first_id(parse_date(until) if until else self._executor.clock.now() + 1)
        internal, names = filter["includeInternalEvents"], filter.get("eventNames") or []
        search = RunSearch(filter.get("query") or "")
        found = await self._executor.read(
            lambda tables: tables.events.page(begin, min(end, after or end), names, limit + 1, internal=internal)
        )
        kept = [event for event in found[:limit] if not search or search.matches(event.body, None, "")]
        edges = [{"node": self._views.event_v2(event), "cursor": event.internal_id} for event in kept]
        last = found[limit - 1].internal_id if len(found) > limit else None
        return {
            "edges": edges,
            "pageInfo": _page_info(edges, last),
            "totalCount": lambda _info: self._count_events(begin, end, names, internal=internal),
        }

    async def _count_events(self, begin: str, end: str, names: list[str], *, internal: bool) -> int:
        self._views.costs.spend(COUNT)
        return await self._executor.read(lambda tables: tables.events.count(begin, end, names, internal=internal))

    async def runs(
        self,
        _info: object,
        first: int,
        orderBy: list[dict[str, str]],  # noqa: N803 - as in GraphQL
        filter: dict[str, Any],  # noqa: A002 - as in GraphQL
        after: str | None = None,
        preview: bool | None = None,
    ) -> View:
        """Return a page of runs."""
        del preview
        self._views.costs.spend(PAGE)
        limit = first if 1 <= first <= LARGEST_PAGE else DEFAULT_PAGE
        wanted = self._filter(filter, orderBy)
        search = RunSearch(_search_text(filter))
        page = await list_runs(self._executor.read, wanted, search, read_cursor(after) if after else None, limit)
        edges = [{"node": self._views.run(one.run), "cursor": write_cursor(one.position)} for one in page.found]
        return {
            "edges": edges,
            "pageInfo": _page_info(edges, None if page.next is None else write_cursor(page.next)),
            "totalCount": lambda _info, preview=None: self._count(wanted),
        }

    async def _count(self, wanted: RunFilter) -> int:
        """Count what a filter finds, once for each filter of a request."""
        return await self._counts.get(wanted, lambda: self._read_count(wanted))

    async def _read_count(self, wanted: RunFilter) -> int:
        self._views.costs.spend(COUNT)
        return await self._executor.read(lambda tables: tables.run_pages.count(wanted))

    async def run(self, _info: object, runID: str) -> View:  # noqa: N803 - as in GraphQL
        """Return a run."""
        return self._views.run(await self._run(runID))

    async def runTrace(self, _info: object, runID: str) -> View:  # noqa: N802, N803 - as in GraphQL
        """Return the tree of a run's steps."""
        return await self._views.trace(await self._run(runID), folded=True)

    async def runTrigger(self, _info: object, runID: str) -> View:  # noqa: N802, N803 - as in GraphQL
        """Return what started a run."""
        return await self._views.trigger(await self._run(runID))

    async def runTraceSpanOutputByID(self, _info: object, outputID: str) -> View:  # noqa: N802, N803 - as in GraphQL
        """Return the output of a step or a run."""
        ref = read_output_id(outputID)
        run = await self._run(ref.run_id)
        steps = await self._executor.read(lambda tables: tables.steps.rows(run.id))
        self._views.costs.spend(len(steps))
        output = output_of(run, steps, ref)
        if output is None:
            raise ValueError("no output found")
        return output

    def workerConnections(  # noqa: N802 - as in GraphQL
        self,
        _info: object,
        first: int,
        orderBy: list[dict[str, str]],  # noqa: N803 - as in GraphQL
        filter: dict[str, Any],  # noqa: A002 - as in GraphQL
        after: str | None = None,
    ) -> View:
        """Return the workers that are connected now, the newest first: one entry for each of their apps."""
        del orderBy
        found = [one for one in list_workers(self._executor.workers) if one.is_wanted(filter)]
        rest = [one for one in found if after is None or one.cursor < after]
        limit = min(max(first, 1), _LARGEST_EVENTS_PAGE)
        edges = [{"node": self._views.worker(one), "cursor": one.cursor} for one in rest[:limit]]
        last = rest[limit - 1].cursor if len(rest) > limit else None
        return {"edges": edges, "pageInfo": _page_info(edges, last), "totalCount": len(found)}

    def workerConnection(self, _info: object, connectionId: str) -> View | None:  # noqa: N802, N803 - as in GraphQL
        """Return a worker that is connected now: the first of its apps."""
        found = [one for one in list_workers(self._executor.workers) if one.connection.id == connectionId]
        return self._views.worker(found[-1]) if found else None

    async def _run(self, run_id: str) -> RunRow:
        run = await self._executor.read(lambda tables: tables.runs.get(run_id))
        if run is None:
            raise ValueError(f"run not found: {run_id[:40]}")
        return run

    def _filter(self, given: dict[str, Any], order: list[dict[str, str]]) -> RunFilter:
        until = given.get("until")
        if order and order[0]["field"] != given["timeField"]:
            raise SearchInvalidError("orderBy must name the same field as filter.timeField")
        functions: tuple[str, ...] | None = tuple(given.get("functionIDs") or ())
        if given.get("appIDs"):
            of_apps = [one.id for one in self._executor.registry.all() if one.app_id in given["appIDs"]]
            functions = tuple(one for one in of_apps if not functions or one in functions) or None
        return RunFilter(
            time_field=TIME_FIELDS[given["timeField"]],
            since=parse_date(given["from"]),
            until=parse_date(until) if until else None,
            statuses=read_statuses(given.get("status") or ()),
            function_ids=functions,
            newest_first=not order or order[0]["direction"] == "DESC",
        )


def _search_text(given: dict[str, Any]) -> str:
    """Return the expressions of a filter; whether a run was deferred is one more."""
    deferred, text = given.get("isDeferred"), given.get("query") or ""
    if deferred is None:
        return text
    return f"{text}\nevent.name {'==' if deferred else '!='} '{SCHEDULE}'"


def _page_info(edges: list[dict[str, Any]], following: str | None) -> View:
    return {
        "hasNextPage": following is not None,
        "hasPreviousPage": False,
        "startCursor": edges[0]["cursor"] if edges else None,
        "endCursor": following if following is not None else edges[-1]["cursor"] if edges else None,
    }

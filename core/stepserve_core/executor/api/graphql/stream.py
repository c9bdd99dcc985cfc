"""The older lists of what happened: events, and events mixed with ticks of schedules (executor.md 13.1)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from stepserve_core.executor import ids
from stepserve_core.executor.api.graphql.app_views import View
from stepserve_core.executor.api.graphql.costs import PAGE
from stepserve_core.executor.api.graphql.views import Views
from stepserve_core.executor.events import Event
from stepserve_core.executor.internal_events import TIMER
from stepserve_core.executor.moments import parse_date
from stepserve_core.executor.store.tables import Tables

if TYPE_CHECKING:
    from stepserve_core.executor.executor import Executor

LARGEST_PAGE = 51


async def list_events(executor: Executor, views: Views, query: dict[str, Any]) -> list[View]:
    """Return the newest events, or those before `lastEventId`; internal ones only where their name is asked for."""
    views.costs.spend(PAGE)
    end = query.get("lastEventId") or _end(executor)
    name = query.get("name")
    found = await executor.read(
        lambda tables: tables.events.page("", end, [name] if name else [], LARGEST_PAGE, internal=bool(name))
    )
    return [views.event(event) for event in found]


async def list_stream(executor: Executor, views: Views, query: dict[str, Any]) -> list[View]:
    """Return events and ticks, the newest first. `after` and `before` are ids or dates, and are left out themselves."""
    views.costs.spend(PAGE)
    after, before = query.get("after"), query.get("before")
    begin, end = _bound(after) if after else "", _bound(before) if before else _end(executor)
    limit = min(max(query["limit"], 1), LARGEST_PAGE)
    internal = query["includeInternalEvents"]

    def unit(tables: Tables) -> list[Event]:
        found = tables.events.page(begin, end, [], limit + 1, internal=internal)
        if not internal:
            found += tables.events.page(begin, end, [TIMER], limit + 1, internal=True)
        return sorted(found, key=lambda event: event.internal_id, reverse=True)

    found = [event for event in await executor.read(unit) if event.internal_id != after]
    return [views.stream_item(event, is_tick=event.name == TIMER) for event in found[:limit]]


def _end(executor: Executor) -> str:
    return ids.first_id(executor.clock.now() + 1)


def _bound(text: str) -> str:
    """Return the id that an id or a date stands for.

    Raises:
        ValueError: it is neither.
    """
    return text if ids.is_ulid(text) else ids.first_id(parse_date(text))

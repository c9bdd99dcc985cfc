"""The events that the server itself makes (executor.md 2.8). No I/O."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec

from stepserve_core.executor import fragments, ids
from stepserve_core.executor.decisions import EndRun, InvokeStep
from stepserve_core.executor.events import INVOKED, Event, make_event
from stepserve_core.executor.moments import to_rfc3339, to_whole_seconds
from stepserve_core.executor.store.apps import Function

FINISHED = "inngest/function.finished"
FAILED = "inngest/function.failed"
CANCELLED = "inngest/function.cancelled"
TIMER = "inngest/scheduled.timer"

_SILENT = frozenset({FINISHED, FAILED})
"""A run that was triggered by one of these publishes nothing when it ends, or it would go on for ever."""

_ENDINGS = {"Failed": FAILED, "Cancelled": CANCELLED}


def ending_events(
    end: EndRun,
    run_id: str,
    slug: str,
    trigger_name: str,
    triggers: Sequence[bytes],
    correlation_id: str | None,
    now: float,
) -> list[Event]:
    """Return the events about the end of a run. `triggers` are the canonical JSON of its events."""
    if trigger_name in _SILENT:
        return []
    data = _ending_data(end, run_id, slug, triggers)
    finished = data if correlation_id is None else {**data, "correlation_id": fragments.text(correlation_id)}
    events = [_join(FINISHED, finished, None, now)]
    if end.status in _ENDINGS:
        events.append(_join(_ENDINGS[end.status], data, run_id, now))
    return events


def invocation(step: InvokeStep, source: Function | None, run_id: str, correlation_id: str, now: float) -> Event:
    """Return the event that starts an invoked function.

    Raises:
        EventInvalidError: the payload cannot be an event.
    """
    payload = step.payload
    given = payload.get("data")
    data: dict[str, Any] = dict(given) if isinstance(given, dict) else {}  # pyright: ignore[reportUnknownArgumentType] - JSON
    data["_inngest"] = {
        "correlation_id": correlation_id,
        "expire": int(step.expires_at * 1000),
        "fn_id": step.function,
        "gid": "",
        "name": step.step.name,
        "source_app_id": source.app_id if source else "",
        "source_fn_id": source.id if source else "",
        "source_fn_v": source.version if source else 0,
        "source_run_id": run_id,
    }
    ts, version = payload.get("ts"), payload.get("v")
    return make_event(
        INVOKED,
        data,
        internal_id=ids.new_id(now),
        now=now,
        user=payload.get("user"),
        ts=ts if isinstance(ts, int) and ts > 0 else None,
        v=version if isinstance(version, str) else None,
    )


def timer_tick(cron: str, scheduled_at: float, now: float) -> Event:
    """Return the event of a cron tick; its id is the scheduled instant."""
    data = {"cron": cron, "scheduledAt": to_rfc3339(scheduled_at), "fireAt": to_rfc3339(now)}
    return make_event(
        TIMER, data, internal_id=ids.new_id(now), now=now, id=to_whole_seconds(scheduled_at), ts=int(now * 1000)
    )


def target_of(event: Event) -> tuple[str, str | None] | None:
    """Return the function that an invocation names and its correlation id; None for other events."""
    if event.name != INVOKED:
        return None
    invoked = _decode_invoked(event.body).data.inngest
    return invoked.fn_id, invoked.correlation_id


def correlation_of(body: bytes) -> str | None:
    """Return the correlation id of an invocation, given as the canonical JSON of its event; None for other events."""
    invoked = _decode_invoked(body)
    return invoked.data.inngest.correlation_id if invoked.name == INVOKED else None


class _Target(msgspec.Struct):
    fn_id: str = ""
    correlation_id: str | None = None


class _InvokedData(msgspec.Struct):
    inngest: _Target = msgspec.field(name="_inngest", default_factory=_Target)


class _Invoked(msgspec.Struct):
    data: _InvokedData
    name: str


_decode_invoked = msgspec.json.Decoder(_Invoked).decode


def _ending_data(end: EndRun, run_id: str, slug: str, triggers: Sequence[bytes]) -> dict[str, bytes]:
    data = {
        "_inngest": b'{"status":"%s"}' % end.status.encode(),
        "event": triggers[0],
        "events": b"[%s]" % b",".join(triggers),
        "function_id": fragments.text(slug),
        "run_id": fragments.text(run_id),
    }
    if end.failure is not None:
        data["error"] = end.failure.event_error
        if end.failure.body is not None:
            data["result"] = end.failure.body
    else:
        data["result"] = end.output
    return data


def _join(name: str, data: dict[str, bytes], event_id: str | None, now: float) -> Event:
    """Join an event of canonical parts: the trigger may be large and is not read again."""
    internal_id = ids.new_id(now)
    chosen = event_id or internal_id
    ts = int(now * 1000)
    body = fragments.join_object(
        {
            "data": fragments.join_object(data),
            "id": fragments.text(chosen),
            "name": fragments.text(name),
            "ts": b"%d" % ts,
            "user": b"{}",
        }
    )
    return Event(internal_id, chosen, name, ts, body, now)

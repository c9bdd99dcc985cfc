"""Events as they arrive: body forms, validation, ids (executor.md 2.1 to 2.3). No I/O."""

from __future__ import annotations

from typing import Any

import msgspec

from stepserve_core.errors import EventInvalidError
from stepserve_core.executor import fragments, ids, limits
from stepserve_core.executor.forms import is_form, read_form
from stepserve_core.executor.nesting import TOO_DEEP, is_too_deep

INVOKED = "inngest/function.invoked"
_EARLIEST, _LATEST = 315_532_800_000, 4_102_444_800_000  # 1980-01-01 and 2100-01-01, in milliseconds
_MAX_SESSIONS, _MAX_SESSION_KEY, _MAX_SESSION_ID = 5, 128, 512
_WHITESPACE = b" \t\r\n"


class Event(msgspec.Struct, frozen=True):
    """An accepted event.

    `internal_id` is the handle of every API; `id` is the user's, or a copy of it, and makes runs idempotent.
    `body` is the canonical JSON that apps see. `ts` is in milliseconds, `received_at` in seconds.
    """

    internal_id: str
    id: str
    name: str
    ts: int
    body: bytes
    received_at: float

    def value(self) -> dict[str, Any]:
        """Return the event as expressions see it."""
        value: dict[str, Any] = msgspec.json.decode(self.body)
        return value


class Intake(msgspec.Struct, frozen=True):
    """What a request to the event API holds: the events before the first bad one, and what is wrong with that."""

    events: list[Event]
    error: str | None = None


def read_events(body: bytes, content_type: str, seed_header: str | None, now: float) -> Intake:
    """Read the body of `POST /e/{key}`: an object, an array, or a form.

    Events before a bad one are accepted, as upstream does while it reads the stream.
    """
    try:
        # `curl -d` calls everything a form; no form begins like a JSON object or array.
        as_form = is_form(content_type) and body.lstrip(_WHITESPACE)[:1] not in (b"{", b"[")
        raws = [_form_event(body, content_type)] if as_form else _split_json(body)
    except EventInvalidError as error:
        return Intake([], str(error))
    seed = ids.read_seed(seed_header)
    events: list[Event] = []
    for index, raw in enumerate(raws, start=1):
        internal_id = ids.new_id(now) if seed is None else ids.seeded_id(seed, index)
        try:
            events.append(read_event(raw, internal_id, now))
        except EventInvalidError as error:
            return Intake(events, f"event {index} of {len(raws)}: {error}" if len(raws) > 1 else str(error))
    return Intake(events)


def read_event(raw: bytes | msgspec.Raw, internal_id: str, now: float) -> Event:
    """Check and normalise one event that a user sent.

    Raises:
        EventInvalidError: it breaks a rule of executor.md 2.2; the message says which.
    """
    fields = _read_object(raw)
    name = _check_name(fields.get("name"))
    data = _check_object(fields, "data", name)
    data.pop("_inngest", None)
    return _make_checked(name, data, fields, internal_id, now)


def read_invocation(body: bytes, internal_id: str, slug: str, now: float) -> Event:
    """Read the body of `POST /invoke/{slug}`: an event without a name (executor.md 1.6).

    Raises:
        EventInvalidError: it is not an event.
    """
    fields = _read_object(body.strip() or b"{}")
    data = _check_object(fields, "data", INVOKED)
    data["_inngest"] = {"fn_id": slug}
    return _make_checked(INVOKED, data, fields, internal_id, now)


def _make_checked(name: str, data: object, fields: dict[str, Any], internal_id: str, now: float) -> Event:
    """Build an event of a name and data that were checked, and of fields that were not."""
    return make_event(
        name,
        data,
        internal_id=internal_id,
        now=now,
        user=_check_object(fields, "user", name),
        id=_check_text(fields, "id", name),
        ts=_check_ts(fields.get("ts"), name, now),
        v=_check_text(fields, "v", name),
        meta=_check_meta(fields.get("meta"), name),
    )


def make_event(
    name: str,
    data: object,
    *,
    internal_id: str,
    now: float,
    user: object = None,
    id: str | None = None,  # noqa: A002 - the name on the wire
    ts: int | None = None,
    v: str | None = None,
    meta: object = None,
) -> Event:
    """Build an event from checked fields.

    Raises:
        EventInvalidError: the data cannot be written as canonical JSON.
    """
    event_id = id or internal_id
    moment = int(now * 1000) if ts is None else ts
    fields: dict[str, object] = {"data": data, "id": event_id, "name": name, "ts": moment, "user": user or {}}
    if v:
        fields["v"] = v
    if meta:
        fields["meta"] = meta
    try:
        body = fragments.encode(fields)
    except (ValueError, RecursionError) as error:
        raise EventInvalidError(f"event {name!r} cannot be stored: {error}") from None
    return Event(internal_id, event_id, name, moment, body, now)


def _split_json(body: bytes) -> list[msgspec.Raw]:
    start = body.lstrip(_WHITESPACE)[:1]
    try:
        if start == b"{":
            return [msgspec.json.decode(body, type=msgspec.Raw)]
        if start == b"[":
            raws = msgspec.json.decode(body, type=list[msgspec.Raw])
        else:
            raise EventInvalidError("the body must be an event (a JSON object) or an array of events")
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise EventInvalidError(f"the body is not JSON: {error}") from None
    except RecursionError:
        raise EventInvalidError("the body is nested too deeply") from None
    if not raws:
        raise EventInvalidError("the body holds no events")
    if len(raws) > limits.EVENTS_PER_REQUEST:
        raise EventInvalidError(f"{len(raws)} events in one request; at most {limits.EVENTS_PER_REQUEST} are taken")
    return raws


def _form_event(body: bytes, content_type: str) -> bytes:
    """Make one event of a form: its field `name` names the event, every field becomes a list under `data`."""
    values = read_form(body, content_type)
    return msgspec.json.encode({"name": values.get("name", [""])[0], "data": values})


def _read_object(raw: bytes | msgspec.Raw) -> dict[str, Any]:
    if len(memoryview(raw)) > limits.EVENT_SIZE:
        raise EventInvalidError(f"the event is larger than {limits.EVENT_SIZE} bytes")
    if bytes(memoryview(raw)[:1]) != b"{":
        raise EventInvalidError("an event must be a JSON object")
    if is_too_deep(bytes(raw)):
        raise EventInvalidError(f"the event is {TOO_DEEP}")
    try:
        fields: dict[str, Any] = msgspec.json.decode(raw, type=dict[str, Any])
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise EventInvalidError(f"the event is not JSON: {error}") from None
    except RecursionError:
        raise EventInvalidError("the event is nested too deeply") from None
    return fields


def _check_name(name: object) -> str:
    if not isinstance(name, str) or not name:
        raise EventInvalidError("event name is empty")
    if len(name) > limits.EVENT_NAME:
        raise EventInvalidError(f"event name is longer than {limits.EVENT_NAME} characters")
    if name.lower().startswith("inngest/"):
        raise EventInvalidError(f"event name is reserved for internal use: {name}")
    return name


def _check_object(fields: dict[str, Any], key: str, name: str) -> dict[str, Any]:
    value = fields.get(key)
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise EventInvalidError(f"event {name!r}: {key} must be an object")
    return value  # pyright: ignore[reportUnknownVariableType] - objects of JSON have string keys


def _check_text(fields: dict[str, Any], key: str, name: str) -> str | None:
    value = fields.get(key)
    if value is not None and not isinstance(value, str):
        raise EventInvalidError(f"event {name!r}: {key} must be text")
    return value


def _check_ts(ts: object, name: str, now: float) -> int:
    if ts is None or ts == 0:
        return int(now * 1000)
    if isinstance(ts, float) and ts.is_integer():
        ts = int(ts)
    if not isinstance(ts, int) or isinstance(ts, bool):
        raise EventInvalidError(f"event {name!r}: ts must be Unix milliseconds")
    if not _EARLIEST <= ts < _LATEST:
        raise EventInvalidError(f"event {name!r}: ts must lie between the years 1980 and 2100, in milliseconds")
    return ts


def _check_meta(meta: object, name: str) -> dict[str, Any] | None:
    """Keep the sessions of an event (executor.md 2.2); other keys of `meta` are not part of the protocol.

    Those that were handed on from another run come below the event's own, and null among these removes one.
    """
    if not isinstance(meta, dict):
        return None
    given: dict[str, Any] = meta  # pyright: ignore[reportUnknownVariableType] - JSON
    own = _read_sessions(given.get("sessions"), "sessions", name)
    merged = {**_read_sessions(given.get("propagated_sessions"), "propagated_sessions", name), **own}
    sessions = {key: value for key, value in merged.items() if value is not None}
    if len(sessions) > _MAX_SESSIONS:
        raise EventInvalidError(f"event {name!r}: at most {_MAX_SESSIONS} sessions")
    for key, value in sessions.items():
        if len(key.encode()) > _MAX_SESSION_KEY or len(value.encode()) > _MAX_SESSION_ID:
            raise EventInvalidError(f"event {name!r}: a session's key or id is too long")
    return {"sessions": sessions} if sessions else None


def _read_sessions(given: object, label: str, name: str) -> dict[str, str | None]:
    try:
        return msgspec.convert({} if given is None else given, dict[str, str | None])
    except msgspec.ValidationError:
        raise EventInvalidError(f"event {name!r}: meta.{label} must map text to text") from None

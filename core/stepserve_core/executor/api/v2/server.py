"""The rest of `/v2`: events, the account and its one environment, keys, and what this server does not have."""

from __future__ import annotations

import hmac

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from stepserve_core._signature import hash_signing_key
from stepserve_core._signing_key import strip_prefix
from stepserve_core.executor.api.http import access_of, executor_of, require_bearer
from stepserve_core.executor.api.v2.http import ApiError, answer, endpoint, read_object
from stepserve_core.executor.calls import ACCOUNT_ID, ENVIRONMENT_ID


@endpoint
async def health(request: Request) -> Response:
    """`GET /v2/health`."""
    return answer(request, {"status": "ok"})


@endpoint
async def send_event(request: Request) -> Response:
    """`POST /v2/events`: one event gives `{eventId}`."""
    event = await read_object(request)
    accepted, error = await executor_of(request).accept(msgspec.json.encode(event), "application/json", None)
    if error is not None:
        raise ApiError(400, "invalid_event", error)
    return answer(request, {"eventId": accepted[0]})


@endpoint
async def resend_event(request: Request) -> Response:
    """`POST /v2/events/{id}/resend`: take in an event once more, as a new one, exactly as it was."""
    executor, event_id = executor_of(request), request.path_params["id"]
    found = await executor.read(lambda tables: tables.events.get(event_id))
    if found is None:
        raise ApiError(404, "not_found", f"there is no event {event_id[:40]!r}")
    fields = msgspec.json.decode(found.body, type=dict[str, msgspec.Raw])
    kept = {name: value for name, value in fields.items() if name not in ("id", "ts")}
    accepted, error = await executor.accept(msgspec.json.encode(kept), "application/json", None)
    if error is not None:
        raise ApiError(400, "invalid_event", error)
    return answer(request, {"eventId": accepted[0]})


@endpoint
async def account(request: Request) -> Response:
    """`GET /v2/account`: there is one."""
    return answer(request, {"id": ACCOUNT_ID, "name": "stepserve", "email": ""})


@endpoint
async def environments(request: Request) -> Response:
    """`GET /v2/envs`: there is one."""
    kind = access_of(request).kind
    environment = {"id": ENVIRONMENT_ID, "name": kind, "type": "TEST" if kind == "dev" else "PRODUCTION"}
    return answer(request, [environment])


@endpoint
async def event_keys(request: Request) -> Response:
    """`GET /v2/keys/events`: the configured keys; none in development, where every key is accepted."""
    require_bearer(request)
    keys = [] if access_of(request).kind == "dev" else access_of(request).event_keys
    return answer(request, [{"key": key} for key in keys])


@endpoint
async def signing_keys(request: Request) -> Response:
    """`GET /v2/keys/signing`: the configured keys. Who shows the hash of a key is told hashes: they sign nothing."""
    require_bearer(request)
    shown = request.headers.get("authorization", "").partition(" ")[2].strip()
    return answer(request, [{"key": _as_known(key, shown)} for key in access_of(request).signing_keys])


def _as_known(key: str, shown: str) -> str:
    body = strip_prefix(key)
    if hmac.compare_digest(strip_prefix(shown).encode(), body.encode()):
        return key
    return f"{key.removesuffix(body)}{hash_signing_key(key)}"


@endpoint
async def not_implemented(request: Request) -> Response:
    """Answer 501 for what only the hosted service has."""
    raise ApiError(501, "not_implemented", f"this server has no {request.method} {request.url.path}")

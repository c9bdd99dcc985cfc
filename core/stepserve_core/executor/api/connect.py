"""What workers ask over HTTP: where to connect, and to take answers that did not get through (executor.md 9.1)."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response

from stepserve_core.connect.messages import CONTENT_TYPE, ReplyAck, StartRequest, StartResponse, WorkerReply
from stepserve_core.connect.schema import MessageInvalidError
from stepserve_core.executor import ids, limits
from stepserve_core.executor.api.http import HttpError, executor_of, json_response, read_body, require_key
from stepserve_core.executor.connect.gateway import PATH, Gateway
from stepserve_core.executor.connect.workers import Connection
from stepserve_core.executor.moments import to_rfc3339

_GROUP = "gw-dev"


async def start(request: Request) -> Response:
    """`POST /v0/connect/start`: name the gateway, and let one connection in there."""
    require_key(request)
    gateway: Gateway | None = request.app.state.gateway
    if gateway is None:
        raise HttpError(501, "this server has no gateway for workers")
    try:
        StartRequest.decode(await read_body(request, limits.MEBIBYTE))
    except MessageInvalidError as error:
        raise HttpError(400, str(error)) from None
    host = request.url.hostname or "127.0.0.1"
    endpoint = f"ws://{f'[{host}]' if ':' in host else host}:{gateway.port}{PATH}"
    connection_id, token = gateway.invite()
    bearer = request.headers.get("authorization", "").partition(" ")[2].strip()
    return _answer(StartResponse(connection_id, endpoint, _GROUP, token, bearer).encode())


async def flush(request: Request) -> Response:
    """`POST /v0/connect/flush`: take an answer as if it had come over the WebSocket."""
    require_key(request)
    try:
        reply = WorkerReply.decode(await read_body(request, limits.ANSWER_BODY + limits.MEBIBYTE))
    except MessageInvalidError as error:
        raise HttpError(400, str(error)) from None
    executor_of(request).workers.answer(reply)
    return _answer(ReplyAck(reply.request_id).encode())


async def list_connections(request: Request) -> Response:
    """`GET /v0/connect/envs/{env}/conns[?app_id=]`: the workers that are connected now."""
    require_key(request)
    wanted = request.query_params.get("app_id")
    connections = [one for one in executor_of(request).workers.all() if wanted is None or wanted in _app_ids(one)]
    return json_response({"data": [_describe(one) for one in connections]})


def _app_ids(connection: Connection) -> set[str]:
    return {ids.app_id(name) for name in connection.app_names}


def _describe(connection: Connection) -> dict[str, object]:
    groups = dict.fromkeys(sorted(connection.app_names), connection.id)
    return {
        "id": connection.id,
        "gateway_id": _GROUP,
        "instance_id": connection.instance_id,
        "all_worker_groups": groups,
        "synced_worker_groups": groups,
        "status": int(connection.status),
        "last_heartbeat_at": to_rfc3339(connection.last_heartbeat_at),
        "sdk_language": connection.sdk[0],
        "sdk_version": connection.sdk[1],
        "attributes": {
            "cpu_cores": connection.system.cpu_cores,
            "mem_bytes": connection.system.mem_bytes,
            "os": connection.system.os,
        },
    }


def _answer(content: bytes) -> Response:
    return Response(content, media_type=CONTENT_TYPE)

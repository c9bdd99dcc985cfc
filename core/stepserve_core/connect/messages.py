"""The messages of Connect (protocol.md 12.2, executor.md 9.2)."""

from __future__ import annotations

import enum
from typing import Annotated

import msgspec

from stepserve_core.connect.schema import Message

SUBPROTOCOL = "v0.connect.inngest.com"
START_PATH = "/v0/connect/start"
FLUSH_PATH = "/v0/connect/flush"
CONTENT_TYPE = "application/protobuf"


class Kind(enum.IntEnum):
    """What a frame is."""

    GATEWAY_HELLO = 0
    WORKER_CONNECT = 1
    GATEWAY_CONNECTION_READY = 2
    GATEWAY_EXECUTOR_REQUEST = 3
    WORKER_READY = 4
    WORKER_REQUEST_ACK = 5
    WORKER_REPLY = 6
    WORKER_REPLY_ACK = 7
    WORKER_PAUSE = 8
    WORKER_HEARTBEAT = 9
    GATEWAY_HEARTBEAT = 10
    GATEWAY_CLOSING = 11
    WORKER_REQUEST_EXTEND_LEASE = 12
    WORKER_REQUEST_EXTEND_LEASE_ACK = 13
    SYNC_FAILED = 14
    WORKER_STATUS = 15


class Status(enum.IntEnum):
    """What a reply is: steps (HTTP 206), the result (200), or an error."""

    NOT_COMPLETED = 0
    DONE = 1
    ERROR = 2


class Frame(Message, frozen=True):
    """`ConnectMessage`: one frame of the WebSocket. `kind` is a `Kind`; newer peers may send others."""

    kind: Annotated[int, 1] = 0
    payload: Annotated[bytes, 2] = b""


class StartRequest(Message, frozen=True):
    """Asks for a gateway."""

    exclude_gateways: Annotated[list[str], 1] = msgspec.field(default_factory=list)


class StartResponse(Message, frozen=True):
    """Names a gateway, and what lets the worker in there."""

    connection_id: Annotated[str, 1] = ""
    gateway_endpoint: Annotated[str, 2] = ""
    gateway_group: Annotated[str, 3] = ""
    session_token: Annotated[str, 4] = ""
    sync_token: Annotated[str, 5] = ""


class AuthData(Message, frozen=True):
    """What lets a worker in."""

    session_token: Annotated[str, 1] = ""
    sync_token: Annotated[str, 2] = ""


class AppConfiguration(Message, frozen=True):
    """An app; `functions` is a JSON array of configurations (protocol.md 4.6)."""

    app_name: Annotated[str, 1] = ""
    app_version: Annotated[str | None, 2] = None
    functions: Annotated[bytes, 4] = b""


class SystemAttributes(Message, frozen=True):
    """The worker's machine."""

    cpu_cores: Annotated[int, 1] = 0
    mem_bytes: Annotated[int, 2] = 0
    os: Annotated[str, 3] = ""


class Timestamp(Message, frozen=True):
    """A moment in Unix time."""

    seconds: Annotated[int, 1] = 0
    nanos: Annotated[int, 2] = 0


class WorkerConnect(Message, frozen=True):
    """`WorkerConnectRequestData`: who the worker is and what it runs."""

    connection_id: Annotated[str, 1] = ""
    instance_id: Annotated[str, 2] = ""
    auth_data: Annotated[AuthData, 3] = AuthData()
    capabilities: Annotated[bytes, 4] = b""
    apps: Annotated[list[AppConfiguration], 5] = msgspec.field(default_factory=list)
    worker_manual_readiness_ack: Annotated[bool, 6] = False
    system_attributes: Annotated[SystemAttributes, 7] = SystemAttributes()
    environment: Annotated[str | None, 8] = None
    framework: Annotated[str, 9] = ""
    platform: Annotated[str | None, 10] = None
    sdk_version: Annotated[str, 11] = ""
    sdk_language: Annotated[str, 12] = ""
    started_at: Annotated[Timestamp | None, 13] = None
    max_worker_concurrency: Annotated[int | None, 14] = None


class ConnectionReady(Message, frozen=True):
    """`GatewayConnectionReadyData`: intervals as durations such as "10s"; a status interval of "0s" is off."""

    heartbeat_interval: Annotated[str, 1] = ""
    extend_lease_interval: Annotated[str, 2] = ""
    status_interval: Annotated[str, 3] = ""


class WorkerStatus(Message, frozen=True):
    """What the worker is doing."""

    in_flight_request_ids: Annotated[list[str], 1] = msgspec.field(default_factory=list)
    shutdown_requested: Annotated[bool, 2] = False


class ExecutorRequest(Message, frozen=True):
    """`GatewayExecutorRequestData`: a call. `request_payload` is the JSON of protocol.md 5.2."""

    request_id: Annotated[str, 1] = ""
    account_id: Annotated[str, 2] = ""
    env_id: Annotated[str, 3] = ""
    app_id: Annotated[str, 4] = ""
    app_name: Annotated[str, 5] = ""
    function_id: Annotated[str, 6] = ""
    function_slug: Annotated[str, 7] = ""
    step_id: Annotated[str | None, 8] = None
    request_payload: Annotated[bytes, 9] = b""
    system_trace_ctx: Annotated[bytes, 10] = b""
    user_trace_ctx: Annotated[bytes, 11] = b""
    run_id: Annotated[str, 12] = ""
    lease_id: Annotated[str, 13] = ""
    job_id: Annotated[str, 14] = ""


class RequestAck(Message, frozen=True):
    """`WorkerRequestAckData`: the worker has the call."""

    request_id: Annotated[str, 1] = ""
    account_id: Annotated[str, 2] = ""
    env_id: Annotated[str, 3] = ""
    app_id: Annotated[str, 4] = ""
    function_slug: Annotated[str, 5] = ""
    step_id: Annotated[str | None, 6] = None
    system_trace_ctx: Annotated[bytes, 7] = b""
    user_trace_ctx: Annotated[bytes, 8] = b""
    run_id: Annotated[str, 9] = ""


class ExtendLease(RequestAck, frozen=True):
    """`WorkerRequestExtendLeaseData`: the worker still works on the call; the fields of `RequestAck`, and the lease."""

    lease_id: Annotated[str, 10] = ""


class ExtendLeaseAck(Message, frozen=True):
    """`WorkerRequestExtendLeaseAckData`. Without a new lease the call belongs to the worker no more."""

    request_id: Annotated[str, 1] = ""
    account_id: Annotated[str, 2] = ""
    env_id: Annotated[str, 3] = ""
    app_id: Annotated[str, 4] = ""
    function_slug: Annotated[str, 5] = ""
    new_lease_id: Annotated[str | None, 6] = None


class WorkerReply(Message, frozen=True):
    """`SDKResponse`: the answer to a call; `status` is a `Status`."""

    request_id: Annotated[str, 1] = ""
    account_id: Annotated[str, 2] = ""
    env_id: Annotated[str, 3] = ""
    app_id: Annotated[str, 4] = ""
    status: Annotated[int, 5] = 0
    body: Annotated[bytes, 6] = b""
    no_retry: Annotated[bool, 7] = False
    retry_after: Annotated[str | None, 8] = None
    sdk_version: Annotated[str, 9] = ""
    request_version: Annotated[int, 10] = 0
    system_trace_ctx: Annotated[bytes, 11] = b""
    user_trace_ctx: Annotated[bytes, 12] = b""
    run_id: Annotated[str, 13] = ""


class ReplyAck(Message, frozen=True):
    """`WorkerReplyAckData`: the gateway has the reply. `FlushResponse` has the same field."""

    request_id: Annotated[str, 1] = ""


class SyncError(Message, frozen=True):
    """`SystemError`: why the functions were refused."""

    code: Annotated[str, 1] = ""
    data: Annotated[bytes | None, 2] = None
    message: Annotated[str, 3] = ""


def frame(kind: Kind, payload: Message | None = None) -> bytes:
    """Return the bytes of a frame."""
    return Frame(kind, b"" if payload is None else payload.encode()).encode()

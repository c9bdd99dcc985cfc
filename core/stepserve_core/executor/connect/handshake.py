"""What a worker says of itself when it connects, read and checked (executor.md 9.3). No I/O."""

from __future__ import annotations

from typing import Any

import msgspec

from stepserve_core.connect.messages import AppConfiguration, WorkerConnect
from stepserve_core.executor.json_web_token import TokenInvalidError

MOST_APPS = 10
TOKEN_LIFE = 5 * 60
_ISSUER, _AUDIENCE = "connect.inngest.com", "gateway.connect.inngest.com"


class Refusal(Exception):
    """A worker that is sent away: `code` is the reason on the wire, `status` that of the WebSocket."""

    def __init__(self, code: str, message: str, status: int = 1008) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.status = status


class Session(msgspec.Struct, frozen=True):
    """What a session token says: which connection it lets in, until when (executor.md 9.1)."""

    iss: str
    aud: str
    sub: str
    iat: int
    exp: int

    @classmethod
    def begin(cls, connection_id: str, now: float) -> Session:
        """Return the session of a connection that may begin from now on."""
        return cls(_ISSUER, _AUDIENCE, connection_id, int(now), int(now) + TOKEN_LIFE)

    def check(self, connection_id: str, now: float) -> None:
        """Let only the connection in that the token was made for.

        Raises:
            TokenInvalidError: it is another one's, or its time is over.
        """
        if (self.iss, self.aud, self.sub) != (_ISSUER, _AUDIENCE, connection_id):
            raise TokenInvalidError("the token is of another connection")
        if self.exp <= now:
            raise TokenInvalidError("the token's time is over; ask for a new one")


class _Named(msgspec.Struct):
    id: str = ""


def check_apps(hello: WorkerConnect) -> list[AppConfiguration]:
    """Return the apps of a worker.

    Raises:
        Refusal: there are none or too many, or the worker has no name.
    """
    if not hello.instance_id:
        raise Refusal("connect_worker_hello_invalid_payload", "it has no instance id")
    if not hello.apps:
        raise Refusal("connect_worker_hello_invalid_payload", "it runs no app")
    if len(hello.apps) > MOST_APPS:
        raise Refusal("connect_too_many_apps_per_connection", f"it runs more than {MOST_APPS} apps")
    return hello.apps


def read_apps(hello: WorkerConnect) -> dict[str, str]:
    """Return the name of the app for each slug of its functions; they were registered, so they can be read."""
    return {
        function.id: app.app_name
        for app in hello.apps
        for function in msgspec.json.decode(app.functions or b"[]", type=list[_Named])
    }


def registration(app: AppConfiguration, hello: WorkerConnect) -> bytes:
    """Return the body of a registration, as an app that is called over HTTP would send it (executor.md 1.8)."""
    body: dict[str, Any] = {
        "url": app_url(app.app_name),
        "deployType": "connect",
        "appName": app.app_name,
        "appVersion": app.app_version,
        "sdk": f"{hello.sdk_language}:v{hello.sdk_version.removeprefix('v')}",
        "framework": hello.framework,
        "capabilities": msgspec.Raw(hello.capabilities or b"{}"),
        "functions": msgspec.Raw(app.functions or b"[]"),
    }
    return msgspec.json.encode(body)


def app_url(app_name: str) -> str:
    """Return the URL under which an app is kept that workers run."""
    return f"ws://connect?app_name={app_name}"

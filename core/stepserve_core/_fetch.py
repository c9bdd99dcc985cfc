"""`step.fetch`: HTTP requests that the server makes, durably and with retries (protocol.md 13.4)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, overload

import msgspec

from stepserve_core._found import Ask
from stepserve_core._opcodes import Opcode
from stepserve_core._serialize import encode_given

if TYPE_CHECKING:
    import httpx

    from stepserve_core._step import Step, StepSync


class FetchResponse(msgspec.Struct, frozen=True):
    """The reply to a `step.fetch`, whatever its status (protocol.md 13.4). Header names are lower-case.

    `url` is the last one where there were redirects. `body` is text: the protocol carries no bytes.
    """

    status_code: int
    headers: dict[str, str]
    body: str
    url: str = ""

    @property
    def is_success(self) -> bool:
        """Say whether the status is one of 200 to 299."""
        return 200 <= self.status_code <= 299

    def json(self) -> Any:
        """Return the decoded body.

        Raises:
            ValueError: it is not JSON.
        """
        return msgspec.json.decode(self.body.encode())


def read_response(memo: object) -> FetchResponse:
    """Read the memo of a fetch (5.3).

    Raises:
        ValueError: the server left something else behind.
    """
    try:
        response = msgspec.convert(memo, FetchResponse)
    except msgspec.ValidationError as error:
        raise ValueError(f"the server answered a step.fetch with something else than a response: {error}") from None
    headers = {name.lower(): value for name, value in response.headers.items()}
    return msgspec.structs.replace(response, headers=headers)


def ask_fetch(
    url: str,
    method: str,
    headers: Mapping[str, str] | None,
    body: str | bytes | None,
    json: object,
    params: Mapping[str, object] | None,
) -> Ask:
    """Ask the server to make a request.

    Raises:
        ValueError: the body is not text, or there are two.
        OutputUnserializableError: JSON cannot carry `json`.
    """
    sent = {name.lower(): value for name, value in (headers or {}).items()}
    if json is not None:
        if body is not None:
            raise ValueError("step.fetch takes a body or json, not both")
        body = encode_given(json, "step.fetch(json=…)")
        sent.setdefault("content-type", "application/json")
    opts: dict[str, object] = {
        "headers": sent,
        "method": method.upper(),
        "type": "step.fetch",
        "url": _with(url, params),
    }
    if body is not None:
        opts["body"] = _as_text(body)
    return Ask(Opcode.GATEWAY, None, opts)


def _with(url: str, params: Mapping[str, object] | None) -> str:
    if not params:
        return url
    from urllib.parse import urlencode  # noqa: PLC0415 - most programs make no requests by the server

    base, hash_, fragment = url.partition("#")
    return f"{base}{'&' if '?' in base else '?'}{urlencode(params, doseq=True)}{hash_}{fragment}"


def _as_text(body: str | bytes) -> str:
    try:
        return body if isinstance(body, str) else body.decode()
    except UnicodeDecodeError:
        raise ValueError("the body of a step.fetch must be text in UTF-8: the protocol carries no bytes") from None


@overload
def fetch_transport(step: Step) -> httpx.AsyncBaseTransport: ...


@overload
def fetch_transport(step: StepSync) -> httpx.BaseTransport: ...


def fetch_transport(step: Step | StepSync) -> httpx.AsyncBaseTransport | httpx.BaseTransport:
    """Return a transport that makes each request of an httpx client a `step.fetch` (protocol.md 13.4).

    In an `async def` function: `httpx.AsyncClient(transport=fetch_transport(ctx.step))`; in a `def` function:
    `httpx.Client(transport=fetch_transport(ctx.step))`. Make the client inside the function, and send requests
    outside of other steps. Step ids are "step.fetch: <host>", numbered where they repeat. Redirects are followed by
    the server. Bodies must be text.
    """
    from stepserve_core._fetch_transport import make_transport  # noqa: PLC0415 - it imports httpx

    return make_transport(step)

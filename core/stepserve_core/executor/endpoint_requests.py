"""Durable endpoints: the request that began a run, and how it is made again (executor.md 8.1 and 8.5). No I/O."""

from __future__ import annotations

import base64

import msgspec

from stepserve_core import _protocol
from stepserve_core._signature import sign
from stepserve_core.executor.calls import CallRequest, RunState
from stepserve_core.executor.decisions import RunFacts, Work
from stepserve_core.executor.trace_context import write_traceparent

EVENT = "inngest/http.request"


class EndpointRequest(msgspec.Struct, frozen=True):
    """The request of a client, as the event of the run has it. `body` is base64."""

    domain: str
    path: str = "/"
    method: str = "GET"
    fn: str = ""
    ip: str = ""
    content_type: str = ""
    accept: str = "*/*"
    query_params: str = ""
    body: str = ""

    @property
    def slug(self) -> str:
        """The id of the function that the endpoint is."""
        return self.fn or f"{self.method} {self.path}"

    @property
    def url(self) -> str:
        """Where the request went."""
        query = f"?{self.query_params}" if self.query_params else ""
        return f"{self.domain.rstrip('/')}{self.path}{query}"

    def content(self) -> bytes:
        """Return the body. The TypeScript SDK (4.24) sends its text: no JSON and no form is base64 by chance."""
        body = _from_base64(self.body)
        return self.body.encode() if body is None else body


class EndpointAnswer(msgspec.Struct, frozen=True):
    """What an endpoint answered; `body` is base64."""

    status: int
    headers: dict[str, str] = {}
    body: str = ""

    def content(self) -> bytes:
        """Return the body. The TypeScript SDK (4.24) sends a JSON string of its text, which is never base64.

        Raises:
            msgspec.DecodeError: it is none of these.
        """
        body = _from_base64(self.body)
        return msgspec.json.decode(self.body, type=str).encode() if body is None else body


def _from_base64(text: str) -> bytes | None:
    try:
        return base64.b64decode(text, validate=True)
    except ValueError:
        return None


class EndpointResult(msgspec.Struct, frozen=True):
    """The data of the op that ends the run."""

    data: EndpointAnswer


class _Trigger(msgspec.Struct):
    data: EndpointRequest


def build_reentry(
    work: Work, run: RunFacts, state: RunState, url: str, *, request_id: str, signing_key: str | None, now: float
) -> CallRequest:
    """Return the client's request once more, with what tells the app that a run goes on; `url` is not needed.

    It is signed without a key too: apps take requests with an id and a signature for ours, and others for clients'.
    """
    del url
    request = msgspec.json.decode(state.events[0], type=_Trigger).data
    body = request.content()
    headers = {
        "user-agent": "Inngest",
        "accept": request.accept,
        "x-run-id": run.id,
        _protocol.REQUEST_ID: request_id,
        _protocol.JOB_ID: work.id,
        _protocol.REQ_VERSION: str(max(run.request_version, 2)),
        _protocol.GENERATION_ID: str(work.generation),
        "traceparent": write_traceparent(run.id, work.id, work.generation),
        _protocol.SIGNATURE: sign(body, signing_key or "", int(now)),
    }
    if run.force_plan:
        headers["x-inngest-force-step-plan"] = "true"
    if request.content_type:
        headers["content-type"] = request.content_type
    if work.step is not None:
        headers["x-inngest-step-id"] = work.step
    return CallRequest(request.url, headers, body, request.method)

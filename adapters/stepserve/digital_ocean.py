"""Serve functions from DigitalOcean Functions: `main = stepserve.digital_ocean.serve(client, functions)`.

The function needs `web: raw` in project.yml: signatures are made over the bytes of a request.

How bodies come and go: docs.digitalocean.com, Functions, "Parameters and Responses" (raw web events: `http.body` is
text, or base64 where `http.isBase64Encoded` says so; a result's `body` is text or an object). What decides between
them is Apache OpenWhisk's, on which the platform is built: docs/webactions.md, "Raw HTTP handling", and its controller,
WebActions.scala (`extractEntityAndProcessRequest`, `interpretHttpResponse`). Requests: text types come as text, read as
UTF-8; all others come as base64, and so does JSON. Results: text leaves as it is, but text of a JSON type that reads as
base64 is decoded first; objects are printed anew, indented; null and empty text leave without body and content type.
"""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from typing_extensions import Unpack

from stepserve._http_event import body_from, headers_from, url_from, whole_answer_handler
from stepserve_core import Function, Inngest
from stepserve_core.errors import BodyInvalidError
from stepserve_core.handler import Request, Response, ServeOptions

FRAMEWORK = "digitalocean"

Main = Callable[[dict[str, Any], Any], dict[str, Any]]

_BASE64 = re.compile(r"[A-Za-z0-9+/]+={0,2}")


def serve(client: Inngest, functions: Sequence[Function[Any]], **options: Unpack[ServeOptions]) -> Main:
    """Return a `main` that serves `functions`; see `Handler` for the options (protocol.md 10.8).

    Raises:
        ConfigurationError: streaming is asked for; or see `Handler`.
    """
    handler = whole_answer_handler("DigitalOcean Functions", client, functions, FRAMEWORK, options)

    def main(event: dict[str, Any], context: Any) -> dict[str, Any]:
        try:
            request = request_from(event, context)
        except BodyInvalidError as error:
            client.logger.error("a request failed: %s", error)
            wrong = {"code": error.code, "message": str(error), "name": type(error).__name__}
            return _result(Response(400, {"content-type": "application/json"}, _json(wrong)))
        return _result(handler.handle(request))

    return main


def request_from(event: Mapping[str, Any], context: Any) -> Request:
    """Return the core's request for a raw web event; `raw` is a dict of the event and the context.

    Raises:
        BodyInvalidError: the event is not raw, so that the bytes of the request are lost.
    """
    http = event.get("http")
    if not isinstance(http, dict) or "queryString" not in http:
        raise BodyInvalidError('the event has no raw request; set "web: raw" for this function in project.yml')
    url = url_from(f"{context.api_host}/api/v1/web", context.function_name, http["queryString"])
    raw = {"context": context, "event": event}
    return Request(http["method"].upper(), url, headers_from(http["headers"]), _body(http), raw)


def _body(http: Mapping[str, Any]) -> bytes:
    body = http.get("body")
    if body is None or isinstance(body, str):
        return body_from(body, http.get("isBase64Encoded", False))
    return _json(body)  # decoded already, in the order in which it came


def _json(value: object) -> bytes:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode()


def _result(response: Response) -> dict[str, Any]:
    """Return what the platform turns into an HTTP response.

    The body is text, which leaves as it is: objects are laid out anew, which breaks their signature, and null is left
    out. Where JSON text could be base64 (`null`, `true`, `1234`), the platform decodes it, so it gets base64.
    """
    text = response.body.decode()
    if len(text) % 4 == 0 and _BASE64.fullmatch(text):
        text = base64.b64encode(response.body).decode()
    return {"body": text, "headers": response.headers, "statusCode": response.status}

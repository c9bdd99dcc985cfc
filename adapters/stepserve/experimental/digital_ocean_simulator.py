"""Run a DigitalOcean function on your machine: `DigitalOceanSimulator(main).app.run(port=8000)`; needs Flask.

It does what the platform does with `web: raw` between HTTP and `main`, in both directions; the rules are named in
`stepserve.digital_ocean`. The function is at `FULL_PATH` and below (protocol.md 10.10).
"""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Callable, Mapping
from types import SimpleNamespace
from typing import Any

import flask
from werkzeug.http import parse_options_header

NAMESPACE = "fn-00000000"
FULL_PATH = f"/api/v1/web/{NAMESPACE}/fake-name"

_METHODS = ("DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT")
_TEXT = ("application/javascript", "application/x-www-form-urlencoded", "application/xml")
_BASE64 = re.compile(r"([A-Za-z0-9+/]{4})*([A-Za-z0-9+/]{4}|[A-Za-z0-9+/]{3}=|[A-Za-z0-9+/]{2}==)")


class DigitalOceanSimulator:
    """The platform, with one function on it; `app` is a Flask app."""

    def __init__(self, main: Callable[[dict[str, Any], Any], Any]) -> None:
        self._main = main
        self.app = flask.Flask(__name__)
        for rule in (FULL_PATH, f"{FULL_PATH}/<path:below>"):
            self.app.add_url_rule(rule, view_func=self._view, methods=_METHODS, provide_automatic_options=False)

    def _view(self, below: str | None = None) -> flask.Response:
        if flask.request.method == "OPTIONS":  # answered by the platform, unless `web-custom-options` is set
            return flask.Response(headers={"access-control-allow-methods": ", ".join(_METHODS)})
        event = {"http": _raw_event(flask.request, f"/{below}" if below else "")}
        # Events and results cross the border of a process as JSON.
        result = self._main(json.loads(json.dumps(event)), _context(flask.request))
        try:
            return _response_from(json.loads(json.dumps(result)))
        except (AttributeError, TypeError, ValueError) as error:
            message = {"error": f"Response is not valid 'message/http': {error}"}
            return flask.Response(json.dumps(message), 400, content_type="application/json")


def _raw_event(request: flask.Request, path: str) -> dict[str, Any]:
    """Return the part `http` of a raw web event. Whatever charset is named, text is read as UTF-8."""
    body, is_base64 = request.get_data(), not _is_text(request.mimetype)
    return {
        "body": base64.b64encode(body).decode() if is_base64 else body.decode(errors="replace"),
        "headers": {name.lower(): value for name, value in request.headers.items()},
        "isBase64Encoded": is_base64,
        "method": request.method,
        "path": path,
        "queryString": request.query_string.decode("latin-1"),
    }


def _is_text(media_type: str) -> bool:
    return media_type.startswith("text/") or media_type in _TEXT or media_type.endswith(("+json", "+xml"))


def _context(request: flask.Request) -> SimpleNamespace:
    """Return what the platform tells a function about itself, as far as it can be known here."""
    return SimpleNamespace(
        activation_id="00000000000000000000000000000000",
        api_host=request.host_url.rstrip("/"),
        function_name=FULL_PATH.removeprefix("/api/v1/web"),
        function_version="0.0.1",
        namespace=NAMESPACE,
        request_id="00000000000000000000000000000000",
        get_remaining_time_in_millis=lambda: 30_000,
    )


def _response_from(result: Any) -> flask.Response:
    """Return what the platform makes of a result.

    Raises:
        TypeError, ValueError: it would refuse it; the message says why.
    """
    if not isinstance(result, Mapping):
        raise TypeError("the result is no object")
    headers: dict[str, Any] = {name.lower(): value for name, value in result.get("headers", {}).items()}
    content_type = str(headers.pop("content-type", ""))
    body = result.get("body")
    if body is None or body == "":
        return flask.Response(b"", int(result.get("statusCode", 204)), headers)
    if isinstance(body, str):
        content_type = content_type or "text/html; charset=utf-8"
        content = _content(body, parse_options_header(content_type)[0])
    else:
        content_type = content_type or "application/json"
        if not _is_json(parse_options_header(content_type)[0]):
            raise ValueError(f"an object cannot leave as {content_type}")
        content = json.dumps(body, indent=2, ensure_ascii=False).encode()
    return flask.Response(content, int(result.get("statusCode", 200)), headers, content_type=content_type)


def _content(body: str, media_type: str) -> bytes:
    is_base64 = _BASE64.fullmatch(body.strip()) is not None
    if (_is_json(media_type) and not is_base64) or (_is_text(media_type) and not _is_json(media_type)):
        return body.encode()
    return base64.b64decode(body.strip(), validate=True)


def _is_json(media_type: str) -> bool:
    return media_type == "application/json" or media_type.endswith("+json")

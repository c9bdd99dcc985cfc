"""Serve functions from AWS Lambda, behind API Gateway (REST and HTTP APIs), a function URL or a load balancer.

`handler = stepserve.aws_lambda.serve(client, functions)` is what the setting "Handler" of the function names.
Async functions run on one event loop of the process, which lives on between invocations.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any
from urllib.parse import urlencode

from typing_extensions import Unpack

from stepserve._http_event import body_from, headers_from, url_from, whole_answer_handler
from stepserve_core import Function, Inngest
from stepserve_core.errors import ConfigurationError
from stepserve_core.handler import Request, Response, ServeOptions

FRAMEWORK = "aws_lambda"

LambdaHandler = Callable[[dict[str, Any], Any], dict[str, Any]]


def serve(client: Inngest, functions: Sequence[Function[Any]], **options: Unpack[ServeOptions]) -> LambdaHandler:
    """Return a Lambda handler that serves `functions` at whatever path leads to it; see `Handler` for the options.

    Behind an HTTP API with a custom domain and a mapping key, events of format 2.0 do not tell the mapping key:
    give the path as `public_path`.

    Raises:
        ConfigurationError: streaming is asked for; or see `Handler`.
    """
    served = whole_answer_handler("AWS Lambda", client, functions, FRAMEWORK, options)

    def handler(event: dict[str, Any], context: Any) -> dict[str, Any]:
        return _result(event, served.handle(request_from(event, context)))

    return handler


def request_from(event: Mapping[str, Any], context: object) -> Request:
    """Return the core's request for an HTTP event; `raw` is a dict of the event and the context.

    Raises:
        ConfigurationError: the event is not about HTTP.
    """
    about = event.get("requestContext") or {}
    headers = headers_from(event.get("multiValueHeaders") or event.get("headers") or {})
    if "http" in about:
        method, path, query = about["http"]["method"], _path_2(event), event.get("rawQueryString", "")
    elif "httpMethod" in event:
        method, path, query = event["httpMethod"], _path_1(event), _query_1(event)
    else:
        raise ConfigurationError(
            "this Lambda function serves HTTP: invoke it through API Gateway, a function URL or a load balancer, "
            f"not with an event that has {', '.join(sorted(event)) or 'nothing in it'}"
        )
    # What stands before the function sets this header anew, whatever a client sends.
    scheme = headers.get("x-forwarded-proto", "https")
    host = headers.get("host") or about.get("domainName") or "localhost"
    url = url_from(f"{scheme}://{host}", path, query)
    body = body_from(event.get("body"), event.get("isBase64Encoded", False))
    return Request(method, url, headers, body, {"context": context, "event": event})


def _path_2(event: Mapping[str, Any]) -> str:
    """Return the path of an event of format 2.0, which has the stage in it even where the URL has not."""
    path: str = event.get("rawPath") or "/"
    about = event["requestContext"]
    stage = f"/{about.get('stage', '$default')}"
    is_custom_domain = not about.get("domainName", "").startswith(f"{about.get('apiId')}.execute-api.")
    if is_custom_domain and f"{path}/".startswith(f"{stage}/"):
        return path.removeprefix(stage) or "/"
    return path


def _path_1(event: Mapping[str, Any]) -> str:
    """Return the path of a REST API, of an HTTP API with format 1.0, or of a load balancer.

    REST APIs have the stage, or the base path of a custom domain, in the context only; the others in the path.
    """
    path: str = event["path"]
    return path if event.get("version") == "1.0" else event["requestContext"].get("path", path)


def _query_1(event: Mapping[str, Any]) -> str:
    parameters = event.get("multiValueQueryStringParameters") or event.get("queryStringParameters") or {}
    pairs = [
        (name, value)
        for name, values in parameters.items()
        for value in ([values] if isinstance(values, str) else values)
    ]
    if _is_load_balancer(event):  # which does not decode them
        return "&".join(f"{name}={value}" for name, value in pairs)
    return urlencode(pairs)


def _is_load_balancer(event: Mapping[str, Any]) -> bool:
    return "elb" in event["requestContext"]


def _result(event: Mapping[str, Any], response: Response) -> dict[str, Any]:
    # A load balancer that sends lists of headers takes nothing else.
    lists = _is_load_balancer(event) and "multiValueHeaders" in event
    headers = {name: [value] for name, value in response.headers.items()} if lists else response.headers
    return {
        "statusCode": response.status,
        "multiValueHeaders" if lists else "headers": headers,
        "body": response.body.decode(),
        "isBase64Encoded": False,
    }

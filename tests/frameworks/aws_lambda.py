"""AWS Lambda behind each of the services that turn HTTP into events.

Shapes: docs.aws.amazon.com, "Lambda proxy integrations in API Gateway" (REST APIs), "Create AWS Lambda proxy
integrations for HTTP APIs" (format 2.0), "Invoking Lambda function URLs", "Lambda functions as targets for
Application Load Balancers".
"""

from __future__ import annotations

import base64
import json
from abc import abstractmethod
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from typing import Any
from urllib.parse import parse_qs

import stepserve.aws_lambda
from stepserve import Function, Inngest
from stepserve.aws_lambda import LambdaHandler
from stepserve.testing.contract.harness import Harness
from tests.frameworks import servers
from tests.frameworks.platform_front import Answered, Asked, PlatformFront


class _Lambda(Harness):
    FRAMEWORK = "aws_lambda"
    CALLS_FROM_LOOP = False
    STREAMS = False  # a handler in Python returns one whole answer

    def build(
        self,
        client: Inngest,
        functions: Sequence[Function[Any]],
        before_request: Callable[[], None] | None,
        **options: Any,
    ) -> PlatformFront:
        """Return the service with the function behind it."""
        handler = stepserve.aws_lambda.serve(client, functions, **options)
        return PlatformFront(lambda asked: self._invoke(handler, asked), before_request)

    def serve(self, app: Any) -> AbstractContextManager[int]:
        """Serve with uvicorn."""
        return servers.uvicorn(app)

    @abstractmethod
    def event(self, asked: Asked) -> dict[str, Any]:
        """Return the event that the service makes of a request."""

    def answered(self, result: dict[str, Any]) -> Answered:
        """Return what the service makes of the handler's result."""
        assert set(result) == {"statusCode", "headers", "body", "isBase64Encoded"}
        return Answered(result["statusCode"], list(result["headers"].items()), _result_body(result))

    def _invoke(self, handler: LambdaHandler, asked: Asked) -> Answered:
        # Events and results cross the border of a process as JSON.
        event = json.loads(json.dumps(self.event(asked)))
        return self.answered(json.loads(json.dumps(handler(event, None))))


class LambdaBehindRESTAPI(_Lambda):
    """API Gateway, REST API with proxy integration; binary media types include those that are not text."""

    def event(self, asked: Asked) -> dict[str, Any]:
        """Return an event of format 1.0: query parameters are decoded, and repeated ones kept in lists."""
        parameters = parse_qs(asked.query, keep_blank_values=True)
        return {
            "resource": "/{proxy+}",
            "path": asked.path,
            "httpMethod": asked.method,
            "headers": dict(asked.headers),
            "multiValueHeaders": asked.header_lists(),
            "queryStringParameters": {name: values[-1] for name, values in parameters.items()} or None,
            "multiValueQueryStringParameters": parameters or None,
            "pathParameters": {"proxy": asked.path.lstrip("/")},
            "stageVariables": None,
            "requestContext": {
                "domainName": asked.host,
                "httpMethod": asked.method,
                "path": asked.path,
                "protocol": "HTTP/1.1",
                "stage": "prod",
            },
            **_body(asked, empty=None),
        }


class LambdaBehindHTTPAPI(_Lambda):
    """API Gateway, HTTP API with format 2.0; function URLs send the same."""

    HEADER_SEPARATOR = ","

    def event(self, asked: Asked) -> dict[str, Any]:
        """Return an event of format 2.0: the query as it came, repeated headers joined, no body if there is none."""
        parameters = parse_qs(asked.query, keep_blank_values=True)
        return {
            "version": "2.0",
            "routeKey": "$default",
            "rawPath": asked.path,
            "rawQueryString": asked.query,
            "headers": asked.joined_headers(","),
            "queryStringParameters": {name: ",".join(values) for name, values in parameters.items()},
            "requestContext": {
                "accountId": "anonymous",
                "apiId": "r3pmxmplak",
                "domainName": asked.host,
                "http": {"method": asked.method, "path": asked.path, "protocol": "HTTP/1.1"},
                "routeKey": "$default",
                "stage": "$default",
            },
            **(_body(asked, empty=None) if asked.body else {"isBase64Encoded": False}),
        }


class LambdaBehindLoadBalancer(_Lambda):
    """An Application Load Balancer whose target group sends lists of headers.

    Without that setting it drops all but the last of repeated headers and parameters, which the suite needs;
    tests/adapters/test_aws_lambda.py has such events.
    """

    def event(self, asked: Asked) -> dict[str, Any]:
        """Return an event of a load balancer: query parameters as they came, in lists."""
        parameters: dict[str, list[str]] = {}
        for pair in filter(None, asked.query.split("&")):
            name, _, value = pair.partition("=")
            parameters.setdefault(name, []).append(value)
        arn = "arn:aws:elasticloadbalancing:us-east-2:123456789012:targetgroup/functions/49e9d65c45c6791a"
        return {
            "requestContext": {"elb": {"targetGroupArn": arn}},
            "httpMethod": asked.method,
            "path": asked.path,
            "multiValueQueryStringParameters": parameters,
            "multiValueHeaders": asked.header_lists(),
            **_body(asked, empty=""),
        }

    def answered(self, result: dict[str, Any]) -> Answered:
        """Return what the load balancer makes of a result, which must have lists of headers."""
        assert set(result) == {"statusCode", "multiValueHeaders", "body", "isBase64Encoded"}
        headers = [(name, value) for name, values in result["multiValueHeaders"].items() for value in values]
        return Answered(result["statusCode"], headers, _result_body(result))


def _body(asked: Asked, empty: str | None) -> dict[str, Any]:
    text = asked.text()
    if not asked.body:
        return {"body": empty, "isBase64Encoded": False}
    if text is not None:
        return {"body": text, "isBase64Encoded": False}
    return {"body": base64.b64encode(asked.body).decode(), "isBase64Encoded": True}


def _result_body(result: dict[str, Any]) -> bytes:
    body: str = result["body"]
    return base64.b64decode(body) if result["isBase64Encoded"] else body.encode()

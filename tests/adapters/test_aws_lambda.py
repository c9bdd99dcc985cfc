"""AWS Lambda: the events of its documentation, and the URL that an app behind each service reports."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest

import stepserve.aws_lambda
from stepserve import Context, Inngest, TriggerEvent, errors
from stepserve.aws_lambda import request_from
from stepserve.testing.contract.served import KEY, SIGNATURE, call_body, sign

REST_API: dict[str, Any] = {  # API Gateway developer guide, "Input format of a Lambda function for proxy integration"
    "resource": "/my/path",
    "path": "/my/path",
    "httpMethod": "GET",
    "headers": {"header1": "value1", "header2": "value2", "Host": "id.execute-api.us-east-1.amazonaws.com"},
    "multiValueHeaders": {
        "header1": ["value1"],
        "header2": ["value1", "value2"],
        "Host": ["id.execute-api.us-east-1.amazonaws.com"],
    },
    "queryStringParameters": {"parameter1": "value1,value2", "parameter2": "value"},
    "multiValueQueryStringParameters": {"parameter1": ["value1", "value2"], "parameter2": ["a b&c"]},
    "requestContext": {
        "apiId": "id",
        "domainName": "id.execute-api.us-east-1.amazonaws.com",
        "httpMethod": "GET",
        "path": "/prod/my/path",
        "resourcePath": "/my/path",
        "stage": "prod",
    },
    "pathParameters": None,
    "stageVariables": None,
    "body": "Hello from Lambda!",
    "isBase64Encoded": False,
}

HTTP_API: dict[str, Any] = {  # API Gateway developer guide, "Payload format structure", 2.0
    "version": "2.0",
    "routeKey": "$default",
    "rawPath": "/my/path",
    "rawQueryString": "parameter1=value1&parameter1=value2&parameter2=value",
    "cookies": ["cookie1", "cookie2"],
    "headers": {"header1": "value1", "header2": "value1,value2"},
    "queryStringParameters": {"parameter1": "value1,value2", "parameter2": "value"},
    "requestContext": {
        "accountId": "123456789012",
        "apiId": "api-id",
        "domainName": "id.execute-api.us-east-1.amazonaws.com",
        "domainPrefix": "id",
        "http": {"method": "POST", "path": "/my/path", "protocol": "HTTP/1.1", "sourceIp": "192.0.2.1"},
        "requestId": "id",
        "routeKey": "$default",
        "stage": "$default",
    },
    "body": "SGVsbG8gZnJvbSBMYW1iZGEh",
    "isBase64Encoded": True,
}

LOAD_BALANCER: dict[str, Any] = {  # Elastic Load Balancing guide, "Receive events from the load balancer"
    "requestContext": {
        "elb": {"targetGroupArn": "arn:aws:elasticloadbalancing:us-east-2:1:targetgroup/lambda/49e9d65c45c6791a"}
    },
    "httpMethod": "GET",
    "path": "/lambda",
    "queryStringParameters": {"query": "1234%20ABCD"},
    "headers": {
        "host": "lambda-alb-123578498.us-east-1.elb.amazonaws.com",
        "x-amzn-trace-id": "Root=1-5c536348-3d683b8b04734faae651f476",
        "x-forwarded-port": "80",
        "x-forwarded-proto": "http",
    },
    "body": "",
    "isBase64Encoded": False,
}

FUNCTION_URL: dict[str, Any] = {  # AWS Lambda developer guide, "Request payload format"
    **HTTP_API,
    "rawPath": "/",
    "rawQueryString": "",
    "headers": {"host": "abc.lambda-url.us-east-1.on.aws", "x-forwarded-proto": "https"},
    "requestContext": {
        **HTTP_API["requestContext"],
        "apiId": "abc",
        "domainName": "abc.lambda-url.us-east-1.on.aws",
        "domainPrefix": "abc",
    },
}


def _with(event: dict[str, Any], about: dict[str, Any], **fields: Any) -> dict[str, Any]:
    return {**event, **fields, "requestContext": {**event["requestContext"], **about}}


CUSTOM = {"domainName": "api.example.com"}


@pytest.mark.parametrize(
    ("event", "url"),
    [
        pytest.param(
            REST_API,
            "https://id.execute-api.us-east-1.amazonaws.com/prod/my/path"
            "?parameter1=value1&parameter1=value2&parameter2=a+b%26c",
            id="REST API",
        ),
        pytest.param(
            _with(
                REST_API,
                {**CUSTOM, "path": "/jobs/my/path"},
                multiValueHeaders={"Host": ["api.example.com"]},
                path="/jobs/my/path",
                multiValueQueryStringParameters=None,
                queryStringParameters=None,
            ),
            "https://api.example.com/jobs/my/path",
            id="REST API, custom domain with a base path",
        ),
        pytest.param(
            _with(REST_API, {**CUSTOM, "path": "/my/path"}, version="1.0", path="/key/my/path", multiValueHeaders=None)
            | {"headers": {}, "multiValueQueryStringParameters": None},
            "https://api.example.com/key/my/path?parameter1=value1%2Cvalue2&parameter2=value",
            id="HTTP API, format 1.0, custom domain with a mapping key",
        ),
        pytest.param(
            HTTP_API,
            "https://id.execute-api.us-east-1.amazonaws.com/my/path"
            "?parameter1=value1&parameter1=value2&parameter2=value",
            id="HTTP API",
        ),
        pytest.param(
            _with(
                HTTP_API,
                {"stage": "dev", "apiId": "id"},
                rawPath="/dev/my/path",
                rawQueryString="a=%20",
            ),
            "https://id.execute-api.us-east-1.amazonaws.com/dev/my/path?a=%20",
            id="HTTP API with a stage",
        ),
        pytest.param(
            _with(HTTP_API, {**CUSTOM, "stage": "dev"}, rawPath="/dev/my/path", rawQueryString=""),
            "https://api.example.com/my/path",
            id="HTTP API with a stage, custom domain",
        ),
        pytest.param(
            _with(HTTP_API, {**CUSTOM, "stage": "dev"}, rawPath="/developers", rawQueryString=""),
            "https://api.example.com/developers",
            id="HTTP API, a path that only begins like the stage",
        ),
        pytest.param(FUNCTION_URL, "https://abc.lambda-url.us-east-1.on.aws/", id="function URL"),
        pytest.param(
            LOAD_BALANCER,
            "http://lambda-alb-123578498.us-east-1.elb.amazonaws.com/lambda?query=1234%20ABCD",
            id="load balancer",
        ),
        pytest.param(
            LOAD_BALANCER
            | {
                "headers": None,
                "multiValueHeaders": {"host": ["example.com"], "x-forwarded-proto": ["https"]},
                "multiValueQueryStringParameters": {"name": ["f%20o", "bar"], "%C3%A4": [""]},
            },
            "https://example.com/lambda?name=f%20o&name=bar&%C3%A4=",
            id="load balancer with lists",
        ),
        pytest.param(
            HTTP_API | {"rawPath": "/a b/ä%20?", "rawQueryString": ""},
            "https://id.execute-api.us-east-1.amazonaws.com/a%20b/%C3%A4%20%3F",
            id="a path that was decoded",
        ),
    ],
)
def test_the_url_is_the_one_that_the_caller_used(event: dict[str, Any], url: str) -> None:
    assert url == request_from(event, None).url


@pytest.mark.parametrize(
    ("event", "method", "body"),
    [(REST_API, "GET", b"Hello from Lambda!"), (HTTP_API, "POST", b"Hello from Lambda!"), (LOAD_BALANCER, "GET", b"")],
)
def test_method_and_body_are_read_from_every_shape(event: dict[str, Any], method: str, body: bytes) -> None:
    request = request_from(event, "context")

    assert (method, body) == (request.method, request.body)
    assert request.raw == {"context": "context", "event": event}


def test_headers_are_found_by_their_lower_case_names() -> None:
    headers = request_from(REST_API, None).headers

    assert headers.get("header2") == "value1"
    assert headers.get("host") == "id.execute-api.us-east-1.amazonaws.com"
    assert headers.get("other") is None


@pytest.mark.parametrize("event", [{}, {"source": "aws.events", "detail": {}}])
def test_an_event_that_is_not_about_http_is_an_error(event: dict[str, Any]) -> None:
    with pytest.raises(errors.ConfigurationError, match="API Gateway"):
        request_from(event, None)


@pytest.mark.parametrize("as_base64", [False, True])
@pytest.mark.parametrize("shape", [REST_API, HTTP_API, LOAD_BALANCER, LOAD_BALANCER | {"multiValueHeaders": {}}])
def test_a_signed_call_in_each_shape_is_answered_in_that_shape(shape: dict[str, Any], as_base64: bool) -> None:
    client = Inngest(app_id="shop", is_production=True, signing_key=KEY)

    @client.create_function(fn_id="echo", trigger=TriggerEvent(event="shop/tested"))
    async def echo(ctx: Context) -> Any:
        return ctx.event.data["text"]

    body = call_body(data={"text": "hällo"})
    lists = "multiValueHeaders" in shape
    event = shape | {
        "body": base64.b64encode(body).decode() if as_base64 else body.decode(),
        "isBase64Encoded": as_base64,
        "headers": None if lists else {SIGNATURE: sign(body)},
        "rawQueryString": "fnId=shop-echo&stepId=step",
        "queryStringParameters": {"fnId": "shop-echo", "stepId": "step"},
        "multiValueQueryStringParameters": None,
    }
    if lists:
        event["multiValueHeaders"] = {SIGNATURE: [sign(body)]}
    event["httpMethod"] = "POST"
    result = stepserve.aws_lambda.serve(client, [echo])(event, None)

    assert (result["statusCode"], json.loads(result["body"])) == (200, "hällo")
    assert result["isBase64Encoded"] is False
    if lists and "elb" in shape["requestContext"]:
        assert result["multiValueHeaders"]["content-type"] == ["application/json"]
        assert "headers" not in result
    else:
        assert result["headers"]["content-type"] == "application/json"
        assert "multiValueHeaders" not in result

"""Cloud functions, called as their platforms call them: an event in, an answer out."""

import io
import json
from types import SimpleNamespace
from typing import Any

from benchmarks.sdk.adapter import CONTENT_TYPE, Adapter, serving_itself
from benchmarks.sdk.calls import SERVE_PATH, Answer, Request
from benchmarks.sdk.in_process import AsyncEndpoint, SyncEndpoint, environ_of
from benchmarks.sdk.subjects import bare_answer

JsonObject = dict[str, Any]


class LambdaEndpoint(SyncEndpoint[JsonObject]):
    """A function on AWS Lambda behind an HTTP API: events of format 2.0."""

    def __init__(self, handler: Any) -> None:
        self._handler = handler

    def prepare(self, request: Request) -> JsonObject:
        return {
            "version": "2.0",
            "rawPath": SERVE_PATH,
            "rawQueryString": request.query,
            "headers": dict(request.headers),
            "requestContext": {"http": {"method": "POST", "path": SERVE_PATH}, "stage": "$default"},
            "body": request.body.decode(),
            "isBase64Encoded": False,
        }

    def perform(self, prepared: JsonObject) -> Answer:
        result = self._handler(prepared, None)
        return Answer(result["statusCode"], result["headers"], result["body"].encode())


def _bare_lambda() -> Any:
    def handler(event: JsonObject, context: object) -> JsonObject:
        header = event["headers"]["x-inngest-signature"]
        _, body, headers = bare_answer(event["body"].encode(), header, signed=True)
        return {"statusCode": 200, "headers": {**headers, "content-type": CONTENT_TYPE}, "body": body.decode()}

    return handler


class DigitalOceanEndpoint(SyncEndpoint[JsonObject]):
    """A function on DigitalOcean: raw web events."""

    def __init__(self, main: Any) -> None:
        self._main = main
        self._context = SimpleNamespace(api_host="http://127.0.0.1:8000", function_name="/fn/bench/inngest")

    def prepare(self, request: Request) -> JsonObject:
        http = {
            "body": request.body.decode(),
            "headers": dict(request.headers),
            "isBase64Encoded": False,
            "method": "POST",
            "path": "",
            "queryString": request.query,
        }
        return {"http": http}

    def perform(self, prepared: JsonObject) -> Answer:
        result = self._main(prepared, self._context)
        body = result["body"]
        if not isinstance(body, str):  # the platform writes objects anew
            body = json.dumps(body, separators=(",", ":"))
        headers = {name.lower(): value for name, value in result["headers"].items()}
        return Answer(result["statusCode"], headers, body.encode())


def _bare_digital_ocean() -> Any:
    def main(event: JsonObject, context: object) -> JsonObject:
        http = event["http"]
        _, body, headers = bare_answer(http["body"].encode(), http["headers"]["x-inngest-signature"], signed=True)
        return {"body": body.decode(), "headers": {**headers, "content-type": CONTENT_TYPE}, "statusCode": 200}

    return main


class GoogleEndpoint(SyncEndpoint[tuple[JsonObject, bytes]]):
    """A function on Google Cloud: functions-framework hands it a request of Flask."""

    def __init__(self, function: Any) -> None:
        self._function = function

    def prepare(self, request: Request) -> tuple[JsonObject, bytes]:
        return environ_of(request), request.body

    def perform(self, prepared: tuple[JsonObject, bytes]) -> Answer:
        import flask

        environ, body = prepared
        response = self._function(flask.Request({**environ, "wsgi.input": io.BytesIO(body)}))
        headers = {name.lower(): value for name, value in response.headers.items()}
        return Answer(response.status_code, headers, response.get_data())


def _bare_google() -> Any:
    import flask

    def function(request: flask.Request) -> flask.Response:
        header = request.headers.get("x-inngest-signature")
        _, body, headers = bare_answer(request.get_data(), header, signed=True)
        return flask.Response(body, 200, headers, content_type=CONTENT_TYPE)

    return function


class AzureEndpoint(AsyncEndpoint[Request]):
    """A function on Azure with an HTTP trigger: the request and response objects of azure-functions."""

    def __init__(self, main: Any) -> None:
        super().__init__()
        self._main = main

    def prepare(self, request: Request) -> Request:
        return request

    async def perform(self, prepared: Request) -> Answer:
        import azure.functions

        url = f"http://127.0.0.1:8000{SERVE_PATH}?{prepared.query}"
        request = azure.functions.HttpRequest("POST", url, headers=dict(prepared.headers), body=prepared.body)
        response = await self._main(request, None)
        headers = {name.lower(): value for name, value in response.headers.items()}
        return Answer(response.status_code, headers, response.get_body())


def _bare_azure() -> Any:
    import azure.functions

    async def main(req: azure.functions.HttpRequest, context: object) -> azure.functions.HttpResponse:
        header = req.headers.get("x-inngest-signature")
        _, body, headers = bare_answer(req.get_body(), header, signed=True)
        return azure.functions.HttpResponse(body, status_code=200, headers=headers, mimetype=CONTENT_TYPE)

    return main


CLOUDS = (
    Adapter("AWS Lambda", (), False, "aws_lambda", None, serving_itself, _bare_lambda, LambdaEndpoint),
    Adapter(
        "DigitalOcean Functions",
        (),
        False,
        "digital_ocean",
        "digital_ocean",
        serving_itself,
        _bare_digital_ocean,
        DigitalOceanEndpoint,
    ),
    Adapter(
        "Google Cloud Functions", ("flask",), False, "google_cloud", None, serving_itself, _bare_google, GoogleEndpoint
    ),
    Adapter("Azure Functions", ("azure",), True, "azure", None, serving_itself, _bare_azure, AzureEndpoint),
)

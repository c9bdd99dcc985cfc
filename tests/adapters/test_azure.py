"""Azure Functions: the request objects of azure-functions, and how the blueprint registers its trigger."""

from __future__ import annotations

import asyncio
from typing import Any

import azure.functions

import stepserve.azure
from stepserve import Context, Inngest, Middleware, TriggerEvent
from stepserve.testing.contract.served import KEY, SIGNATURE, call_body, sign

URL = "https://shop.azurewebsites.net/api/inngest?fnId=shop-answer&stepId=step"


def _client(**options: Any) -> tuple[Inngest, Any]:
    client = Inngest(app_id="shop", is_production=True, signing_key=KEY, **options)

    @client.create_function(fn_id="answer", trigger=TriggerEvent(event="shop/tested"))
    async def answer(ctx: Context) -> Any:
        return ctx.event.data["text"]

    return client, answer


def test_a_trigger_gives_the_body_as_it_came_and_middleware_the_request() -> None:
    seen: list[object] = []

    class Keeps(Middleware):
        def before_response(self) -> None:
            seen.append(self.raw_request)

    client, answer = _client(middleware=[Keeps])
    body = call_body(data={"text": "hällo"}) + b" " * 40_000  # only the very bytes verify above the size of fallbacks
    request = azure.functions.HttpRequest("POST", URL, headers={"X-Inngest-Signature": sign(body)}, body=body)
    context: Any = None
    response = asyncio.run(stepserve.azure.serve(client, [answer])(request, context))

    assert (response.status_code, response.get_body()) == (200, '"hällo"'.encode())
    assert response.mimetype == response.headers["content-type"] == "application/json"
    assert SIGNATURE in response.headers
    assert seen == [request]


def test_the_blueprint_registers_a_trigger_for_everybody() -> None:
    client, answer = _client()
    app = azure.functions.FunctionApp()
    app.register_functions(stepserve.azure.blueprint(client, [answer]))
    (function,) = app.get_functions()
    trigger: Any = function.get_trigger()

    assert function.get_function_name() == "stepserve_shop"
    assert trigger.route == "inngest"
    assert trigger.auth_level is azure.functions.AuthLevel.ANONYMOUS
    assert [method.value for method in trigger.methods] == ["GET", "POST", "PUT", "HEAD"]

"""A function that answers at once, for tests that ask whether an adapter calls it at all."""

from __future__ import annotations

from stepserve import Context, ContextSync, Function, Inngest, TriggerEvent

TRIGGER = TriggerEvent(event="shop/tested")


def answering(client: Inngest, answer: object = 42) -> Function[object]:
    """Return a `def` function."""

    @client.create_function(fn_id="answer", trigger=TRIGGER)
    def function(ctx: ContextSync) -> object:
        return answer

    return function


def answering_async(client: Inngest, answer: object = 42) -> Function[object]:
    """Return an `async def` function."""

    @client.create_function(fn_id="answer", trigger=TRIGGER)
    async def function(ctx: Context) -> object:
        return answer

    return function

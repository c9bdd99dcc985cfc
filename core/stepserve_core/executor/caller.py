"""Making one call: what was claimed is asked of the app or of the world, and what follows is decided."""

from __future__ import annotations

import random
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING

import msgspec

from stepserve_core.executor import gateway, ids
from stepserve_core.executor.answers import Answer, read_answer
from stepserve_core.executor.backoff import retry_moment
from stepserve_core.executor.calls import build_call
from stepserve_core.executor.claims import Claim
from stepserve_core.executor.clock import Clock
from stepserve_core.executor.decisions import Decision, ParkItem, RetryItem, RunFacts
from stepserve_core.executor.endpoint_requests import build_reentry
from stepserve_core.executor.failures import Failure
from stepserve_core.executor.gateway_messages import GatewayReply
from stepserve_core.executor.gateway_policy import GatewayRefusedError
from stepserve_core.executor.loop_settings import LoopSettings
from stepserve_core.executor.plan import RetryPolicy, plan, plan_overflow
from stepserve_core.executor.realtime.broker import Broker
from stepserve_core.executor.realtime.messages import as_json, make_message
from stepserve_core.executor.transport import NoRoomError, Transport, TransportError

if TYPE_CHECKING:
    from stepserve_core.executor.gateway_transport import GatewayTransport  # needs aiohttp, which tests do without

Decide = Callable[[Claim], Awaitable[list[Decision]]]
"""What carries out an item as far as it can be before the answer is committed."""


class Caller:
    """Calls apps, and makes the requests of gateway steps: of these, where there is something to make them with."""

    def __init__(
        self,
        transport: Transport,
        clock: Clock,
        settings: LoopSettings,
        gateway_: GatewayTransport | None = None,
        broker: Broker | None = None,
    ) -> None:
        self._transport = transport
        self._clock = clock
        self._settings = settings
        self._gateway = gateway_
        self._broker = broker
        self._progress: dict[str, RunFacts] = {}
        """Runs of calls under way that had steps checkpointed, as they are since then."""

    @property
    def signing_key(self) -> str | None:
        """What calls are signed with."""
        return self._settings.signing_key

    def send_through(self, wrap: Callable[[Transport], Transport]) -> None:
        """Let calls go through something around the transport."""
        self._transport = wrap(self._transport)

    def put_back(self, item: Claim, delay: float | None) -> RetryItem:
        """Return what makes the same attempt again, after `delay` seconds; None is the pause after a failed attempt."""
        now = self._clock.now()
        if delay is not None:
            return RetryItem(now + delay, item.work.attempt)
        policy = self._policy()
        moment = retry_moment(
            item.work.attempt, now, retry_after=None, retry_interval=policy.interval, jitter=policy.jitter
        )
        return RetryItem(moment, item.work.attempt)

    def note_progress(self, item_id: str, run: RunFacts) -> None:
        """Take note that steps of a call under way were checkpointed: its attempts begin anew (executor.md 8.3)."""
        self._progress[item_id] = run

    def _seen(self, item: Claim) -> Claim:
        """Return a claim as it is after what was checkpointed while its call was under way."""
        run = self._progress.pop(item.work.id, None)
        if run is None:
            return item
        work = msgspec.structs.replace(item.work, attempt=0, checkpointed=True)
        facts = msgspec.structs.replace(item.run, step_count=run.step_count, state_size=run.state_size)
        return msgspec.structs.replace(item, work=work, run=facts)

    async def decide(self, item: Claim) -> list[Decision]:
        """Make the call of an item, and return what follows from its answer."""
        overflow = plan_overflow(item.run)
        if overflow is not None:
            return [overflow]
        if item.work.kind in gateway.KINDS:
            return self.plan_gateway(item, await self._ask_gateway(item))
        try:
            answer = await self._call(item)
        except NoRoomError as error:
            return [ParkItem(error.key, error.is_over)]
        item = self._seen(item)
        return plan(item.work, item.run, answer, self._clock.now(), self._policy())

    def plan_gateway(self, item: Claim, reply: GatewayReply | gateway.Problem) -> list[Decision]:
        """Return what follows from the reply to the request of a gateway step."""
        return gateway.plan_gateway(item.work, item.run, reply, self._clock.now(), self._policy())

    def _policy(self) -> RetryPolicy:
        return RetryPolicy(self._settings.retry_interval, random.random() if self._settings.jitter else 0.0)  # noqa: S311 - jitter

    async def _call(self, item: Claim) -> Answer:
        now = self._clock.now()
        key = self._settings.signing_key
        request_id = ids.new_id(now)
        url = item.function.config.url
        make = build_reentry if item.function.config.is_endpoint else build_call
        call = make(item.work, item.run, item.state, url, request_id=request_id, signing_key=key, now=now)
        timeout = self._settings.call_timeout
        try:
            reply = await self._transport.send(call.method, call.url, call.headers, call.body, timeout)
        except NoRoomError:
            raise
        except TransportError as error:
            return Answer(failure=Failure(error.code, str(error)))
        return read_answer(reply)

    async def _ask_gateway(self, item: Claim) -> GatewayReply | gateway.Problem:
        assert self._gateway is not None
        try:
            request = gateway.build_request(item.work.kind, item.payload or b"{}")
            reply = await self._gateway.send(request)
            self._publish(item, reply)
        except TransportError as error:
            return gateway.Problem(str(error))
        except (GatewayRefusedError, ValueError) as error:
            return gateway.Problem(str(error), retriable=False)
        return reply

    def _publish(self, item: Claim, reply: GatewayReply) -> None:
        """Pass a reply on to subscribers, where its step asks for that."""
        wanted = gateway.read_publication(item.payload or b"{}")
        if wanted is not None and self._broker is not None:
            now = self._clock.now()
            data = as_json(reply.body)
            message = make_message("data", wanted.channel, wanted.topic, data, now, run_id=item.run.id)
            self._broker.publish(wanted.channel, wanted.topic, message)

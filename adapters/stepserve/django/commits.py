"""Events that leave only if the transaction commits."""

from __future__ import annotations

from django.db import transaction

from stepserve_core import Event, Inngest


def send_on_commit(client: Inngest, events: Event | list[Event], using: str | None = None) -> None:
    """Send events once the transaction of the database `using` commits; at once outside of a transaction.

    Nothing is sent if it rolls back, or if the process dies before it has sent: this is no outbox. Call it from
    sync code, as `transaction.atomic` asks for.

    Raises:
        EventInvalidError: one of them cannot be sent. Raised at once, so that the transaction can still roll back.
        EventKeyUnspecifiedError, SendEventsError: as `client.send_sync`, out of the block that commits; what was
            committed stays committed.
    """
    batch = client.check_events(events)

    def send() -> None:
        client.send_sync(batch)

    transaction.on_commit(send, using=using)

"""The virtual clock as tests see it, in both colours."""

from __future__ import annotations

import datetime
from collections.abc import Callable, Generator
from typing import Any

from stepserve.testing.session import Session
from stepserve_core.testing import Duration


class Advancing:
    """The clock on its way. Await it, or let `run_until_idle` do the rest."""

    def __init__(self, session: Session) -> None:
        self._session = session

    def __await__(self) -> Generator[Any, None, None]:
        return self._session.run_until_idle().__await__()


class HarnessClock:
    """The virtual clock of a `Harness`."""

    def __init__(self, session: Session) -> None:
        self._session = session

    @property
    def now(self) -> datetime.datetime:
        """The moment, in UTC."""
        return datetime.datetime.fromtimestamp(self._session.now(), datetime.timezone.utc)

    def advance(self, duration: Duration) -> Advancing:
        """Move the clock on, by text such as "3d", a timedelta or milliseconds; what becomes due runs in its order.

        It happens when the result is awaited, or in the next `run_until_idle`.
        """
        self._session.plan_advance(duration)
        return Advancing(self._session)

    def advance_to(self, moment: datetime.datetime) -> Advancing:
        """Move the clock on to a moment; without a time zone, UTC is meant.

        Raises:
            ValueError: it is past.
        """
        self._session.plan_advance(None, moment)
        return Advancing(self._session)


class HarnessClockSync(HarnessClock):
    """The virtual clock of a `HarnessSync`."""

    def __init__(self, session: Session, run: Callable[[], None]) -> None:
        super().__init__(session)
        self._run = run

    def advance(self, duration: Duration) -> None:  # type: ignore[override] # pyright: ignore[reportIncompatibleMethodOverride] - the other colour
        """Move the clock on, by text such as "3d", a timedelta or milliseconds; what becomes due runs in its order."""
        self._session.plan_advance(duration)
        self._run()

    def advance_to(self, moment: datetime.datetime) -> None:  # type: ignore[override] # pyright: ignore[reportIncompatibleMethodOverride] - the other colour
        """Move the clock on to a moment; without a time zone, UTC is meant.

        Raises:
            ValueError: it is past.
        """
        self._session.plan_advance(None, moment)
        self._run()

"""All tables over one connection: what a unit of work is given."""

from __future__ import annotations

import sqlite3

from stepserve_core.executor.store.apps import Apps
from stepserve_core.executor.store.batches import Batches
from stepserve_core.executor.store.cancellations import Cancellations
from stepserve_core.executor.store.changes import Changes
from stepserve_core.executor.store.defers import Defers
from stepserve_core.executor.store.events import Events
from stepserve_core.executor.store.metadata import Metadata
from stepserve_core.executor.store.overview import Overview
from stepserve_core.executor.store.pauses import Pauses
from stepserve_core.executor.store.queue import Queue
from stepserve_core.executor.store.rates import Rates
from stepserve_core.executor.store.retention import Retention
from stepserve_core.executor.store.run_pages import RunPages
from stepserve_core.executor.store.runs import Runs
from stepserve_core.executor.store.singletons import Singletons
from stepserve_core.executor.store.slots import Slots
from stepserve_core.executor.store.steps import Steps
from stepserve_core.executor.store.working_runs import WorkingRuns


class Tables:
    """The statements, by concept."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self.changes = Changes()
        self.working = WorkingRuns()
        self.apps = Apps(connection, self.changes)
        self.batches = Batches(connection)
        self.cancellations = Cancellations(connection)
        self.defers = Defers(connection, self.working)
        self.events = Events(connection, self.changes)
        self.metadata = Metadata(connection)
        self.overview = Overview(connection)
        self.pauses = Pauses(connection)
        self.queue = Queue(connection)
        self.rates = Rates(connection)
        self.run_pages = RunPages(connection)
        self.retention = Retention(connection)
        self.runs = Runs(connection, self.changes, self.working)
        self.singletons = Singletons(connection)
        self.slots = Slots(connection)
        self.steps = Steps(connection, self.changes, self.working)

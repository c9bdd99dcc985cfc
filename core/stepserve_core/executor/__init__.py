"""The embedded executor: a durable, single-node server for step functions on SQLite (design.md section 6).

    async with Executor.embedded(client, functions, store=Store("runs.db")) as executor:
        await executor.send({"name": "shop/order.created", "data": {"id": 7}})

Events come in through `api`, `routing` decides what they start, `loop` claims what is queued and calls the app,
`plan` decides what follows from the answer, and `apply` carries it out in one transaction of `store`.
"""

from stepserve_core.executor.clock import RealClock, VirtualClock
from stepserve_core.executor.executor import Executor
from stepserve_core.executor.loop_settings import LoopSettings
from stepserve_core.executor.store.damage import DatabaseError
from stepserve_core.executor.store.store import Store

__all__ = ["DatabaseError", "Executor", "LoopSettings", "RealClock", "Store", "VirtualClock"]

"""The embedded executor: a durable, single-node server for step functions on SQLite (design.md section 6).

    async with Executor.embedded(client, functions, store=Store("runs.db")) as executor:
        await executor.send({"name": "shop/order.created", "data": {"id": 7}})

Events come in through `api`, `routing` decides what they start, `loop` claims what is queued and calls the app,
`plan` decides what follows from the answer, and `apply` carries it out in one transaction of `store`.

What is here is loaded when it is first used: parts of the executor run without the libraries that the whole needs.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from stepserve_core.later import names_later

if TYPE_CHECKING:
    from stepserve_core.executor.clock import RealClock as RealClock
    from stepserve_core.executor.clock import VirtualClock as VirtualClock
    from stepserve_core.executor.executor import Executor as Executor
    from stepserve_core.executor.loop_settings import LoopSettings as LoopSettings
    from stepserve_core.executor.store.damage import DatabaseError as DatabaseError
    from stepserve_core.executor.store.store import Store as Store

_MODULES = {
    "DatabaseError": "stepserve_core.executor.store.damage",
    "Executor": "stepserve_core.executor.executor",
    "LoopSettings": "stepserve_core.executor.loop_settings",
    "RealClock": "stepserve_core.executor.clock",
    "Store": "stepserve_core.executor.store.store",
    "VirtualClock": "stepserve_core.executor.clock",
}

__all__ = [  # pyright: ignore[reportUnsupportedDunderAll] - see __getattr__
    "DatabaseError",
    "Executor",
    "LoopSettings",
    "RealClock",
    "Store",
    "VirtualClock",
]


if not TYPE_CHECKING:
    __getattr__ = names_later(__name__, _MODULES)

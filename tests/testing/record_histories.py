"""Record golden histories of our examples: `PYTHONPATH=core:adapters:. python -m tests.testing.record_histories`.

They are kept, and every version has to replay them. Those that are there are left as they are: what earlier
versions recorded is what runs under way look like. Delete a file to record it anew.
"""

from __future__ import annotations

import datetime
import importlib.util
import os
import pathlib
import sys
from typing import Any

from stepserve import Event, Function, Inngest
from stepserve.testing import HarnessSync

HISTORIES = pathlib.Path(__file__).parent / "histories"
EXAMPLES = pathlib.Path(__file__).parents[2] / "examples"
RECORDED = ("fastapi", "flask")
"""The examples with one function of every kind, in both colours."""

START = datetime.datetime(2026, 11, 1, 12)
ORDER = {"order_id": "A-1", "total": 1200}


def load(example: str) -> tuple[Inngest, list[Function[Any]]]:
    """Import an example app; return its client and its functions."""
    os.environ["INNGEST_DEV"] = "1"
    path = EXAMPLES / example / "app.py"
    spec = importlib.util.spec_from_file_location(f"example_{example}", path)
    assert spec is not None
    assert spec.loader is not None
    module: Any = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module.client, module.functions


def run_all(example: str) -> dict[str, bytes]:
    """Run every function of an example; return the histories by the ids of the functions."""
    client, functions = load(example)
    with HarnessSync(client, functions, start=START) as h:
        for name in ("shop/order.created", "shop/report.requested", "shop/quotes.requested", "shop/refund.requested"):
            h.send(Event(name=name, data=ORDER))
        h.run_until_idle()
        h.clock.advance("20s")
        h.send(Event(name="shop/payment.settled", data=ORDER))
        h.run_until_idle(skip_time=True)
        # The first run of each: schedules fire more than once.
        return {run.function_id: run.history().to_json() for run in reversed(h.runs)}


def main() -> None:
    """Write the histories that are not there."""
    for example in RECORDED:
        for function_id, text in run_all(example).items():
            path = HISTORIES / example / f"{function_id}.json"
            if not path.exists():
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(text)
                sys.stdout.write(f"recorded {path.relative_to(HISTORIES)}\n")


if __name__ == "__main__":
    main()

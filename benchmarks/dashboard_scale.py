"""Measure the dashboard in a real browser, over a database of `executor_scale.py`.

    python benchmarks/dashboard_scale.py [--runs 1000000] [--sleeping 2000] [--directory DIR] [--rounds 3]

For each page: milliseconds from asking for the address until its last row is in the document (the median of the
rounds, the document loaded anew in each), memory of the page's JavaScript, and the number of elements. Needs
Playwright from `benchmarks/requirements.txt`, and a Chromium.
"""

from __future__ import annotations

import argparse
import asyncio
import statistics
import sys
import tempfile
import threading
from collections.abc import Callable, Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks.executor_scale import fill
from benchmarks.sdk.measure import progress
from stepserve_core.executor.server import ServerConfig, serving

SWITCHES = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--enable-precise-memory-info"]
ROW = "table.runs tbody tr"
FULL = f"{ROW}:nth-child(50)"
MEMORY = "[performance.memory.usedJSHeapSize / 1e6, document.querySelectorAll('*').length]"


class Look(NamedTuple):
    """Something people look at: an address, what shows that it is there, and what is pressed before."""

    name: str
    address: str
    shown: str
    older_pages: int = 0


LOOKS = (
    Look("overview", "/", ".tile"),
    Look("newest runs", "/runs", FULL),
    Look("failed runs", "/runs?status=FAILED", FULL),
    Look("running and queued", "/runs?status=RUNNING&status=QUEUED", FULL),
    Look("cancelled runs (none)", "/runs?status=CANCELLED", ".list .empty"),
    Look("runs of a rare function", "/runs?function=bench-rare", FULL),
    Look("failed runs of a function, last 24 hours", "/runs?function=bench-f&status=FAILED&minutes=1440", FULL),
    Look("search that matches all", "/runs?query=event.data.n+%3E%3D+0", FULL),
    Look("search for one of the newest", "/runs?query=event.data.n+%3D%3D+999990", ROW),
    Look("search that matches none", "/runs?query=event.data.n+%3D%3D+-1", ".list .empty"),
    Look("20 older pages, one after the other", "/runs", FULL, older_pages=20),
    Look("events", "/events", "tbody tr:nth-child(40)"),
    Look("events of a rare name", "/events?name=bench%2Frare", "tbody tr:nth-child(40)"),
    Look("functions", "/functions", "tbody tr"),
    Look("a function", "/functions/bench-f", f"{ROW}:nth-child(10)"),
    Look("form to send", "/send", "textarea"),
)


@contextmanager
def server(database: str) -> Generator[str, None, None]:
    """Run the executor with its dashboard in a thread, and give its URL."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()
    running = serving(ServerConfig(port=0, database=database, poll=False))
    try:
        yield asyncio.run_coroutine_threadsafe(running.__aenter__(), loop).result().url
    finally:
        asyncio.run_coroutine_threadsafe(running.__aexit__(None, None, None), loop).result()
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()


def look_at(page: Any, origin: str, look: Look) -> tuple[float, float, float]:
    """Return milliseconds, megabytes and elements of one look at a page."""
    page.goto(origin + look.address)
    page.wait_for_selector(look.shown)
    started = 0.0
    if look.older_pages:
        started = page.evaluate("performance.now()")
        for number in range(look.older_pages):
            page.evaluate("document.querySelector('.list-foot button').click()")
            page.wait_for_selector(f"{ROW}:nth-child({50 * (number + 2)})")
    milliseconds = page.evaluate("performance.now()") - started
    megabytes, elements = page.evaluate(MEMORY)
    return milliseconds, megabytes, elements


def measure(database: str, browser: str, rounds: int, tell: Callable[[str], None]) -> None:
    """Look at every page, and tell what each took."""
    from playwright.sync_api import sync_playwright

    with server(database) as origin, sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=browser, args=SWITCHES)
        page = chromium.new_page(viewport={"width": 1280, "height": 900})
        page.goto(origin)  # the cache is warm from here on, as it is for somebody at work
        page.wait_for_selector(".tile")
        for look in LOOKS:
            taken = [look_at(page, origin, look) for _ in range(rounds)]
            milliseconds, megabytes, elements = (statistics.median(column) for column in zip(*taken, strict=True))
            tell(f"| {look.name} | {milliseconds:,.0f} | {megabytes:.1f} | {elements:,.0f} |")
        chromium.close()


def main() -> None:
    """Fill a database unless it is there, and print a table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--runs", type=int, default=1_000_000, help="number of ended runs")
    parser.add_argument("--sleeping", type=int, default=2000, help="number of open runs")
    parser.add_argument("--directory", default=None, help="where the database is written, and kept")
    parser.add_argument("--browser", default="/usr/bin/chromium", help="the Chromium to use")
    parser.add_argument("--rounds", type=int, default=3, help="how often each page is loaded")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(options.directory or folder) / f"scale-{options.runs}-{options.sleeping}.db"
        if not path.exists():
            progress(f"filled in {asyncio.run(fill(str(path), options.runs, options.sleeping)):.0f} s")
        print("| page | ms | MB | elements |\n|---|---|---|---|")
        measure(str(path), options.browser, options.rounds, lambda line: print(line, flush=True))


if __name__ == "__main__":
    main()

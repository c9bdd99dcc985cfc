"""10,000 runs, and more under way while pages are looked at. Times and memory are recorded, not asserted."""

from __future__ import annotations

import json
from collections.abc import Generator
from pathlib import Path
from typing import Any

import pytest

from tests.dashboard.conftest import browsing, expect
from tests.dashboard.many import fill
from tests.dashboard.site import Site, running_site

RUNS = 10_000
MEASURE = """() => {
  const entry = performance.getEntriesByType("navigation")[0];
  const paint = performance.getEntriesByName("first-contentful-paint")[0];
  return {loaded_ms: Math.round(entry.loadEventEnd), first_paint_ms: Math.round(paint ? paint.startTime : 0),
          heap_mb: Math.round(performance.memory.usedJSHeapSize / 1e5) / 10,
          elements: document.querySelectorAll("*").length};
}"""


@pytest.fixture(scope="module")
def busy(tmp_path_factory: pytest.TempPathFactory) -> Generator[Site, None, None]:
    """A server with 10,000 runs that ended, and a hundred orders under way."""
    with running_site(tmp_path_factory.mktemp("many") / "runs.db") as running:
        running.do(fill(running.server.executor, RUNS))
        yield running


def test_pages_show_ten_thousand_runs_under_load(busy: Site, browser: Any, artefacts: Path) -> None:
    measured: dict[str, Any] = {}
    with browsing(browser) as open_address:
        page = open_address(busy.url)
        orders = [{"name": "shop/order.created", "data": {"order_id": f"L-{number}"}} for number in range(100)]
        busy.http.post("/e/key", json=orders)
        for name, (address, rows) in PAGES.items():
            page.goto(busy.url + address)
            page.wait_for_selector(rows)
            measured[name] = {"shown_ms": round(page.evaluate("performance.now()")), **page.evaluate(MEASURE)}
        busy.idle()
    (artefacts / "many_runs.json").write_text(json.dumps({"runs": RUNS, "pages": measured}, indent=2) + "\n")

    assert PAGES.keys() == measured.keys()


PAGES = {
    "overview": ("/", ".tile"),
    "runs": ("/runs", "table.runs tbody tr:nth-child(50)"),
    "runs that failed": ("/runs?status=FAILED", "table.runs tbody tr:nth-child(50)"),
    "search": ("/runs?query=event.data.n+%3D%3D+17", "table.runs tbody tr"),
    "events": ("/events", "tbody tr:nth-child(40)"),
    "functions": ("/functions", "tbody tr"),
}


def test_older_pages_are_walked_without_gaps(busy: Site, browser: Any) -> None:
    with browsing(browser) as open_address:
        page = open_address(f"{busy.url}/runs?function=shop-count")
        for pages in range(2, 7):
            expect(page.locator("table.runs tbody tr")).to_have_count(50 * (pages - 1))
            page.get_by_role("button", name="Show older runs").click()
        expect(page.locator("table.runs tbody tr")).to_have_count(300)
        links = page.locator("table.runs .row-link")
        ids = links.evaluate_all("links => links.map((link) => link.pathname)")

    assert sorted(set(ids), reverse=True) == ids

"""Staying current: across a restart of the server, and while a run goes on."""

from __future__ import annotations

from collections.abc import Generator
from pathlib import Path
from typing import Any

import pytest

from tests.dashboard.conftest import browsing, expect
from tests.dashboard.site import Site, running_site


@pytest.fixture
def own_site(tmp_path: Path) -> Generator[Site, None, None]:
    """A server of the test's own, which it may stop."""
    with running_site(tmp_path / "runs.db") as running:
        yield running


def test_a_page_goes_on_after_a_restart_of_the_server(own_site: Site, browser: Any) -> None:
    """The connection is lost visibly; what happened meanwhile is there afterwards."""
    own_site.send("shop/counted", {"n": 1})
    own_site.idle()
    with browsing(browser, allowed=("Failed to load resource",)) as open_address:
        page = open_address(f"{own_site.url}/runs")
        expect(page.locator("#link-text")).to_have_text("Live")
        expect(page.locator("table.runs tbody tr")).to_have_count(1)
        own_site.stop()
        expect(page.locator("#link-text")).to_have_text("Connection lost; trying again…")
        said = page.locator("#announcer").inner_text()
        own_site.start()
        own_site.send("shop/counted", {"n": 2})
        expect(page.locator("#link-text")).to_have_text("Live")
        expect(page.locator("table.runs tbody tr")).to_have_count(2)

        assert "The connection to the server is lost" == said


def test_the_page_of_a_run_follows_it(own_site: Site, browser: Any) -> None:
    """What was unfolded stays so, and the focus where it was."""
    run_id = own_site.run_of(own_site.send("shop/refund.requested", {"order_id": "A-1"}))
    with browsing(browser) as open_address:
        page = open_address(f"{own_site.url}/runs/{run_id}")
        expect(page.locator("#link-text")).to_have_text("Live")
        row = page.get_by_role("button", name="approval")
        row.focus()
        own_site.send("shop/refund.approved", {"by": "Ada"})
        page.wait_for_selector("h1 .badge.ok")

        assert page.evaluate("document.activeElement.textContent.includes('approval')")
        row.click()
        expect(page.get_by_role("group", name="output")).to_contain_text("Ada")


@pytest.mark.parametrize(("address", "what"), [("/runs", "run"), ("/events", "event")])
def test_rows_under_the_pointer_stay_where_they_are(own_site: Site, browser: Any, address: str, what: str) -> None:
    """New ones are counted, and come when the pointer leaves or the count is pressed."""
    own_site.run_of(own_site.send("shop/counted", {"n": 1}))
    with browsing(browser) as open_address:
        page = open_address(own_site.url + address)
        expect(page.locator("#link-text")).to_have_text("Live")
        rows = page.locator("main tbody tr")
        expect(rows).to_have_count(1)
        rows.first.hover()
        own_site.send("shop/counted", {"n": 2})
        new = page.get_by_role("button", name=f"1 new {what}")
        new.wait_for()

        assert 1 == rows.count()
        page.mouse.move(5, 5)
        expect(rows).to_have_count(2)
        expect(new).to_be_hidden()
        rows.first.hover()
        own_site.send("shop/counted", {"n": 3})
        new.click()
        expect(rows).to_have_count(3)

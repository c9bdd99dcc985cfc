"""The list of runs: filters, search, pages, and new runs as they come."""

from __future__ import annotations

from typing import Any

import pytest

from tests.dashboard.conftest import OpenPage, browsing, expect
from tests.dashboard.site import Site


@pytest.fixture(scope="module")
def filled(site: Site) -> Site:
    """Let 120 runs of one function end, then one fail and one wait."""
    site.http.post("/e/key", json=[{"name": "shop/counted", "data": {"n": n}} for n in range(120)])
    site.send("shop/catalogue.changed")
    site.send("shop/refund.requested", {"order_id": "A-1"})
    site.idle()
    return site


def names(page: Any) -> list[str]:
    """Return the functions of the rows that are shown."""
    texts: list[str] = page.locator("table.runs a.row-link").all_inner_texts()
    return texts


def test_runs_are_listed_the_newest_first_and_older_ones_on_demand(filled: Site, open_page: OpenPage) -> None:
    page = open_page("/runs")
    page.wait_for_selector("table.runs tbody tr:nth-child(50)")
    first = names(page)
    page.get_by_role("button", name="Show older runs").click()
    page.wait_for_selector("table.runs tbody tr:nth-child(100)")
    page.get_by_role("button", name="Show older runs").click()
    page.wait_for_selector("table.runs tbody tr:nth-child(122)")

    assert {"Await approval", "Import the catalogue"} == set(first[:2])
    assert 50 == len(first)
    assert 122 == len(names(page))
    assert not page.get_by_role("button", name="Show older runs").is_visible()


@pytest.mark.parametrize(
    ("address", "expected"),
    [
        ("/runs?status=FAILED", ["Import the catalogue"]),
        ("/runs?status=RUNNING", ["Await approval"]),
        ("/runs?function=shop-await-approval", ["Await approval"]),
        ("/runs?app=shop&minutes=60&status=FAILED&status=RUNNING", ["Await approval", "Import the catalogue"]),
        ("/runs?query=output+%3D%3D+7", ["Count stock"]),
        ("/runs?status=SKIPPED", []),
    ],
)
def test_an_address_holds_all_filters(filled: Site, open_page: OpenPage, address: str, expected: list[str]) -> None:
    page = open_page(address)
    page.wait_for_selector("table.runs tbody tr, .empty")

    assert expected == names(page)


def test_filters_are_chosen_by_hand_and_kept_in_the_address(filled: Site, open_page: OpenPage) -> None:
    page = open_page("/runs")
    page.get_by_role("button", name="Failed").click()
    expect(page.locator("table.runs tbody tr")).to_have_count(1)
    failed = names(page)
    page.get_by_role("button", name="Failed").click()
    page.get_by_label("Function").select_option("shop-count")
    page.get_by_label("Search").fill("event.data.n >= 118")
    page.get_by_label("Search").press("Enter")
    expect(page.locator("table.runs tbody tr")).to_have_count(2)

    assert ["Import the catalogue"] == failed
    assert "function=shop-count" in page.url
    assert ["Count stock", "Count stock"] == names(page)


def test_a_wrong_expression_is_explained(filled: Site, browser: Any) -> None:
    """The browser notes the refused request; nothing else may go wrong."""
    with browsing(browser, allowed=("Failed to load resource",)) as open_address:
        page = open_address(f"{filled.url}/runs")
        page.get_by_label("Search").fill("event.data.n >=")
        page.get_by_label("Search").press("Enter")
        page.wait_for_selector(".list .problem")

        assert "The expression ends too early" in page.locator(".list .problem").inner_text()


def test_a_new_run_appears_and_changes_by_itself(filled: Site, open_page: OpenPage) -> None:
    page = open_page("/runs?function=shop-await-approval")
    page.wait_for_selector("text=Live")
    page.wait_for_selector("table.runs tbody tr")
    filled.send("shop/refund.requested", {"order_id": "A-2"})
    page.wait_for_selector("table.runs tbody tr:nth-child(2)")
    running = page.locator("table.runs .badge").all_inner_texts()
    filled.send("shop/refund.approved")
    expect(page.locator("table.runs .badge.ok")).to_have_count(2)

    assert ["Running", "Running"] == running


def test_a_row_opens_its_run(filled: Site, open_page: OpenPage) -> None:
    page = open_page("/runs?status=FAILED")
    page.locator("table.runs tbody tr td").first.click()
    page.wait_for_selector(".waterfall")

    assert "Import the catalogue" in page.locator("h1").inner_text()

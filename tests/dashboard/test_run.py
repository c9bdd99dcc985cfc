"""The page of a run: its timeline, its values, its errors, and what can be done to it."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from tests.dashboard.conftest import OpenPage, browsing, expect
from tests.dashboard.shop import HOSTILE
from tests.dashboard.site import Site, running_site


@pytest.fixture(scope="module")
def order(site: Site) -> str:
    """Run an order whose first step needs two attempts; return the run's id."""
    return site.run_of(site.send("shop/order.created", {"order_id": "A-1", "flaky": True}))


def completed(site: Site, run_id: str, page: Any) -> None:
    """Wait until the page says that the run has completed."""
    site.idle()
    page.wait_for_selector("h1 .badge.ok")


def test_the_timeline_shows_steps_attempts_waits_and_invocations(site: Site, order: str, open_page: OpenPage) -> None:
    page = open_page(f"/runs/{order}")
    completed(site, order, page)
    labels = page.locator(".bar-label").all_inner_texts()

    assert ["Run", "charge-card", "Attempt 1", "Attempt 2"] == labels[:4]
    assert {"reserve-stock", "tell-warehouse", "cool-off", "ship"} <= set(labels)
    assert 1 == page.locator("li:has-text('cool-off') .bar.rest").count()
    assert 1 == page.locator("li:has-text('Attempt 1') .bar.failed").count()


def test_the_steps_of_invoked_runs_are_folded_into_the_timeline(site: Site, order: str, open_page: OpenPage) -> None:
    page = open_page(f"/runs/{order}")
    completed(site, order, page)
    nested = page.locator(".bar-row", has_text="print-label")
    nested.click()
    expect(page.locator(".detail h2").first).to_have_text("print-label")
    child = page.locator(".detail .facts a").get_attribute("href")
    own = page.get_by_label("Input of the step").input_value()
    page.get_by_role("button", name="Hide the steps of the run that ship started").click()
    expect(nested).to_have_count(0)
    page.locator(".bar-row", has_text="ship").focus()
    page.keyboard.press("ArrowRight")
    expect(nested).to_be_visible()

    assert child != f"/runs/{order}"
    assert '[\n  "Berlin"\n]' == own


def test_a_run_that_waits_for_its_next_attempt_counts_down(browser: Any, tmp_path: Path) -> None:
    with running_site(tmp_path / "retries.db", retry_interval=3600.0) as site, browsing(browser) as open_address:
        run_id = site.run_of(site.send("shop/catalogue.changed"))
        page = open_address(f"{site.url}/runs/{run_id}")
        row = page.locator("li.attempt", has_text="Attempt 2").inner_text()

        assert "Retrying" == page.locator("h1 .badge").inner_text()
        assert page.locator(".doing").inner_text().startswith("parse failed; attempt 2 of 2 · begins in")
        assert " min" in row or " h" in row
        assert "ValueError" in page.locator(".error-message").inner_text()


def test_outputs_fold(site: Site, order: str, open_page: OpenPage) -> None:
    page = open_page(f"/runs/{order}")
    completed(site, order, page)
    page.get_by_role("button", name="charge-card").click()
    tree = page.get_by_role("group", name="output")
    folded = tree.inner_text()
    tree.locator("summary", has_text="2 keys").last.click()

    assert "step=" in page.url
    assert "tea-01" not in folded
    assert "tea-01" in tree.inner_text()


def test_a_run_links_to_its_event_its_child_and_its_parent(site: Site, order: str, open_page: OpenPage) -> None:
    page = open_page(f"/runs/{order}")
    completed(site, order, page)
    event = page.get_by_role("link", name="shop/order.created").get_attribute("href")
    page.locator(".bar-row", has_text="ship").click()
    page.locator(".detail .facts a").click()
    page.wait_for_selector("h1:has-text('Ship a parcel')")
    parent = page.locator(".facts a", has_text=order)

    assert event is not None
    assert event.startswith("/events/")
    assert f"/runs/{order}" == parent.get_attribute("href")


def test_an_error_is_shown_with_its_stack(site: Site, open_page: OpenPage) -> None:
    run_id = site.run_of(site.send("shop/catalogue.changed"))
    page = open_page(f"/runs/{run_id}")
    page.wait_for_selector(".error-message")

    assert "ValueError" in page.locator(".error-message").first.inner_text()
    assert "catalogue.csv, line 17: 'abc' is not a number" in page.locator(".error-message").first.inner_text()
    assert "in parse" in page.locator(".stack-trace pre").first.inner_text()


def test_markup_in_names_and_values_is_shown_and_not_run(site: Site, open_page: OpenPage) -> None:
    run_id = site.run_of(site.send("shop/hostile", {HOSTILE: HOSTILE}))
    page = open_page("/functions/shop-hostile")
    for name in ("Overview", "Runs", "Events", "Functions", "Send"):
        page.get_by_role("navigation").get_by_role("link", name=name).click()
        page.wait_for_selector(f"main h1:has-text('{name}')")

        assert "owned" != page.title()
        assert 0 == page.locator("main script, main img").count()
    page.goto(f"{site.url}/runs/{run_id}")
    page.get_by_role("group", name="output").wait_for()

    assert HOSTILE in page.locator("h1").inner_text()
    assert "<script>" in page.get_by_role("group", name="output").inner_text()


def test_a_run_is_cancelled_after_a_question(site: Site, open_page: OpenPage) -> None:
    event_id = site.send("shop/refund.requested")
    run_id = site.run_of(event_id)
    page = open_page(f"/runs/{run_id}")
    page.get_by_role("button", name="Cancel run").click()
    page.get_by_role("dialog").get_by_role("button", name="Keep it").click()

    assert ["RUNNING"] == [run["status"] for run in site.runs(functionId="shop-await-approval", appId="shop")]
    page.get_by_role("button", name="Cancel run").click()
    page.get_by_role("dialog").get_by_role("button", name="Cancel run").click()
    page.wait_for_selector("h1 .badge:has-text('Cancelled')")
    page.wait_for_selector(".toast:has-text('The run was cancelled.')")

    assert not page.get_by_role("button", name="Cancel run").is_visible()


def test_a_run_is_repeated(site: Site, order: str, open_page: OpenPage) -> None:
    page = open_page(f"/runs/{order}")
    page.get_by_role("button", name="Re-run", exact=True).click()
    page.get_by_role("link", name="Open the new run").click()
    expect(page).not_to_have_url(re.compile(order))
    page.wait_for_selector("h1 .badge.ok")

    assert f"/runs/{order}" == page.locator(".facts a", has_text=order).get_attribute("href")


def test_a_run_is_repeated_from_a_step_with_other_input(site: Site, order: str, open_page: OpenPage) -> None:
    page = open_page(f"/runs/{order}")
    completed(site, order, page)
    page.get_by_role("button", name="charge-card").click()
    given = page.get_by_label("Input of the step").input_value()
    page.get_by_label("Input of the step").fill('{"not": "a list"}')
    page.get_by_role("button", name="Re-run from this step").click()
    refused = page.locator(".rerun .problem").inner_text()
    page.get_by_label("Input of the step").fill('["EDITED"]')
    page.get_by_role("button", name="Re-run from this step").click()
    page.get_by_role("link", name="Open the new run").click()
    expect(page).not_to_have_url(re.compile(order))
    page.wait_for_selector("h1 .badge.ok")

    assert '[\n  "A-1"\n]' == given
    assert "The input must be an array" in refused
    assert "R-EDITED" in page.get_by_role("group", name="output").inner_text()


def test_a_page_of_a_run_that_is_not_there_says_so(site: Site, browser: Any) -> None:
    with browsing(browser, allowed=("Failed to load resource",)) as open_address:
        page = open_address(f"{site.url}/runs/01ARZ3NDEKTSV4RRFFQ69G5FAV")

        assert "There is no run 01ARZ3NDEKTSV4RRFFQ69G5FAV." == page.get_by_role("alert").inner_text()

"""The other pages: overview, events, functions, apps, the form; and what is done from them."""

from __future__ import annotations

import re
from collections.abc import Generator
from pathlib import Path
from typing import Any

import pytest

from tests.dashboard.conftest import OpenPage, browsing, expect
from tests.dashboard.many import fill_event
from tests.dashboard.site import Site, running_site


@pytest.fixture(scope="module")
def filled(site: Site) -> Site:
    """Let some runs end, and one wait."""
    for n in range(3):
        site.send("shop/order.created", {"order_id": f"A-{n}"})
    site.send("shop/catalogue.changed")
    site.send("shop/refund.requested", {"order_id": "A-1"})
    site.send("shop/nobody.listens", {"total": 12345678901234567890})
    site.idle()
    return site


@pytest.fixture(scope="module")
def bare(tmp_path_factory: pytest.TempPathFactory) -> Generator[str, None, None]:
    """A server that no app has registered with; yield its URL."""
    with running_site(tmp_path_factory.mktemp("bare") / "runs.db") as running:
        running.http.delete("/fn/remove", params={"url": running.app_url})
        yield running.url


def test_the_overview_shows_figures_failures_and_what_is_active(filled: Site, open_page: OpenPage) -> None:
    page = open_page("/")
    expect(page.locator(".tile", has_text="Failed in the last hour").locator(".tile-value")).to_have_text("1")
    expect(page.locator(".items").first).to_contain_text("'abc' is not a number")
    expect(page.locator("table.runs")).to_contain_text("Await approval")
    filled.send("shop/catalogue.changed")
    expect(page.locator(".tile", has_text="Failed in the last hour").locator(".tile-value")).to_have_text("2")
    page.locator(".tile", has_text="Failed in the last hour").click()
    page.wait_for_selector("table.runs .badge.fail")

    assert "status=FAILED" in page.url


@pytest.mark.parametrize(
    ("address", "title", "step"),
    [
        ("/", "No app is connected yet", "stepserve dev -u http://127.0.0.1:8000/api/inngest"),
        ("/runs", "No runs yet", "stepserve send shop/order.created"),
        ("/events", "No events yet", "stepserve send shop/order.created"),
        ("/functions", "No functions yet", "stepserve dev -u http://127.0.0.1:8000/api/inngest"),
        ("/apps", "No app yet", "stepserve dev -u http://127.0.0.1:8000/api/inngest"),
    ],
)
def test_empty_pages_tell_the_next_step(bare: str, browser: Any, address: str, title: str, step: str) -> None:
    with browsing(browser) as open_address:
        page = open_address(bare + address)
        expect(page.locator(".empty-title")).to_have_text(title)

        assert step in page.locator(".command").all_inner_texts()[1 if address == "/" else 0]


def test_events_say_what_they_started(filled: Site, open_page: OpenPage) -> None:
    page = open_page("/events")
    page.wait_for_selector("tbody tr")
    nobody = page.locator("tr", has_text="shop/nobody.listens")
    order = page.locator("tr", has_text="shop/order.created").first

    assert "none" in nobody.inner_text()
    assert "Process an order" in order.inner_text()
    assert 0 == page.locator("tr", has_text="inngest/").count()
    page.get_by_label("Show internal events").check()
    expect(page.locator("tr", has_text="inngest/function.finished").first).to_be_visible()
    page.get_by_label("Name").fill("shop/refund.requested")
    page.get_by_label("Name").press("Enter")
    expect(page.locator("tbody tr")).to_have_count(1)


def test_an_event_shows_its_payload_as_it_is_stored_and_is_sent_again(filled: Site, open_page: OpenPage) -> None:
    """Its number is larger than what a browser's numbers can hold."""
    page = open_page("/events?name=shop%2Fnobody.listens")
    page.locator("tbody a").first.click()
    expect(page.get_by_role("group", name="payload")).to_contain_text("total: 12345678901234567000")
    page.get_by_role("button", name="Send again").click()
    page.get_by_role("link", name="Open it").click()
    expect(page.locator("h1")).to_have_text("shop/nobody.listens")
    filled.idle()

    assert 2 == len(filled.http.get("/v1/events", params={"name": "shop/nobody.listens"}).json()["data"])


def test_functions_show_triggers_options_and_next_times(filled: Site, open_page: OpenPage) -> None:
    page = open_page("/functions")
    page.get_by_label("Find").fill("nightly")
    expect(page.locator("tbody tr")).to_have_count(1)
    page.locator("tbody a").click()
    expect(page.locator("h1")).to_contain_text("Nightly report")

    assert 3 == page.locator(".schedule li").count()
    page.goto(f"{filled.url}/functions/shop-process-order")
    expect(page.locator(".facts").nth(1)).to_contain_text("50 calls at once")


def test_a_function_is_paused_and_resumed(filled: Site, open_page: OpenPage) -> None:
    page = open_page("/functions/shop-count")
    page.get_by_role("button", name="Pause", exact=True).click()
    page.get_by_role("dialog").get_by_role("button", name="Pause").click()
    expect(page.locator("h1 .badge")).to_have_text("Paused")
    filled.send("shop/counted", {"n": 1})
    expect(page.locator("table.runs .badge")).to_have_text(["Queued"])
    page.get_by_role("button", name="Resume").click()
    expect(page.locator("h1 .badge")).to_have_text("Active")
    expect(page.locator("table.runs .badge")).to_have_text(["Completed"])


def test_a_form_sends_events_that_begin_with_recent_ones(filled: Site, open_page: OpenPage) -> None:
    page = open_page("/send")
    editor = page.get_by_label("Event", exact=True)
    options = page.get_by_label("Begin with a recent event").locator("option").all_inner_texts()
    page.get_by_label("Begin with a recent event").select_option(label=next(one for one in options if "refund" in one))
    begun = editor.input_value()
    editor.fill('{"name": "shop/order.created",')
    page.get_by_role("button", name="Send event").click()
    problem = page.locator(".editor-box .problem").inner_text()
    editor.fill('{"name": "shop/order.created", "data": {"order_id": "BY-HAND"}}')
    editor.press("Control+Enter")
    expect(page.locator("table.runs .badge")).to_have_text(["Completed"])
    page.get_by_role("link", name="Open the event").click()
    expect(page.locator("table.runs .badge")).to_have_text(["Completed"])

    assert '"name": "shop/refund.requested"' in begun
    assert problem.startswith("Line 1")
    assert "BY-HAND" in page.get_by_role("group", name="payload").inner_text()


def test_a_function_is_invoked(filled: Site, open_page: OpenPage) -> None:
    page = open_page("/functions/shop-count")
    page.get_by_role("link", name="Invoke").click()
    page.get_by_label("Data").fill('{"n": 77}')
    page.get_by_role("button", name="Invoke", exact=True).click()
    page.get_by_role("link", name="Open the run").click()
    page.wait_for_selector("h1 .badge.ok")

    assert "77" in page.get_by_role("group", name="output").inner_text()


def test_apps_show_their_state_and_are_synced_added_and_removed(filled: Site, open_page: OpenPage) -> None:
    page = open_page("/apps")
    card = page.get_by_role("article", name="shop")
    card.get_by_role("button", name="Sync again").click()
    page.wait_for_selector(".toast:has-text('shop is in sync.')")
    page.get_by_label("Address at which it serves").fill("http://127.0.0.1:1/api/inngest")
    page.get_by_role("button", name="Add app").click()
    missing = page.get_by_role("article", name="Not synced yet")
    expect(missing).to_contain_text("Does the app run, and does it listen at this address?")
    missing.get_by_role("button", name="Remove").click()
    page.get_by_role("dialog").get_by_role("button", name="Remove").click()
    expect(missing).to_have_count(0)

    assert "In sync" in card.inner_text()
    assert re.search(r"py v\d", card.inner_text())


def test_production_asks_for_a_login(tmp_path: Path, browser: Any) -> None:
    key, token = "signkey-test-" + "ab" * 32, "a-token-for-people"
    settings: dict[str, Any] = {"kind": "cloud", "signing_key": key, "event_keys": ["key"], "dashboard_token": token}
    with (
        running_site(tmp_path / "runs.db", **settings) as site,
        browsing(browser, allowed=("Failed to load resource",)) as open_address,
    ):
        page = open_address(f"{site.url}/functions")
        page.get_by_label("Signing key or token").fill("a wrong key")
        page.get_by_role("button", name="Log in").click()
        refused = page.get_by_role("alert").inner_text()
        page.get_by_label("Signing key or token").fill(token)
        page.get_by_role("button", name="Log in").click()
        page.locator("tbody a", has_text="Process an order").click()
        expect(page.locator("#link-text")).to_have_text("Live")
        page.goto(f"{site.url}/send")
        page.get_by_label("Event", exact=True).fill('{"name": "shop/counted", "data": {"n": 5}}')
        page.get_by_role("button", name="Send event").click()
        page.get_by_role("link", name="Open the event").click()
        expect(page.locator("table.runs .badge")).to_have_text(["Completed"])
        page.get_by_role("button", name="Log out").click()
        expect(page.locator("h1")).to_have_text("Log in")

        assert "This is neither the signing key nor the dashboard's token." == refused
        assert page.evaluate("document.cookie") == ""


def test_an_event_that_started_many_runs_is_paged_through(site: Site, open_page: OpenPage) -> None:
    event_id = site.do(fill_event(site.server.executor, 120))
    page = open_page(f"/events/{event_id}")
    rows, more = page.locator("table.runs tbody tr"), page.get_by_role("button", name="Show more runs")
    for count in (50, 100):
        expect(rows).to_have_count(count)
        more.click()
    expect(rows).to_have_count(120)
    ids = page.locator("table.runs .row-link").evaluate_all("links => links.map((link) => link.pathname)")

    assert sorted(set(ids)) == ids
    assert not more.is_visible()

"""For everybody: rules of accessibility, keyboard, contrast, phones."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.dashboard.conftest import OpenPage, browsing, expect
from tests.dashboard.site import Site

AXE = Path(__file__).parent / "node_modules" / "axe-core" / "axe.min.js"
ALL = "['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'best-practice']"
CONTRAST = "{type: 'rule', values: ['color-contrast']}"


@pytest.mark.skipif(not AXE.exists(), reason="axe-core is not installed: npm ci in tests/dashboard")
@pytest.mark.parametrize(("scheme", "rules"), [("light", ALL), ("dark", CONTRAST)], ids=["light", "dark"])
def test_no_page_breaks_a_rule_of_axe(
    site: Site, addresses: dict[str, str], browser: Any, scheme: str, rules: str
) -> None:
    """The browser puts axe in, so the policy of the pages stays as it is. In the dark only colours differ."""
    source = AXE.read_text()
    found: dict[str, list[str]] = {}
    with browsing(browser, allowed=("This document requires 'Trusted",)) as open_address:
        page = open_address(site.url, scheme=scheme)
        for name, address in addresses.items():
            page.goto(site.url + address)
            page.wait_for_selector("main h1")
            expect(page.locator("#link-text")).to_have_text("Live")
            page.evaluate(source)
            report = page.evaluate(f"axe.run(document, {{runOnly: {rules}}})")
            found[name] = [f"{one['id']}: {one['nodes'][0]['html'][:160]}" for one in report["violations"]]

            assert [] != report["passes"]

    assert {name: [] for name in addresses} == found


def test_everything_is_reached_by_keyboard(site: Site, addresses: dict[str, str], open_page: OpenPage) -> None:
    page = open_page("/runs")
    page.wait_for_selector("table.runs a")
    page.keyboard.press("Tab")
    first = page.evaluate("document.activeElement.textContent")
    page.keyboard.press("Enter")
    inside = page.evaluate("document.activeElement.id")
    page.locator("table.runs a").first.focus()
    page.keyboard.press("Enter")
    page.wait_for_selector(".waterfall")
    focused = page.evaluate("document.activeElement.id")
    page.locator(".bar-row").nth(1).focus()
    page.keyboard.press("Enter")
    expect(page.locator(".detail h2").first).to_be_visible()

    assert ("Skip to content", "main", "main") == (first, inside, focused)
    assert 1 == page.locator(".bar-row[aria-current=true]").count()
    page.go_back()
    expect(page.locator("h1")).to_have_text("Runs")


def test_one_field_leads_everywhere(site: Site, addresses: dict[str, str], open_page: OpenPage) -> None:
    page = open_page("/apps")
    run_id = addresses["run"].removeprefix("/runs/")
    for text, title in (("process", "Process an order"), ("failed", "Runs"), (run_id, "Process an order")):
        page.keyboard.press("Control+k")
        field = page.get_by_role("combobox", name="Go to")
        field.fill(text)
        expect(page.locator("#palette-0")).to_contain_text(
            text if text != run_id else "Run of shop-process-order", ignore_case=True
        )
        field.press("Enter")
        expect(page.locator("h1")).to_contain_text(title)

    assert page.url.endswith(addresses["run"])


def test_keys_go_to_pages_and_rows_but_not_while_somebody_types(addresses: dict[str, str], open_page: OpenPage) -> None:
    page = open_page("/apps")
    page.keyboard.press("g")
    page.keyboard.press("r")
    expect(page.locator("h1")).to_have_text("Runs")
    page.wait_for_selector("table.runs tbody tr:nth-child(2)")
    page.keyboard.press("j")
    page.keyboard.press("j")
    second = page.evaluate("document.activeElement === document.querySelectorAll('.row-link')[1]")
    page.keyboard.press("/")
    page.keyboard.type("gj?")
    typed = page.evaluate("document.activeElement.value")
    page.locator("h1").click()
    page.keyboard.press("?")

    assert (True, "gj?") == (second, typed)
    assert page.get_by_role("dialog", name="Keys").is_visible()


@pytest.mark.parametrize("name", ["overview", "runs", "run", "event", "functions", "function", "apps", "send"])
def test_nothing_is_wider_than_a_phone(site: Site, addresses: dict[str, str], open_page: OpenPage, name: str) -> None:
    page = open_page(addresses[name], width=360, height=740)
    expect(page.locator("#link-text")).to_have_text("Live")

    assert 360 == page.evaluate("document.documentElement.scrollWidth")
    assert page.get_by_role("navigation", name="Pages").get_by_role("link", name="Send").is_visible()


def test_a_theme_is_chosen_and_kept(site: Site, open_page: OpenPage) -> None:
    page = open_page("/apps", scheme="light")
    button = page.get_by_role("button", name="Theme")
    light = page.evaluate("getComputedStyle(document.body.parentElement).backgroundColor")
    button.click()
    button.click()
    expect(button).to_have_text("Theme: dark")
    dark = page.evaluate("getComputedStyle(document.body.parentElement).backgroundColor")
    page.reload()
    page.wait_for_selector("main h1")

    assert light != dark
    assert dark == page.evaluate("getComputedStyle(document.body.parentElement).backgroundColor")

"""Pictures of every page, light and dark and on a phone, for people to look at."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.dashboard.conftest import browsing, expect
from tests.dashboard.many import fill
from tests.dashboard.site import Site


@pytest.fixture(scope="module")
def busy(site: Site) -> Site:
    """Fill the server with something to look at."""
    site.do(fill(site.server.executor, 600))
    site.send("shop/order.created", {"order_id": "B-7", "bad": True})
    return site


@pytest.mark.parametrize(("scheme", "width"), [("light", 1280), ("dark", 1280), ("light", 390)])
def test_every_page_has_its_picture(
    busy: Site, addresses: dict[str, str], browser: Any, artefacts: Path, scheme: str, width: int
) -> None:
    suffix = scheme if width > 1000 else "phone"
    with browsing(browser) as open_address:
        page = open_address(busy.url, scheme=scheme, width=width, height=800)
        for name, address in addresses.items():
            page.goto(busy.url + address)
            page.wait_for_selector("main h1")
            expect(page.locator("#link-text")).to_have_text("Live")
            page.screenshot(path=str(artefacts / f"{name}-{suffix}.png"))

    assert len(addresses) == len(list(artefacts.glob(f"*-{suffix}.png")))

"""What tests of the dashboard share: one browser, one server, pages whose every problem is a failure."""

from __future__ import annotations

import os
from collections.abc import Callable, Generator
from pathlib import Path
from typing import Any

import pytest

from tests.dashboard.site import Site, running_site

sync_api: Any = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
expect: Any = sync_api.expect
PATIENCE = 30_000
"""Milliseconds that anything may take to appear. Machines of CI are busy; what is not there at all fails anyway."""

expect.set_options(timeout=PATIENCE)

BROWSER = Path(os.environ.get("STEPSERVE_CHROMIUM", "/usr/bin/chromium"))
SWITCHES = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--enable-precise-memory-info",
]
ARTEFACTS = Path(os.environ.get("STEPSERVE_ARTEFACTS", "build/dashboard"))
OpenPage = Callable[..., Any]


@pytest.fixture(scope="session")
def browser() -> Generator[Any, None, None]:
    """Run one browser, with an empty profile, as Playwright makes one for each."""
    if not BROWSER.exists():
        pytest.skip(f"there is no browser at {BROWSER}: apt-get install chromium, or set STEPSERVE_CHROMIUM")
    with sync_api.sync_playwright() as playwright:
        running = playwright.chromium.launch(executable_path=str(BROWSER), headless=True, args=SWITCHES)
        yield running
        running.close()


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Generator[Site, None, None]:
    """Run a development server and its app; tests of a module share it."""
    with running_site(tmp_path_factory.mktemp("site") / "runs.db") as running:
        yield running


@pytest.fixture(scope="module")
def addresses(site: Site) -> dict[str, str]:
    """Let something happen; return the address of every page."""
    failed = site.run_of(site.send("shop/catalogue.changed"))
    done = site.run_of(site.send("shop/order.created", {"order_id": "A-1", "flaky": True, "amount": 12.5}))
    event_id = site.send("shop/refund.requested", {"order_id": "A-1", "reason": "broken cup"})
    site.idle()
    return {
        "overview": "/",
        "runs": "/runs",
        "run": f"/runs/{done}",
        "failed": f"/runs/{failed}",
        "events": "/events",
        "event": f"/events/{event_id}",
        "functions": "/functions",
        "function": "/functions/shop-process-order",
        "apps": "/apps",
        "send": "/send",
    }


@pytest.fixture
def open_page(browser: Any, site: Site) -> Generator[OpenPage, None, None]:
    """Open pages of the dashboard; whatever the browser complains about fails the test."""
    with browsing(browser) as open_address:
        yield lambda path="/", **options: open_address(site.url + path, **options)


@pytest.fixture
def artefacts() -> Path:
    """Where pictures and figures are left."""
    ARTEFACTS.mkdir(parents=True, exist_ok=True)
    return ARTEFACTS


class browsing:
    """Open addresses in contexts of their own, and close these when the block is left.

    `allowed` are beginnings of complaints that a test expects.
    """

    def __init__(self, browser: Any, allowed: tuple[str, ...] = ()) -> None:
        self._browser = browser
        self._allowed = allowed
        self._contexts: list[Any] = []
        self.complaints: list[str] = []

    def __enter__(self) -> OpenPage:
        return self._open

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        for context in self._contexts:
            context.close()
        if kind is None:
            assert [] == [one for one in self.complaints if not one.startswith(self._allowed or "\0")]

    def _open(self, url: str, *, width: int = 1280, height: int = 900, scheme: str = "light", **options: Any) -> Any:
        context = self._browser.new_context(
            viewport={"width": width, "height": height}, color_scheme=scheme, reduced_motion="reduce", **options
        )
        context.set_default_timeout(PATIENCE)
        self._contexts.append(context)
        page = context.new_page()
        page.on("console", self._note)
        page.on("pageerror", lambda error: self.complaints.append(str(error)))
        page.goto(url)
        page.wait_for_selector("main h1")
        return page

    def _note(self, message: Any) -> None:
        if message.type in ("error", "warning"):
            self.complaints.append(message.text)

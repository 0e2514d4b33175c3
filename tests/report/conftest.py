"""A headless Chromium for the tests of the page."""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.report.page_checks import DESKTOP, Opened

CHROMIUM = Path(os.environ.get("SCROLL_CHROMIUM", "/usr/bin/chromium"))
NO_BROWSER = "SCROLL_NO_BROWSER"
ARGUMENTS = [
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync",
]  # fmt: skip


@pytest.fixture(scope="session")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """A browser that nobody has used before."""
    if os.environ.get(NO_BROWSER):
        pytest.skip(f"{NO_BROWSER} is set: no browser here")
    otherwise = f"or set {NO_BROWSER}=1 to leave the tests of the page out"
    if not CHROMIUM.exists():
        pytest.fail(
            f"{CHROMIUM}: no Chromium; install it (Debian: apt-get install chromium), name it in SCROLL_CHROMIUM, {otherwise}"
        )
    try:
        from playwright.sync_api import sync_playwright
    except ImportError:
        pytest.fail(f"the package playwright is not installed: pip install -e '.[dev]', {otherwise}")
    with sync_playwright() as playwright:
        # a fresh folder for its user data is made, and removed, by playwright
        started = playwright.chromium.launch(executable_path=str(CHROMIUM), args=ARGUMENTS)
        yield started
        started.close()


@pytest.fixture
def opened(browser: Any) -> Iterator[Any]:
    """Opens a page, and closes it at the end."""
    pages: list[Opened] = []

    def go(path: Path, size: dict[str, int] = DESKTOP, scheme: str = "light") -> Opened:
        pages.append(Opened(browser, path, size, scheme))
        return pages[-1]

    yield go
    for one in pages:
        one.context.close()

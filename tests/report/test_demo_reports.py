"""The reports of whole demos, where they were made: SCROLL_REPORTS names their pages, with blanks between."""

import os
from pathlib import Path
from typing import Any

import pytest

from tests.report.page_checks import Opened, check_cube, check_page, check_sheet

PAGES = [Path(path).resolve() for path in os.environ.get("SCROLL_REPORTS", "").split()]


@pytest.mark.skipif(not PAGES, reason="SCROLL_REPORTS names no page of a demo")
@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.parts[-3])
def test_the_page_of_a_whole_demo_works_in_the_browser(opened: Any, path: Path) -> None:
    def check(one: Opened) -> None:
        (check_cube if one.page.locator(".atlas").count() else check_sheet)(one)

    check_page(opened, path, check)

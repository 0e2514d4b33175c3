"""The report in a real browser: it zooms, slides, toggles and jumps, quietly, from the disk alone, on a phone and in the dark."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from scroll.report.page import write_report
from tests.report.drawn_reports import drawn_cubes, drawn_ink
from tests.report.page_checks import (
    DESKTOP,
    PHONE,
    check_all_is_on_screen,
    check_cube,
    check_looks,
    check_sheet,
    middle,
)


@pytest.fixture(scope="module")
def ink(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return drawn_ink(tmp_path_factory.mktemp("ink"))


@pytest.fixture(scope="module")
def cubes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return drawn_cubes(tmp_path_factory.mktemp("cubes"))


def test_a_sheet_is_zoomed_into_and_a_patch_leads_to_its_place(opened: Any, ink: Path) -> None:
    one = opened(ink)
    check_sheet(one)
    one.check_quiet()


def test_a_cube_is_cut_through_and_the_atlas_leads_to_the_fault(opened: Any, cubes: Path) -> None:
    one = opened(cubes)
    check_cube(one, is_drawn=True)
    one.check_quiet()


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("size", [DESKTOP, PHONE], ids=["desktop", "phone"])
@pytest.mark.parametrize("kind", ["ink", "cubes"])
def test_nothing_overlaps_or_is_too_wide_and_all_is_legible(
    opened: Any, request: pytest.FixtureRequest, kind: str, size: dict[str, int], scheme: str
) -> None:
    one = opened(request.getfixturevalue(kind), size, scheme)
    check_looks(one)
    one.check_quiet()


@pytest.fixture(scope="module")
def crowded(tmp_path_factory: pytest.TempPathFactory, ink: Path) -> Path:
    """The first report again, with names as long, and as many columns, folds and cuts, as a large run has."""
    output = tmp_path_factory.mktemp("crowded") / "predict"
    shutil.copytree(ink.parent, output)
    score = json.loads((output / "score.json").read_text())
    figures = (
        "f05",
        "f05_mean",
        "precision",
        "recall",
        "ap",
        "auc",
        "surface_dice",
        "threshold",
        "weight",
        "f05_low",
        "f05_high",
    )
    rows = [
        {"name": f"a_member_with_a_very_long_name_of_its_own_{n}", **dict.fromkeys(figures, 0.123456)} for n in range(6)
    ]
    table = score["out_of_fold"]
    table["folds"] = [{"fold": n, "pieces": [f"a_rather_long_fragment_{n}"]} for n in range(5)]
    table["by_fold"] = {name: {"folds": [row["all"]] * 5, "all": row["all"]} for name, row in table["by_fold"].items()}
    for patch in score["patches"]:
        for cuts in patch["cuts"].values():
            cuts |= {f"probability of member {n}": cuts["CT"] for n in range(7)}
        patch["columns"] = list(next(iter(patch["cuts"].values())))
    (output / "score.json").write_text(json.dumps(score | {"rows": rows, "commands": ["x" * 300, "python y " * 60]}))
    return write_report(ink.parent.parent / "run", output)


@pytest.mark.parametrize("width", [320, 390, 768, 1024, 1280])
def test_a_report_of_many_columns_and_long_names_lies_on_the_screen(opened: Any, crowded: Path, width: int) -> None:
    one = opened(crowded, {"width": width, "height": 900})
    check_all_is_on_screen(one)


def test_the_scale_bar_is_a_centimetre_where_it_fits_and_tells_the_truth(opened: Any, ink: Path) -> None:
    one = opened(ink)  # 1.4 x 2.2 cm of 20 um pixels
    bar = one.page.locator(".scalebar")
    for _ in range(6):
        zoom = float(one.data("zoom"))
        text = bar.inner_text().strip()
        length_um = float(text.split()[0]) * {"cm": 10_000, "mm": 1000, "µm": 1}[text.split()[1]]
        width_px = bar.locator("i").bounding_box()["width"]
        assert width_px == pytest.approx(length_um / 20 * zoom, rel=0.02)
        one.page.get_by_role("button", name="Zoom in").click()
    for _ in range(9):
        one.page.get_by_role("button", name="Zoom out").click()
    one.data("zoom")
    assert bar.inner_text().strip() == "1 cm"


def test_another_piece_is_chosen_from_the_list_in_the_order_of_the_score(opened: Any, cubes: Path) -> None:
    one = opened(cubes)
    assert one.page.locator("[data-role=piece] option").all_inner_texts() == ["2000001", "2000000"]
    before = one.picture()
    assert one.page.locator("h4", has_text="Cube 2000001").is_visible()
    one.page.locator("[data-role=piece]").select_option("2000000")
    assert one.picture() != before
    assert one.page.locator("h4", has_text="Cube 2000000").is_visible()
    assert not one.page.locator("h4", has_text="Cube 2000001").is_visible()


def test_the_legend_names_only_colours_that_are_shown(opened: Any, cubes: Path) -> None:
    one = opened(cubes)
    missed, sheets = (one.page.locator("#viewer .legend li", has_text=text) for text in ("but missed", "neighbours"))
    one.data("place")
    assert sheets.is_visible() and not missed.is_visible()
    one.page.get_by_role("checkbox", name="Errors").check()
    one.page.get_by_role("checkbox", name="Sheets").uncheck()
    one.data("place")
    assert missed.is_visible() and not sheets.is_visible()


def test_two_fingers_zoom_on_a_phone(opened: Any, ink: Path) -> None:
    one = opened(ink, PHONE)
    before = float(one.data("zoom"))
    x, y = middle(one.page.locator(".stage"))
    one.page.evaluate(
        """([x, y]) => {
          const stage = document.querySelector(".stage");
          stage.setPointerCapture = () => {};
          const send = (type, id, at) =>
            stage.dispatchEvent(new PointerEvent(type, { pointerId: id, clientX: at, clientY: y, bubbles: true }));
          send("pointerdown", 1, x - 30); send("pointerdown", 2, x + 30);
          send("pointermove", 1, x - 60); send("pointermove", 2, x + 60);
          send("pointerup", 1, x - 60); send("pointerup", 2, x + 60);
        }""",
        [x, y],
    )
    assert float(one.data("zoom")) == pytest.approx(2 * before, rel=0.02)


def test_the_keyboard_reaches_everything_in_the_viewer(opened: Any, ink: Path) -> None:
    one = opened(ink)
    one.page.locator("[data-role=piece]").focus()
    reached = ["piece"]
    for _ in range(9):
        one.page.keyboard.press("Tab")
        reached.append(one.page.evaluate("document.activeElement.dataset.role || document.activeElement.className"))
    assert reached == ["piece", "layer", "prediction", "opacity", "label", "errors", "stage", "in", "out", "all"]
    outlines = one.page.evaluate("getComputedStyle(document.activeElement).outlineStyle")
    assert outlines != "none"

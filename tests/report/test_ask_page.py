"""The page of what to label next, in a real browser: keys, clock, marks that are saved and read, on a phone and in the dark."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from scroll.errors import InputError
from scroll.report.ask_page import AskedPatch, AskedSheet, AskPage, write_ask_page
from scroll.rounds.marks import read_marks, seconds_each
from scroll.rounds.painting import HELD_OUT, INK, NO_INK, OFF, UNKNOWN
from scroll.rounds.ranking import Asked
from tests.report.page_checks import DESKTOP, PHONE, Opened, check_looks

EDGE, BOLD = 96, "<b>sheet</b>"
SHEETS = {"a": (400, 300), BOLD: (250, 620)}
ASKED = [
    Asked("a", 96, 192, EDGE, 31.5),
    Asked(BOLD, 192, 576, EDGE, 20.25),
    Asked("a", 0, 0, EDGE, 4.125),
]  # the second is cut


def texture(seed: int, shape: tuple[int, ...]) -> np.ndarray:
    """Fibres along both axes, as grey."""
    rng = np.random.default_rng(seed)
    rows, columns = rng.normal(0, 25, shape[0]), rng.normal(0, 25, shape[1])
    return np.clip(120 + rows[:, None] + columns + rng.normal(0, 12, shape), 0, 255).astype(np.uint8)


def patch(asked: Asked, **changes: Any) -> AskedPatch:
    height, width = (min(EDGE, size - at) for size, at in zip(SHEETS[asked.sheet], (asked.y, asked.x), strict=True))
    y, x = np.mgrid[:height, :width]
    stroke = np.exp(-(((y - 30 - x / 4) / 8.0) ** 2)).astype(np.float32)
    known = np.full((height, width), UNKNOWN, np.uint8)
    known[:12], known[:6, :20], known[-6:], known[:, -3:] = NO_INK, INK, HELD_OUT, OFF
    given = {
        "asked": asked, "layers": (3, 6, 9, 12), "ct": np.stack([texture(z, (height, width)) for z in range(4)]),
        "maps": {"unet3d": stroke, "stage2": stroke[::-1].copy(), "ensemble": stroke / 2}, "disagreement": stroke * 0.4, "known": known,
    }  # fmt: skip
    return AskedPatch(**given | changes)


def page(asked: list[Asked], **changes: Any) -> AskPage:
    sheets = {
        name: AskedSheet(texture(9, (shape[0] // 4, shape[1] // 4)), shape, 8.0) for name, shape in SHEETS.items()
    }
    return AskPage(
        **{"round": 2, "patches": [patch(one) for one in asked], "sheets": sheets, "seconds_each": 40.0} | changes
    )


@pytest.fixture(scope="module")
def asked_page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_ask_page(tmp_path_factory.mktemp("ask") / "ask.html", page(ASKED))


@pytest.fixture
def timed(browser: Any, asked_page: Path) -> Any:
    """The page in a browser whose clock stands until it is moved."""
    context = browser.new_context(viewport=DESKTOP, accept_downloads=True)
    one = context.new_page()
    one.clock.install(time=0)
    one.clock.pause_at(1000)
    one.goto(asked_page.as_uri())
    one.locator("#viewer[data-ready=ask]").wait_for()
    yield one
    context.close()


def at(one: Any) -> int:
    return int(one.locator("#viewer").get_attribute("data-at"))


def saved(one: Any, folder: Path) -> Path:
    with one.expect_download() as download:
        one.get_by_role("button", name="Save marks.json").click()
    assert download.value.suggested_filename == "marks.json"
    download.value.save_as(folder / "marks.json")
    return folder / "marks.json"


def message(one: Any) -> list[str]:
    return [text.split("\n")[-1] for text in one.locator("[data-role=list] button").all_inner_texts()]


def test_keys_mark_and_step_and_what_is_saved_is_read(timed: Any, tmp_path: Path) -> None:
    press = timed.keyboard.press
    assert at(
        timed
    ) == 0 and "0 of 3 done, 0 skipped, 3 left: about 2 minutes, at 40 seconds each last time." in timed.inner_text(
        "main"
    )
    timed.clock.run_for(5000)
    press("d")
    assert at(timed) == 1 and message(timed) == ["✓ done", "open", "open"]
    timed.clock.run_for(2000)
    press("s")
    timed.clock.run_for(8000)
    press("d")
    assert at(timed) == 2 and message(timed) == ["✓ done", "– skipped", "✓ done"]
    timed.clock.run_for(60_000)  # all is marked: the clock stands
    press("u")
    assert at(timed) == 2 and message(timed)[2] == "open"
    timed.clock.run_for(1000)
    press("d")
    assert "2 of 3 done, 1 skipped, 0 left" in timed.inner_text("[data-role=progress]")
    marks = read_marks(saved(timed, tmp_path), 2, ASKED)
    assert [(mark.sheet, mark.mark, mark.seconds) for mark in marks] == [
        ("a", "done", 5),
        (BOLD, "skip", 2),
        ("a", "done", 9),
    ]
    assert seconds_each(marks) == 7


def test_undo_takes_back_the_last_mark_first_and_patches_without_a_mark_are_not_saved(
    timed: Any, tmp_path: Path
) -> None:
    for key in ("d", "s", "u", "u", "u", "ArrowRight", "s"):
        timed.keyboard.press(key)
    assert message(timed) == ["open", "– skipped", "open"]
    assert [(mark.sheet, mark.y) for mark in read_marks(saved(timed, tmp_path), 2, ASKED)] == [(BOLD, 192)]


def test_marks_and_clocks_are_there_again_when_the_page_is_opened_again(timed: Any, tmp_path: Path) -> None:
    timed.clock.run_for(4000)
    timed.keyboard.press("d")
    timed.clock.run_for(3000)
    timed.reload()
    timed.locator("#viewer[data-ready=ask]").wait_for()
    assert message(timed) == ["✓ done", "open", "open"] and at(timed) == 1
    timed.keyboard.press("d")
    seconds = [mark.seconds for mark in read_marks(saved(timed, tmp_path), 2, ASKED)]
    assert seconds == [4, 3]
    timed.keyboard.press("u")
    assert message(timed) == ["✓ done", "open", "open"], "and they can be taken back"


def test_the_clock_stops_while_the_page_is_hidden_and_where_the_machine_slept(timed: Any, tmp_path: Path) -> None:
    hide = """is => { Object.defineProperty(document, "hidden", { value: is, configurable: true });
              document.dispatchEvent(new Event("visibilitychange")); }"""
    timed.clock.run_for(3000)
    timed.evaluate(hide, True)
    timed.clock.run_for(600_000)
    timed.evaluate(hide, False)
    timed.clock.run_for(2000)
    timed.keyboard.press("d")
    timed.clock.fast_forward(3_600_000)  # as after closing the lid
    timed.keyboard.press("d")
    first, second = (mark.seconds for mark in read_marks(saved(timed, tmp_path), 2, ASKED))
    assert first == 5 and second <= 10


def test_a_key_held_down_marks_one_patch_and_keys_with_ctrl_are_the_browsers(timed: Any) -> None:
    timed.keyboard.down("d")
    timed.keyboard.down("d")
    timed.keyboard.up("d")
    assert message(timed) == ["✓ done", "open", "open"]
    timed.keyboard.press("Control+d")
    assert message(timed) == ["✓ done", "open", "open"]


def test_depth_is_stepped_through_by_keys_and_slider_within_its_layers(opened: Any, asked_page: Path) -> None:
    one = opened(asked_page)
    layer, source = one.page.locator("[data-role=layer]"), one.page.locator("[data-role=ct]")
    assert layer.inner_text() == "layer 9 (3 of 4)"
    seen = {source.get_attribute("src")}
    for key in ("ArrowDown", "ArrowDown"):
        one.page.keyboard.press(key)
    assert layer.inner_text() == "layer 12 (4 of 4)"
    for key in ("[", "ArrowUp", "ArrowUp", "ArrowUp"):
        seen.add(source.get_attribute("src"))
        one.page.keyboard.press(key)
    assert layer.inner_text() == "layer 3 (1 of 4)"
    seen.add(source.get_attribute("src"))
    assert len(seen) == 4
    one.slide("depth", 1)
    assert layer.inner_text() == "layer 6 (2 of 4)" and at(one.page) == 0
    one.page.keyboard.press("ArrowRight")
    assert at(one.page) == 0, "of the slider that has the focus, arrows are its own"
    one.check_quiet()


def test_a_patch_is_found_by_pixels_millimetres_and_a_frame_on_the_sheet(opened: Any, asked_page: Path) -> None:
    one = opened(asked_page)
    one.page.locator("[data-role=list] button").nth(1).click()
    facts = one.page.inner_text("[data-role=facts]")
    for words in (
        BOLD,
        "x 576, y 192 pixels",
        "44 x 58 pixels, 0.35 x 0.46 mm",
        "4.61 mm right, 1.54 mm down",
        "20.3 nats",
    ):
        assert words in facts
    sheet, frame = (one.page.locator(f"[data-role={name}]").bounding_box() for name in ("sheet", "frame"))
    scale = sheet["width"] / 620
    assert frame["x"] - sheet["x"] == pytest.approx(576 * scale, abs=1.5)
    assert frame["y"] - sheet["y"] == pytest.approx(192 * scale, abs=1.5)
    assert frame["width"] == pytest.approx(44 * scale, abs=1.5) and frame["height"] == pytest.approx(
        58 * scale, abs=1.5
    )
    captions = one.page.locator("[data-role=maps] figcaption").all_inner_texts()
    assert captions == ["unet3d", "stage2", "ensemble", "disagreement", "known already"]
    assert not one.page.locator("b", has_text="sheet").count(), "a name is text, whatever it holds"
    sizes = one.page.evaluate(
        "[...document.querySelectorAll('[data-role=maps] img')].map((one) => [one.naturalHeight, one.naturalWidth])"
    )
    assert sizes == [[58, 44]] * 5
    one.check_quiet()


def test_buttons_do_what_keys_do(opened: Any, asked_page: Path) -> None:
    one = opened(asked_page, PHONE)
    for name, place, marks in (
        ("Next", 1, "open open open"), ("Done", 2, "open done open"), ("Previous", 1, "open done open"),
        ("Undo", 1, "open open open"), ("Skip", 2, "open skipped open"),
    ):  # fmt: skip
        one.page.get_by_role("button", name=name).tap()
        assert at(one.page) == place and " ".join(text.split(" ")[-1] for text in message(one.page)) == marks
    one.check_quiet()


def test_without_storage_the_page_works_and_says_so(browser: Any, asked_page: Path, tmp_path: Path) -> None:
    context = browser.new_context(viewport=DESKTOP)
    one = context.new_page()
    one.add_init_script(
        "Object.defineProperty(window, 'localStorage', { get() { throw new DOMException('no', 'SecurityError'); } })"
    )
    one.goto(asked_page.as_uri())
    assert one.get_by_text("This browser keeps no marks").is_visible()
    one.keyboard.press("d")
    assert [mark.mark for mark in read_marks(saved(one, tmp_path), 2, ASKED)] == ["done"]
    context.close()


def test_what_another_page_left_in_the_storage_is_passed_over(browser: Any, asked_page: Path) -> None:
    context = browser.new_context()
    one = context.new_page()
    one.add_init_script(
        "Object.keys(localStorage).length || Storage.prototype.getItem && (Storage.prototype.getItem = () => '{\"seconds\": [1, null, 2]}')"
    )
    one.goto(asked_page.as_uri())
    one.locator("#viewer[data-ready=ask]").wait_for()
    assert message(one) == ["open"] * 3
    context.close()


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("size", [DESKTOP, PHONE], ids=["desktop", "phone"])
def test_nothing_overlaps_is_too_wide_or_faint(
    opened: Any, asked_page: Path, size: dict[str, int], scheme: str
) -> None:
    one = opened(asked_page, size, scheme)
    check_looks(one)
    one.check_quiet()


def test_one_patch_and_none(opened: Any, tmp_path: Path) -> None:
    single: Opened = opened(write_ask_page(tmp_path / "one.html", page(ASKED[2:], seconds_each=None)))
    assert "0 of 1 done, 0 skipped, 1 left: nobody has timed one yet." in single.page.inner_text("main")
    for key in ("ArrowRight", "ArrowLeft", "d", "d", "s"):
        single.page.keyboard.press(key)
    assert at(single.page) == 0 and message(single.page) == ["– skipped"]
    single.check_quiet()
    none: Opened = opened(write_ask_page(tmp_path / "none.html", page([])))
    assert "No patch is asked for in this round" in none.page.inner_text("main")
    none.page.keyboard.press("d")
    none.check_quiet()


def test_what_is_held_out_is_shown_nowhere(asked_page: Path, tmp_path: Path) -> None:
    bright = patch(
        ASKED[0], ct=np.full((4, EDGE, EDGE), 200, np.uint8), maps={"unet3d": np.ones((EDGE, EDGE), np.float32)}
    )
    changed = patch(ASKED[0], ct=bright.ct.copy(), maps={"unet3d": bright.maps["unet3d"].copy()})
    changed.ct[:, -6:, :-3], changed.maps["unet3d"][-6:, :-3], changed.disagreement[-6:, :-3] = 5, 0.2, 3.0
    pages = [write_ask_page(tmp_path / f"{n}.html", page([], patches=[one])) for n, one in enumerate((bright, changed))]
    assert pages[0].read_text() == pages[1].read_text()


def test_pictures_are_shrunk_until_the_page_is_small_enough(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("scroll.report.ask_page.PICTURES_BUDGET_BYTES", 20_000)
    path = write_ask_page(tmp_path / "ask.html", page(ASKED))
    held = json.loads(path.read_text().partition('id="asked">')[2].partition("</script>")[0])
    total = sum(
        len(one) * 3 // 4 for of in held["patches"] for one in [*of["ct"], *(source for _, source in of["maps"])]
    )
    assert total <= 20_000 and [of["y"] for of in held["patches"]] == [one.y for one in ASKED]


def beyond(path: Path) -> Path:
    return write_ask_page(path, page([], patches=[replace(patch(ASKED[0]), asked=ASKED[0]._replace(y=400))]))


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: patch(ASKED[0], known=np.zeros((5, 5), np.uint8)), r"patch of a at y 96, x 192: disagreement is \(96, 96\)"),
        (lambda: patch(ASKED[0], layers=(1, 2)), r"CT is \(4, 96, 96\) of 2 layers"),
        (lambda: write_ask_page(Path("none.html"), page([], patches=[patch(ASKED[0])], sheets={})), "none is given"),
        (lambda: beyond(Path("none.html")), r"it is \(400, 300\) \(y, x\)"),
    ],
)  # fmt: skip
def test_parts_that_do_not_belong_together_are_one_line(make: Any, words: str) -> None:
    with pytest.raises(InputError, match=words) as error:
        make()
    assert "\n" not in str(error.value)

"""The report in a real browser: it zooms, slides, toggles and jumps, quietly, from the disk alone, on a phone and in the dark."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.report.drawn_reports import drawn_cubes, drawn_ink

DESKTOP, PHONE = {"width": 1280, "height": 900}, {"width": 390, "height": 844}
OVERLAPS = """(root) => {
  const boxes = [];
  for (const element of root.querySelectorAll("*")) {
    if (!element.checkVisibility({ checkVisibilityCSS: true })) continue;
    for (const node of element.childNodes) {
      if (node.nodeType !== 3 || !node.textContent.trim() || element.tagName === "OPTION") continue;
      const range = document.createRange();
      range.selectNodeContents(node);
      for (const box of range.getClientRects()) boxes.push([node.textContent.trim(), box]);
    }
  }
  const apart = (a, b) => a.right <= b.left + 1 || b.right <= a.left + 1 || a.bottom <= b.top + 1 || b.bottom <= a.top + 1;
  const found = [];
  boxes.forEach(([text, box], i) => boxes.slice(0, i).forEach(([other, its]) => { if (!apart(box, its)) found.push([other, text]); }));
  return [boxes.length, found];
}"""
UNNAMED = """() => [...document.querySelectorAll("button, input, select, canvas, svg[role=img], [role=group], [role=region]")].filter((one) =>
  !(one.getAttribute("aria-label") || one.textContent.trim() && one.tagName === "BUTTON" || one.closest("label")?.textContent.trim())
).map((one) => one.outerHTML.slice(0, 80))"""
CONTRASTS = """() => {
  const light = (rgb) => rgb.map((c) => c / 255).map((c) => c <= 0.03928 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4)
    .reduce((sum, c, i) => sum + c * [0.2126, 0.7152, 0.0722][i], 0);
  const parse = (text) => text.match(/[\\d.]+/g).slice(0, 3).map(Number);
  const behind = (one) => {
    for (let at = one; at; at = at.parentElement) {
      const colour = getComputedStyle(at).backgroundColor;
      if (!/, 0\\)|transparent/.test(colour)) return parse(colour);
    }
  };
  return [...document.querySelectorAll("h1, p, td, th, summary, output, label span, a, button, svg text")].filter((one) =>
    one.textContent.trim() && one.checkVisibility()).map((one) => {
      const style = getComputedStyle(one), paint = one.tagName === "text" ? style.fill : style.color;
      const [a, b] = [light(parse(paint)), light(behind(one))].sort((x, y) => y - x);
      return [(a + 0.05) / (b + 0.05), one.textContent.trim().slice(0, 40)];
    });
}"""


@pytest.fixture(scope="module")
def ink(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return drawn_ink(tmp_path_factory.mktemp("ink"))


@pytest.fixture(scope="module")
def cubes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return drawn_cubes(tmp_path_factory.mktemp("cubes"))


class Opened:
    """A page with what it complained of and asked for."""

    def __init__(self, browser: Any, path: Path, size: dict[str, int] = DESKTOP, scheme: str = "light") -> None:
        self.context = browser.new_context(
            viewport=size, color_scheme=scheme, has_touch=size is PHONE, reduced_motion="reduce"
        )
        self.page = self.context.new_page()
        self.said: list[str] = []
        self.asked: list[str] = []
        self.page.on("console", lambda message: self.said.append(message.text))
        self.page.on("pageerror", lambda error: self.said.append(str(error)))
        self.context.on("request", lambda request: self.asked.append(request.url))
        self.page.goto(path.as_uri())
        self.page.locator("#viewer:not([data-ready=''])").wait_for()
        self.path = path

    def data(self, name: str) -> str:
        """A number that the viewer tells of itself, after its next frame."""
        self.page.evaluate("() => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))")
        return str(self.page.locator("#viewer").get_attribute(f"data-{name}"))

    def picture(self, number: int = 0) -> str:
        """What the canvas shows, once it no longer changes."""
        canvas, before = self.page.locator("#viewer canvas").nth(number), ""
        for _ in range(40):
            self.page.wait_for_timeout(60)
            now = str(canvas.evaluate("canvas => canvas.toDataURL()"))
            if now == before:
                break
            before = now
        return before

    def slide(self, role: str, value: int) -> None:
        """Move a slider there, as a hand would: the page hears of it."""
        self.page.locator(f"[data-role={role}]").fill(str(value))

    def check_quiet(self) -> None:
        """No error, and nothing asked for but the page itself and what is inside it."""
        assert not self.said
        outside = [url for url in self.asked if url != self.path.as_uri() and not url.startswith("data:")]
        assert not outside, outside


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


def check_sheet(one: Opened) -> None:
    """Zoom by button, key, wheel and drag; layers, overlays and opacity; a patch leads to its place."""
    page, whole = one.page, float(one.data("zoom"))
    first = one.picture()
    page.get_by_role("button", name="Zoom in").click()
    assert float(one.data("zoom")) > whole and one.picture() != first
    stage = page.locator(".stage")
    stage.focus()
    page.keyboard.press("+")
    closer = float(one.data("zoom"))
    page.mouse.move(*(_middle(stage)))
    page.mouse.wheel(0, -240)
    assert float(one.data("zoom")) > closer > whole
    centre = one.data("centre")
    page.keyboard.press("ArrowRight")
    assert float(one.data("centre").split(",")[1]) > float(centre.split(",")[1])
    moved = one.data("centre")
    page.mouse.down()
    page.mouse.move(_middle(stage)[0] + 60, _middle(stage)[1] + 30, steps=3)
    page.mouse.up()
    assert [float(c) for c in one.data("centre").split(",")] < [float(c) for c in moved.split(",")], "dragged down and right"
    page.keyboard.press("0")
    assert one.picture() == first, "all of it again"
    for change in (
        lambda: one.slide("layer", 0),
        lambda: page.get_by_role("checkbox", name="Label").check(),
        lambda: page.get_by_role("checkbox", name="Errors of the ensemble").check(),
        lambda: one.slide("opacity", 0),
    ):
        before = one.picture()
        change()
        assert one.picture() != before
    said = page.locator("[data-role=layer-said]").inner_text()
    page.keyboard.press("]")
    stage.focus()
    page.keyboard.press("]")
    one.picture()
    assert page.locator("[data-role=layer-said]").inner_text() != said
    button = page.get_by_role("button", name="Show in the viewer").first
    button.click()
    _, y, x = eval(str(button.get_attribute("data-where")))  # noqa: S307 - a list of numbers that the page was made with
    shrink = page.evaluate("piece => JSON.parse(document.getElementById('views').textContent).views[piece].shrink", button.get_attribute("data-piece"))
    assert [float(c) for c in one.data("centre").split(",")] == pytest.approx([y / shrink, x / shrink], abs=0.1)


def check_cube(one: Opened) -> None:
    """Zoom, the slices of all axes, keys, overlays; an entry of the atlas leads to its voxel."""
    page = one.page
    for number, axis in enumerate("zyx"):
        before = one.picture(number)
        one.slide(axis, 3)
        assert one.picture(number) != before, axis
    assert one.data("place") == "3,3,3"
    frame = page.get_by_role("group", name="Cut across z")
    frame.focus()
    for key in ("ArrowRight", "ArrowRight", "ArrowDown", "]"):
        page.keyboard.press(key)
    assert one.data("place") == "4,4,5"
    for change in (
        lambda: page.keyboard.press("+"),
        lambda: page.get_by_role("checkbox", name="Sheets").uncheck(),
        lambda: page.get_by_role("checkbox", name="Label").check(),
        lambda: page.get_by_role("checkbox", name="Errors").check(),
    ):
        before = one.picture(0)
        change()
        assert one.picture(0) != before
    entry = page.locator(".atlas button:visible").last
    entry.click()
    where = eval(str(entry.get_attribute("data-where")))  # noqa: S307
    piece = str(entry.get_attribute("data-piece"))
    shrink = page.evaluate("piece => JSON.parse(document.getElementById('views').textContent).views[piece].shrink", piece)
    assert one.data("place") == ",".join(str(n // shrink) for n in where)
    assert entry.get_attribute("aria-current") == "true"


def _middle(locator: Any) -> tuple[float, float]:
    box = locator.bounding_box()
    return box["x"] + box["width"] / 2, box["y"] + box["height"] / 2


def check_looks(one: Opened) -> None:
    """No text over another in the viewer and the charts, nothing wider than the page, everything named, all of it legible."""
    page = one.page
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    for place in ("#viewer", ".chart svg"):
        for root in page.locator(place).element_handles():
            count, overlaps = root.evaluate(OVERLAPS)
            assert not overlaps, overlaps
            assert count > 4 or not root.is_visible()
    assert not page.evaluate(UNNAMED)
    assert page.evaluate("[...document.images].every(image => image.alt.length > 5)")
    faint = [text for contrast, text in page.evaluate(CONTRASTS) if contrast < 4.5]
    assert not faint, faint


def test_a_sheet_is_zoomed_into_and_a_patch_leads_to_its_place(opened: Any, ink: Path) -> None:
    one = opened(ink)
    check_sheet(one)
    one.check_quiet()


def test_a_cube_is_cut_through_and_the_atlas_leads_to_the_fault(opened: Any, cubes: Path) -> None:
    one = opened(cubes)
    check_cube(one)
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


def test_two_fingers_zoom_on_a_phone(opened: Any, ink: Path) -> None:
    one = opened(ink, PHONE)
    before = float(one.data("zoom"))
    x, y = _middle(one.page.locator(".stage"))
    one.page.evaluate(
        """([x, y]) => {
          const stage = document.querySelector(".stage");
          stage.setPointerCapture = () => {};
          const send = (type, id, at) => stage.dispatchEvent(new PointerEvent(type, { pointerId: id, clientX: at, clientY: y, bubbles: true }));
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

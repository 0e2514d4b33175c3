"""What is asked of a report that is open in a browser, whatever run it is of."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

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
UNNAMED = """() => [
  ...document.querySelectorAll("button, input, select, canvas, svg[role=img], [role=group], [role=region]"),
].filter((one) =>
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

OFF_SCREEN = """() => {
  for (const one of document.querySelectorAll("details")) one.open = true;
  const found = [], scrolls = (one) => one.scrollWidth > one.clientWidth + 1 && /auto|scroll/.test(getComputedStyle(one).overflowX);
  const isHidden = (one) => one.closest("thead") && getComputedStyle(one.closest("thead")).clipPath !== "none";
  for (const one of document.querySelectorAll("body *")) {
    if (!one.checkVisibility({ checkVisibilityCSS: true }) || isHidden(one)) continue;
    if (scrolls(one)) {
      const style = getComputedStyle(one), bar = one.offsetHeight - one.clientHeight - parseFloat(style.borderTopWidth) * 2;
      if (bar < 6) found.push(["scrolls without a bar", one.className || one.tagName]);
    }
    if (!one.matches("img, canvas, svg, td, th, button, select, input, h1, h2, h3, p, li, pre, figcaption")) continue;
    let box = one.getBoundingClientRect(), above = one;
    while ((above = above.parentElement) && !scrolls(above)) {}
    if (!above && (box.right > innerWidth + 1 || box.left < -1)) found.push(["off screen", one.outerHTML.slice(0, 80)]);
  }
  return found;
}"""


class Opened:
    """A page with what it complained of and asked for."""

    def __init__(self, browser: Any, path: Path, size: dict[str, int] = DESKTOP, scheme: str = "light") -> None:
        self.context = browser.new_context(
            viewport=size, color_scheme=scheme, has_touch=size is PHONE, reduced_motion="reduce"
        )
        self.page = self.context.new_page()
        self.output_text: list[str] = []
        self.asked: list[str] = []
        self.page.on("console", lambda message: self.output_text.append(message.text))
        self.page.on("pageerror", lambda error: self.output_text.append(str(error)))
        self.context.on("request", lambda request: self.asked.append(request.url))
        self.page.goto(path.as_uri())
        self.page.locator("#viewer:not([data-ready=''])").wait_for()
        self.path = path

    def data(self, name: str) -> str:
        """A number that the viewer tells of itself, after its next frame."""
        self.page.evaluate("() => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))")
        return str(self.page.locator("#viewer").get_attribute(f"data-{name}"))

    def shrink(self, piece: str) -> int:
        """How many voxels the viewer shows as one."""
        held = "piece => JSON.parse(document.getElementById('views').textContent).views[piece].shrink"
        return int(self.page.evaluate(held, piece))

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
        assert not self.output_text
        outside = [url for url in self.asked if url != self.path.as_uri() and not url.startswith("data:")]
        assert not outside, outside


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
    page.mouse.move(*(middle(stage)))
    page.mouse.wheel(0, -240)
    assert float(one.data("zoom")) > closer > whole
    centre = one.data("centre")
    page.keyboard.press("ArrowRight")
    assert float(one.data("centre").split(",")[1]) > float(centre.split(",")[1])
    moved = one.data("centre")
    page.mouse.down()
    page.mouse.move(middle(stage)[0] + 60, middle(stage)[1] + 30, steps=3)
    page.mouse.up()
    assert [float(c) for c in one.data("centre").split(",")] < [float(c) for c in moved.split(",")], (
        "dragged down and right"
    )
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
    output_text = page.locator("[data-role=layer-said]").inner_text()
    page.keyboard.press("]")
    stage.focus()
    page.keyboard.press("]")
    one.picture()
    assert page.locator("[data-role=layer-said]").inner_text() != output_text
    button = page.get_by_role("button", name="Show in the viewer").first
    button.click()
    corner, size = (json.loads(str(button.get_attribute(name))) for name in ("data-corner", "data-size"))
    shrink = one.shrink(str(button.get_attribute("data-piece")))
    middle_of_it = [(corner[axis] + size[axis] / 2) / shrink for axis in (1, 2)]
    assert [float(c) for c in one.data("centre").split(",")] == pytest.approx(middle_of_it, abs=0.1)


def check_cube(one: Opened, is_drawn: bool = False) -> None:
    """Zoom, the slices of all axes, keys; an entry of the atlas leads to its voxel; overlays, of which a fault may lack one."""
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
    before = one.picture(0)
    page.keyboard.press("+")
    assert one.picture(0) != before
    entry = page.locator(".atlas button:visible").last
    entry.click()
    where = json.loads(str(entry.get_attribute("data-where")))
    shrink = one.shrink(str(entry.get_attribute("data-piece")))
    assert one.data("place") == ",".join(str(n // shrink) for n in where)
    assert entry.get_attribute("aria-current") == "true"
    has_changed = {}
    for name in ("Errors", "Label", "Sheets"):
        before_all = [one.picture(number) for number in range(3)]
        page.get_by_role("checkbox", name=name).click()
        has_changed[name] = before_all != [one.picture(number) for number in range(3)]
    assert has_changed["Errors"] and (has_changed["Label"] or has_changed["Sheets"]), "there is a fault here"
    assert not is_drawn or all(has_changed.values())


def check_page(opened: Any, path: Path, check: Callable[[Opened], None]) -> None:
    """A report works as `check` asks, looks right on a phone and in the dark, is quiet, and not too large to send."""
    one = opened(path)
    check(one)
    one.check_quiet()
    for size, scheme in ((DESKTOP, "dark"), (PHONE, "light"), (PHONE, "dark")):
        again = opened(path, size, scheme)
        check_looks(again)
        again.check_quiet()
    assert path.stat().st_size < 20_000_000


def middle(locator: Any) -> tuple[float, float]:
    """Of an element, in pixels of the window."""
    box = locator.bounding_box()
    return box["x"] + box["width"] / 2, box["y"] + box["height"] / 2


def check_looks(one: Opened) -> None:
    """No text over another in the viewer and the charts, nothing wider than the page, everything named, all of it legible."""
    page = one.page
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    check_all_is_on_screen(one)
    for place in ("#viewer", ".chart svg"):
        for root in page.locator(place).element_handles():
            count, overlaps = root.evaluate(OVERLAPS)
            assert not overlaps, overlaps
            assert count > 4 or not root.is_visible()
    assert not page.evaluate(UNNAMED)
    assert page.evaluate("[...document.images].every(image => image.alt.length > 5)")
    faint = [text for contrast, text in page.evaluate(CONTRASTS) if contrast < 4.5]
    assert not faint, faint


def check_all_is_on_screen(one: Opened) -> None:
    """No table's last column, no picture and no text beyond the page's edge, with everything that folds unfolded."""
    folded = "() => [...document.querySelectorAll('details')].map(one => one.open)"
    before = one.page.evaluate(folded)
    off = one.page.evaluate(OFF_SCREEN)
    one.page.evaluate("was => document.querySelectorAll('details').forEach((one, i) => { one.open = was[i]; })", before)
    assert not off, off[:5]

"""The report: one page that needs nothing else, shows what is there and says what is not."""

import base64
import hashlib
import io
import json
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from scroll.errors import InputError
from scroll.report import page
from scroll.report.page import caption, write_report
from scroll.report.pictures import errors_png, grey_png, prob_png
from scroll.report.tiles import VIEWS_BUDGET_BYTES
from scroll.runtime.receipt import write_receipt

GAIN = {"over": "cnn3d", "difference": 0.1666, "low": 0.1, "high": 0.2, "verdict": "better"}
ROWS = [
    {
        "name": "cnn3d",
        "kind": "member",
        "f05": 0.5123,
        "f05_mean": 0.5,
        "auc": 0.8,
        "ap": None,
        "weight": 0.25,
        "gain": GAIN | {"difference": 0.0, "verdict": "inside noise"},
    },
    {
        "name": "ensemble",
        "kind": "ensemble",
        "f05": 0.6789,
        "f05_mean": 0.6,
        "auc": 0.9,
        "ap": 0.7,
        "weight": None,
        "f05_low": 0.6511,
        "f05_high": 0.7123,
        "gain": GAIN,
    },
    {"name": "stage2", "kind": "stage2", "f05": float("nan"), "threshold": 0.4, "surface_dice": 0.75},
]


class Page(HTMLParser):
    """Tags with their attributes, and the text outside of style."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.text = ""
        self.feed(html)
        self.text = " ".join(self.text.split())

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        self.open.pop()

    def handle_data(self, data: str) -> None:
        if not self.open or self.open[-1] != "style":
            self.text += data

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attrs for name, attrs in self.tags if name == tag]


@pytest.fixture
def folders(tmp_path: Path) -> tuple[Path, Path]:
    """A run of two members and two folds, and its predictions of one fragment."""
    run_dir, output_dir = tmp_path / "runs" / "demo", tmp_path / "output"
    for member in ("cnn3d", "unet3d"):
        for fold in ("fold0", "fold1"):
            folder = run_dir / "stage1" / member / fold
            folder.mkdir(parents=True)
            steps: list[dict[str, Any]] = [{"step": step, "loss": 1 / (step + 1), "lr": 1e-3} for step in range(900)]
            lines = [json.dumps(entry) for entry in [*steps, {"step": 900, "validation_loss": 0.4}]]
            (folder / "history.jsonl").write_text("\n".join(lines) + "\n")
    (run_dir / "settings.yaml").write_text("name: demo\n")
    write_receipt(run_dir / "stage1" / "cnn3d" / "oof" / "1", "a1b2c3", data="d4e5f6", weights={"w": "0123abcd"})
    rng, pictures = np.random.default_rng(0), output_dir / "a" / "pictures"
    truth = rng.random((30, 40)) < 0.5
    grey_png(pictures / "1_ct_layer_32.png", rng.integers(0, 60_000, (30, 40), np.uint16))
    prob_png(pictures / "3_cnn3d.png", rng.random((30, 40)))
    errors_png(pictures / "10_errors.png", rng.random((30, 40)) < 0.5, truth, np.ones_like(truth))
    score = {"title": "Demo <1>", "note": "No evidence.", "fragments": ["a"], "rows": ROWS, "commands": ["make a && b"]}
    (output_dir / "score.json").write_text(json.dumps(score))
    return run_dir, output_dir


def test_the_page_shows_all_there_is(folders: tuple[Path, Path]) -> None:
    path = write_report(*folders)
    assert "Demo &lt;1&gt;" in path.read_text()
    assert path == folders[1] / "report.html"
    shown = Page(path.read_text())
    assert not shown.open or shown.open[-1] != "style"
    for text in (
        "Demo <1>",
        "What the ensemble buys: F0.5 0.679 against 0.512 of cnn3d, the best single network (+0.167, 95 % interval +0.100 to +0.200).",
        "No evidence.",
        "0.679",
        "make a && b",
        "name: demo",
        "ink, but missed",
        "Fragment a",
        "a1b2c3",
        "0123abcd",
    ):
        assert text in shown.text
    pictures = [attrs["alt"] for attrs in shown.all("img")]
    assert pictures[:3] == ["Fragment a: ct layer 32", "Fragment a: cnn3d", "Fragment a: errors"]
    charts = [attrs["aria-label"] for attrs in shown.all("svg")]
    assert [alt.split(":")[0] for alt in charts if alt] == [
        "Learning curves of stage1/cnn3d",
        "Learning curves of stage1/unet3d",
    ]
    assert "There is no" not in shown.text and "There are no" not in shown.text


def test_only_the_best_row_is_marked_and_unknown_values_are_a_dash(folders: tuple[Path, Path]) -> None:
    html = write_report(*folders).read_text()
    marked = re.findall(r'<tr class="best">.*?</tr>', html)
    assert len(marked) == 1 and "ensemble ★" in marked[0] and "0.679" in marked[0]
    stage2 = next(row for row in re.findall(r"<tr>.*?</tr>", html) if "stage2" in row)
    assert re.findall(r"<td[^>]*>(.*?)</td>", stage2) == ["–"] * 9 + ["0.750", "0.400", "–"]
    cnn3d = next(row for row in re.findall(r"<tr>.*?</tr>", html) if "cnn3d" in row)
    assert re.findall(r"<td[^>]*>(.*?)</td>", marked[0])[:3] == ["0.679", "0.651–0.712", "+0.167 better"]
    assert re.findall(r"<td[^>]*>(.*?)</td>", cnn3d)[:3] == ["0.512", "–", "–"], "a member is not held against itself"


def test_how_the_intervals_were_made_is_said_where_there_are_any(folders: tuple[Path, Path]) -> None:
    path = folders[1] / "score.json"
    assert "blocks of" not in Page(write_report(*folders).read_text()).text
    blocks = {"count": 16, "edge_um": 3037.4, "requested_um": 4000.0, "draws": 2000}
    path.write_text(json.dumps(json.loads(path.read_text()) | {"blocks": blocks}))
    assert "2000 draws of 16 blocks of 3.0 mm" in Page(write_report(*folders).read_text()).text


def test_the_page_needs_nothing_from_elsewhere(folders: tuple[Path, Path]) -> None:
    html = write_report(*folders).read_text()
    shown = Page(html)
    assert not shown.all("script") and not shown.all("link") and not shown.all("iframe")
    assert all((attrs["src"] or "").startswith("data:image/") for attrs in shown.all("img"))
    assert all(attrs["alt"] for attrs in shown.all("img"))
    assert "http" not in re.sub(r"http-equiv", "", html)
    assert shown.all("meta")[1] == {"name": "viewport", "content": "width=device-width, initial-scale=1"}
    assert "prefers-color-scheme: dark" in html


def test_the_pictures_on_the_page_are_those_in_the_folder(folders: tuple[Path, Path]) -> None:
    shown = Page(write_report(*folders).read_text())
    embedded = base64.b64decode((shown.all("img")[0]["src"] or "").split(",")[1])
    assert embedded == (folders[1] / "a" / "pictures" / "1_ct_layer_32.png").read_bytes()
    assert "fold0, training" in shown.text and "fold1, validation" in shown.text


def test_too_many_pictures_are_shrunk_until_they_fit(
    folders: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    pictures, rng = folders[1] / "a" / "pictures", np.random.default_rng(1)
    for number in range(20, 24):
        prob_png(pictures / f"{number}_noise.png", rng.random((500, 700)))
    monkeypatch.setattr(page, "PICTURE_BUDGET_BYTES", 300_000)
    html = write_report(*folders).read_text()
    assert len(html) < 300_000 * 4 / 3 + 300_000
    sizes = [
        Image.open(io.BytesIO(base64.b64decode((attrs["src"] or "").split(",")[1]))).size
        for attrs in Page(html).all("img")
        if "png" in (attrs["src"] or "")[:20]
    ]
    assert sizes[0] == (40, 30) and 100 < sizes[-1][0] < 700
    assert sizes[-1][1] == pytest.approx(sizes[-1][0] * 5 / 7, abs=1)


def test_what_is_missing_is_said(tmp_path: Path) -> None:
    shown = Page(write_report(tmp_path / "nothing", tmp_path / "output").read_text())
    assert "There is no score" in shown.text and str(tmp_path / "output" / "score.json") in shown.text
    assert "There are no pictures" in shown.text and "There are no learning curves" in shown.text
    assert "commands are not recorded" in shown.text and "There are no receipts" in shown.text
    assert "no evidence about real scrolls" in shown.text


def test_a_fragment_without_pictures_is_named(folders: tuple[Path, Path]) -> None:
    score = json.loads((folders[1] / "score.json").read_text())
    (folders[1] / "score.json").write_text(json.dumps(score | {"fragments": ["b", "a"]}))
    text = Page(write_report(*folders).read_text()).text
    assert text.index("Fragment b: there are no pictures in") < text.index("Fragment a")


def test_a_history_cut_off_in_its_last_line_is_drawn_and_a_broken_one_is_reported(folders: tuple[Path, Path]) -> None:
    path = folders[0] / "stage1" / "cnn3d" / "fold0" / "history.jsonl"
    good = path.read_text()
    path.write_text(good + '{"step": 901, "lo')
    write_report(*folders)
    path.write_text('{"step"\n' + good)
    with pytest.raises(InputError, match="line 1 is not JSON"):
        write_report(*folders)


def test_a_broken_score_is_reported_in_one_line(folders: tuple[Path, Path]) -> None:
    (folders[1] / "score.json").write_text("{")
    with pytest.raises(InputError, match=r"score.json"):
        write_report(*folders)


def test_captions() -> None:
    assert caption(Path("9_errors.png")) == "errors"
    assert caption(Path("ink_prob.png")) == "ink prob"


def test_all_budgets_together_leave_the_page_below_20_mb() -> None:
    as_text = 4 / 3  # base64
    assert (VIEWS_BUDGET_BYTES + page.PICTURE_BUDGET_BYTES) * as_text < page.PAGE_BUDGET_BYTES - 2_000_000


def test_views_that_would_burst_the_page_are_left_out_the_first_of_the_score_kept(
    folders: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    view = {"kind": "volume", "size_zyx": [1, 1, 1], "slabs": [], "codes": "x" * 3000}
    for name in ("a", "b", "c"):
        (folders[1] / name).mkdir(exist_ok=True)
        (folders[1] / name / "view.json").write_text(json.dumps(view))
    score = json.loads((folders[1] / "score.json").read_text())
    (folders[1] / "score.json").write_text(json.dumps(score | {"fragments": ["c", "a", "b"]}))
    monkeypatch.setattr(page, "PAGE_BUDGET_BYTES", page.PICTURE_BUDGET_BYTES * 3 // 2 + 6500)
    html = write_report(*folders).read_text()
    held = json.loads(re.findall(r'<script type="application/json" id="views">(.*?)</script>', html)[0])
    assert held["names"] == ["c", "a"] and set(held["views"]) == {"a", "c"}


def test_only_the_page_s_own_script_may_run(folders: tuple[Path, Path]) -> None:
    (folders[1] / "a" / "view.json").write_text(json.dumps({"kind": "flat", "pyramids": []}))
    html = write_report(*folders).read_text()
    (script,) = re.findall(r"<script>(.*?)</script>", html, re.DOTALL)
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    policy = Page(html).all("meta")[2]["content"] or ""
    assert f"script-src 'sha256-{digest}'" in policy and policy.startswith("default-src 'none'")
    assert "</script" not in script and "src=" not in re.findall(r"<script[^>]*>", html)


def test_an_audit_is_linked_where_there_is_one(folders: tuple[Path, Path]) -> None:
    assert "audit.html" not in write_report(*folders).read_text(encoding="utf-8")
    (folders[1] / "audit.html").write_text("<p>ink</p>")
    assert '<a href="audit.html">' in write_report(*folders).read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("score.json", {"fragments": 5}), ("score.json", {"rows": [5]}), ("score.json", {"patches": [{"cuts": 5}]}),
    ],
)  # fmt: skip
def test_what_is_of_another_shape_is_reported_in_one_line(tmp_path, name, content):
    (tmp_path / name).write_text(json.dumps(content))
    with pytest.raises(InputError, match=r"write it again|score the run again") as message:
        write_report(tmp_path / "run", tmp_path)
    assert "\n" not in str(message.value)

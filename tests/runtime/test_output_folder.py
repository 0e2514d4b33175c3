"""A command writes where nothing was or where it wrote before: what is not its own is never touched."""

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from ensemble.kaggle import pack
from scroll.config.schema import Settings
from scroll.errors import InputError
from scroll.report.montage import Montage, Panel, Row, save_montage
from scroll.runtime.output_folder import (
    BUNDLE,
    FLATTENED,
    MARK,
    OWN_PLACE_PICTURE,
    PHANTOM,
    PICTURE,
    PLAN,
    PREDICTION,
    RUN,
    SCORES,
    SUBMISSION_CSV,
    SUBMISSION_ZIP,
    check_file,
    check_folder,
)  # fmt: skip
from scroll.runtime.run_lock import writing

KINDS = [BUNDLE, FLATTENED, PHANTOM, PREDICTION, RUN]
MADE_BEFORE = {  # what folders hold that were made before there was a mark
    "bundle": {"bundle.json": '{"competition": "x"}', "run/settings.yaml": "stage1:"},
    "flattened surface": {"receipt.json": '{"how": {"offsets_vox": {}}}', "flat.zarr/zarr.json": "{}"},
    "phantom": {"phantom.json": '{"kind": "cubes"}'},
    "prediction": {"1/cnn3d/receipt.json": '{"key": "k"}'},
    "run": {"settings.yaml": "run_dir: r\nstage1: {}\n"},
}


def fill(folder: Path, files: dict[str, str]) -> None:
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
def test_new_empty_and_own_folders_are_taken_and_others_refused_untouched(tmp_path, kind):
    check_folder(tmp_path / "new", kind)
    (tmp_path / "empty").mkdir()
    check_folder(tmp_path / "empty", kind)
    fill(tmp_path / "before", MADE_BEFORE[kind.name])
    check_folder(tmp_path / "before", kind)
    fill(tmp_path / "other", {"photos/1.jpg": "a photo", "thesis.txt": "years of work"})
    with pytest.raises(InputError, match="holds photos") as caught, writing(tmp_path / "other", kind):
        pass
    assert "\n" not in str(caught.value)
    assert {p.name for p in (tmp_path / "other").iterdir()} == {"photos", "thesis.txt"}


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
def test_a_folder_that_was_taken_is_known_again_and_of_no_other_kind(tmp_path, kind):
    with writing(tmp_path / "out", kind):
        fill(tmp_path / "out", MADE_BEFORE[kind.name] if kind.is_replaced else {"a/b.txt": "a first result"})
    with writing(tmp_path / "out", kind):
        pass
    for other in KINDS:
        if other != kind:
            with pytest.raises(InputError):
                check_folder(tmp_path / "out", other)


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
@pytest.mark.parametrize("output", ["runs/x", "runs", ".", "runs/../runs/x/", "link"])
def test_the_run_the_inputs_and_what_holds_them_are_refused(tmp_path, kind, output):
    fill(tmp_path / "runs/x", {"settings.yaml": "stage1:"})
    (tmp_path / "link").symlink_to(tmp_path / "runs")
    with pytest.raises(InputError, match="which this command reads"):
        check_folder(tmp_path / output, kind, keep_off=[tmp_path / "runs/x"])
    check_folder(tmp_path / "runs/x/predict", kind, keep_off=[tmp_path / "runs/x"])


@pytest.mark.parametrize("output", ["~", "/", "~/.."])
def test_the_home_folder_and_what_holds_it_are_refused(output):
    with pytest.raises(InputError, match="your home folder"):
        check_folder(Path(output).expanduser(), RUN)


def test_a_file_in_the_place_of_a_folder_is_refused(tmp_path):
    (tmp_path / "out").touch()
    with pytest.raises(InputError, match="is a file"):
        check_folder(tmp_path / "out", PREDICTION)


def test_a_log_or_a_configuration_beside_a_new_run_is_no_hindrance(tmp_path):
    fill(tmp_path, {"train.log": "", "mine.yaml": "a: 1"})
    check_folder(tmp_path, RUN)
    fill(tmp_path, {"settings.yaml": "of: another program"})
    with pytest.raises(InputError, match=r"holds settings\.yaml"):
        check_folder(tmp_path, RUN)


def test_a_bundle_in_which_something_else_was_put_is_not_replaced(tmp_path):
    fill(tmp_path, MADE_BEFORE["bundle"] | {"notes.txt": "mine"})
    with pytest.raises(InputError, match=r"holds notes\.txt"):
        check_folder(tmp_path, BUNDLE)


def test_the_bundle_is_refused_before_anything_is_read_or_removed(tmp_path):
    fill(tmp_path, {"run/settings.yaml": "stage1:", "scans/scan.tif": "CT"})
    settings = Settings.model_validate(
        {"run_dir": tmp_path / "run", "stage1": {"members": {"a": {"network": "unet3d"}}}}
    )
    root = Path(__file__).parents[2]
    for output in (tmp_path / "scans", tmp_path / "run", tmp_path):
        with pytest.raises(InputError, match=r"holds|is, or holds"):
            pack.make_bundle(settings, root, output, pack.BundleRequest())
    assert (tmp_path / "scans/scan.tif").exists() and (tmp_path / "run/settings.yaml").exists()


@pytest.mark.parametrize("kind", [PREDICTION, FLATTENED, PHANTOM, BUNDLE], ids=lambda kind: kind.name)
@pytest.mark.parametrize("mark", ["", '{"kind": "run"}'])
def test_another_run_and_the_folders_of_its_own_are_nobody_elses_output(tmp_path, kind, mark):
    fill(
        tmp_path / "run",
        {"settings.yaml": "stage1:", "stage2/fold0/receipt.json": '{"key": "k"}', "stage1/a/b.txt": ""},
    )
    if mark:
        fill(tmp_path / "run", {MARK: mark})
    for folder in ("run", "run/stage1", "run/stage2", "run/stage1/new", "run/joint"):
        with pytest.raises(InputError):
            check_folder(tmp_path / folder, kind)
    with pytest.raises(InputError, match="belongs to the run"):
        check_folder(tmp_path / "run/stage2", RUN)
    check_folder(tmp_path / "run/predict2", kind)


@pytest.mark.parametrize(
    ("kind", "ours", "foreign"),
    [
        (PICTURE, b"\x89PNG\r\n..tEXtSoftware\0Scroll Ensemble", b"\x89PNG\r\n..tEXtSoftware\0Matplotlib"),
        (SUBMISSION_CSV, b"Id,Predicted\na,1 1\n", b"Id,Name\n"),
        (
            SUBMISSION_ZIP,
            b"PK\3\4\x14\0\0\0\0\0\0\0\x21\0....1.tif....",
            b"PK\3\4\x14\0\0\0\0\0\xa3\x6f\x5d\x5b....scan.tif....",
        ),
        (PLAN, b"# A plan for x", b"# my configuration\nrun_dir: x"),
        (SCORES, b'{\n "mean": {}', b'{"name": "a package"}'),
    ],
)
def test_a_file_is_only_written_over_one_of_its_kind(tmp_path, kind, ours, foreign):
    path = tmp_path / "out"
    check_file(path, kind)
    for content in (ours, b""):
        path.write_bytes(content)
        check_file(path, kind)
    with pytest.raises(InputError, match="which this command reads"):
        check_file(path, kind, keep_off=[tmp_path])
    path.write_bytes(foreign)
    with pytest.raises(InputError, match="nothing was changed"):
        check_file(path, kind)
    with pytest.raises(InputError, match="is a folder"):
        check_file(tmp_path, kind)


def test_the_mark_says_what_the_folder_is_and_names_nobody_afterwards(tmp_path):
    with writing(tmp_path, PREDICTION):
        assert json.loads((tmp_path / MARK).read_text()).keys() == {
            "kind",
            "host",
            "process",
            "started",
            "since",
            "command",
        }
        (tmp_path / "score.json").touch()
    assert json.loads((tmp_path / MARK).read_text()) == {"kind": "prediction"}


def test_where_nothing_was_written_nothing_is_left(tmp_path):
    with writing(tmp_path / "runs/x", RUN):
        pass
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("software", ["Scroll Ensemble", "Matplotlib version3.10.0"])
def test_a_picture_at_our_own_place_is_drawn_again_whoever_drew_the_one_before(tmp_path, software):
    picture = tmp_path / "preview.png"
    Image.new("L", (4, 4)).save(picture, pnginfo=marked(software))
    check_file(picture, OWN_PLACE_PICTURE)
    Image.new("L", (4, 4)).save(picture, pnginfo=marked("another program"))
    with pytest.raises(InputError, match="is not a picture of this project"):
        check_file(picture, OWN_PLACE_PICTURE)


def test_what_is_drawn_may_be_drawn_again(tmp_path):
    panel = Panel("a", np.zeros((8, 8), np.uint8))
    path = save_montage(tmp_path / "montage.png", Montage("two", [Row("r", [panel], 1.0)]))
    for kind in (PICTURE, OWN_PLACE_PICTURE):
        check_file(path, kind)


def marked(software: str) -> PngInfo:
    info = PngInfo()
    info.add_text("Software", software)
    return info

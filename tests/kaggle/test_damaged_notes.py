"""What a notebook and a bundle read back - notes of masks, a list of packages, a project - is told in one line where it is damaged."""

import json

import pytest
import tifffile

from ensemble.kaggle.on_kaggle import Job
from ensemble.kaggle.stock import project_requirements, read_freeze
from scroll.config.reader import load_settings, save_settings
from scroll.errors import InputError
from tests.cubes.drawn_cubes import striped
from tests.pipeline.pipeline_run import REPOSITORY


@pytest.mark.parametrize(
    "note", [b"", b"\xff\xfe{", b'{"views": 5}', b"[]", b"{}", b'{"views": {"a": "x"}}', b'{"views"']
)
def test_a_damaged_note_of_a_mask_is_named(tmp_path, note):
    (tmp_path / "run").mkdir()
    save_settings(load_settings(REPOSITORY / "configs" / "demo_surface.yaml"), tmp_path / "run" / "settings.yaml")
    masks = tmp_path / "scratch" / "predict" / "masks"
    masks.mkdir(parents=True)
    (tmp_path / "test_images").mkdir()
    (tmp_path / "test.csv").write_text("id,scroll_id\n1,2\n")
    tifffile.imwrite(tmp_path / "test_images" / "1.tif", striped((4, 8, 8)), photometric="minisblack")
    job = Job(tmp_path / "run", tmp_path, tmp_path / "scratch", tmp_path / "s.zip", 0)
    (masks / "1.json").write_text(json.dumps({"views": {"unet3d": 4}}))
    job.summary()
    (masks / "1.json").write_bytes(note)
    with pytest.raises(InputError, match=r"masks/1\.json: "):
        job.summary()


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("stock.txt", b"\x97\0"), ("stock.txt", b""), ("pyproject.toml", b"["), ("pyproject.toml", b"\xff"),
        ("pyproject.toml", b"[project]\n"), ("pyproject.toml", b"[project]\ndependencies = [5]\n"),
    ],
)  # fmt: skip
def test_lists_of_packages_that_are_none_are_named(tmp_path, name, content):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(InputError, match=name):
        read_freeze(tmp_path / name) if name == "stock.txt" else project_requirements(tmp_path)

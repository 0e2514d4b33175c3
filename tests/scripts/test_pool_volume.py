"""The command that pools a stack once: the same voxels and labels as pooling while reading, resumed after a kill."""

import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from ensemble.commands import pool_volume
from scroll.config.schema import DataSettings
from scroll.data.fragments import Fragment, find_fragments
from scroll.errors import InputError
from scroll.inference.prediction_store import RowWriter
from scroll.volumes import ome_zarr

SHAPE = (21, 300, 90)


@pytest.fixture
def source(tmp_path) -> Path:
    """One fragment, grey label and all masks, its layers in a zarr of two levels."""
    rng, folder = np.random.default_rng(1), tmp_path / "fine" / "w016"
    folder.mkdir(parents=True)
    path = folder / "w016.zarr"
    ome_zarr.create_ome_zarr(path, SHAPE, "u1", (32, 32, 32), 2.4)[...] = rng.integers(0, 255, SHAPE, dtype=np.uint8)
    ome_zarr.write_pyramid(path, 2)
    ink = rng.integers(0, 255, SHAPE[1:], dtype=np.uint8)
    masks = {
        name: np.kron(rng.random((30, 9)) > 0.3, np.ones((10, 10)))
        for name in ("mask", "supervision_mask", "validation_mask", "proposed_mask")
    }
    for name, values in {"w016_inklabels_v2": ink, **{name: 255 * mask for name, mask in masks.items()}}.items():
        Image.fromarray(values.astype(np.uint8)).save(folder / f"{name}.png")
    return folder.parent


def go(monkeypatch, *arguments: object) -> None:
    monkeypatch.setattr(sys, "argv", ["pool_volume", *map(str, arguments)])
    pool_volume.main()


def test_what_is_pooled_once_is_what_is_pooled_while_it_is_read(source, tmp_path, monkeypatch, capsys):
    how = {"root": tmp_path, "cache_dir": tmp_path / "cache", "depth": (-2, 3), "grey_labels": "soft"}
    go(monkeypatch, source, "--out", tmp_path / "coarse", "--voxel-um", 2.4, "--pool", 4, "--layers", 5)
    assert "voxels of 9.6 um; set data.voxel_um to that" in capsys.readouterr().out
    (once,) = find_fragments(tmp_path / "coarse", DataSettings(**how, voxel_um=9.6))
    (read,) = find_fragments(source, DataSettings(**how, voxel_um=2.4, pool=4))
    assert once.stored.shape == (5, 75, 23) and once.pixel_um == read.pixel_um == 9.6
    np.testing.assert_array_equal(once.ct[...], read.ct[...])
    np.testing.assert_array_equal(once.full_mask, read.full_mask)
    np.testing.assert_array_equal(once.full_label.proposed, read.full_label.proposed)
    assert 0.2 < once.full_label.proposed_share < 0.8
    for mine, theirs in ((once.full_label, read.full_label), (once.held_out_label, read.held_out_label)):
        known = ~theirs.ignore
        np.testing.assert_array_equal(mine.ignore, theirs.ignore)
        np.testing.assert_allclose(mine.target[known], theirs.target[known], atol=0.5 / 255)


def test_a_killed_run_goes_on_where_it_stopped(source, tmp_path, monkeypatch):
    arguments = (source / "w016", "--out", tmp_path / "coarse", "--voxel-um", 2.4, "--pool", 2)
    written: list[int] = []
    write = RowWriter.write

    def killed_at_the_second(self: RowWriter, row: int, rows: np.ndarray) -> None:
        if len(written) == 1:
            raise KeyboardInterrupt
        written.append(row)
        write(self, row, rows)

    monkeypatch.setattr(RowWriter, "write", killed_at_the_second)
    with pytest.raises(KeyboardInterrupt):
        go(monkeypatch, *arguments)
    monkeypatch.setattr(RowWriter, "write", lambda self, row, rows: (written.append(row), write(self, row, rows))[1])
    go(monkeypatch, *arguments)
    assert written == [0, 128]
    go(monkeypatch, *arguments)
    assert written == [0, 128]
    data = DataSettings(root=tmp_path, voxel_um=2.4, pool=2)
    made = ome_zarr.open(tmp_path / "coarse" / "w016" / "surface-volume.zarr")
    np.testing.assert_array_equal(made[...], Fragment("w016", source / "w016", data).stored[...])
    assert made.voxel_um == 4.8


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--pool", 4, "--layers", 6), r"5 layers once pooled; expected at least --layers 6"),
        (("--pool", 3, "--level", 1), r"2 x 2 x 2 \(z, y, x\) of level 0, which do not go into data.pool 3"),
        (("--pool", 2, "--level", 7), r"arrays in it: 0, 1; expected level 7"),
        (("--pool", 32), r"layers do not make one of data.pool 32"),
    ],
)  # fmt: skip
def test_what_cannot_be_pooled_is_one_line(source, tmp_path, monkeypatch, arguments, message):
    with pytest.raises(InputError, match=message) as error:
        go(monkeypatch, source, "--out", tmp_path / "coarse", "--voxel-um", 2.4, *arguments)
    assert "\n" not in str(error.value)


def test_another_size_of_voxel_than_the_stack_says_is_said(source, tmp_path, monkeypatch):
    with pytest.warns(UserWarning, match=r"says voxels of 2.4 um, data.voxel_um is 3.2, which is used"):
        go(monkeypatch, source, "--out", tmp_path / "coarse", "--voxel-um", 3.2)

"""Damage that a run of 21,000 damaged files found last: each is one line that names its file."""

import json
import types

import pytest

from ensemble.ink.montage import rows_of
from scroll.config.schema import Settings
from scroll.errors import InputError
from scroll.runtime.run_lock import FileLock
from scroll.volumes.ome_zarr import create_ome_zarr
from scroll.volumes.volume_key import volume_key
from stage2_2d.surface.stack import traced_sheets


def test_a_lock_that_is_a_dead_link_is_named(tmp_path):
    (tmp_path / "a.lock").symlink_to("nowhere/at/all")
    with pytest.raises(InputError, match=r"a\.lock: leads to nowhere/at/all"):
        FileLock(tmp_path / "a.lock").take()


def test_sheets_traced_over_no_finite_reach_are_named(tmp_path):
    receipt = {"key": "k", "data": "d", "sources": ["ct"], "reach_vox": float("inf"), "sheets": 0}
    (tmp_path / "receipt.json").write_text(json.dumps(receipt))
    with pytest.raises(InputError, match=r"receipt\.json: .*infinity"):
        traced_sheets(tmp_path, types.SimpleNamespace(key="d", image="x", id="1"), "trace them again")  # type: ignore[arg-type]


def test_a_volume_of_more_chunks_than_can_be_counted_is_named(tmp_path):
    create_ome_zarr(tmp_path / "o.zarr", (8, 8, 8), "u1", (4, 4, 4), 7.91)[:] = 5
    metadata = tmp_path / "o.zarr/0/.zarray"
    metadata.write_text(json.dumps(json.loads(metadata.read_text()) | {"shape": [2**62, 2**40, 8]}))
    with pytest.raises(InputError, match=r"o\.zarr"):
        volume_key(str(tmp_path / "o.zarr"))


def test_an_input_whose_name_is_too_long_is_laid_to_its_receipt_or_is_not_there(tmp_path):
    (tmp_path / "a/stage2").mkdir(parents=True)
    (tmp_path / "a/stage2/receipt.json").write_text(json.dumps({"key": "k", "source": "a" * 5000}))
    settings = Settings.model_construct(data=types.SimpleNamespace(kind="fragments"))  # type: ignore[arg-type]
    with pytest.raises(
        InputError, match=r"receipt\.json: File name too long|aaa: not there"
    ):  # the latter from Python 3.14 on
        rows_of(settings, tmp_path, "a", None)

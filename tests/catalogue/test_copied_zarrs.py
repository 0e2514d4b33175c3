"""Zarrs copied at level 0, file by file, from wherever they are."""

import numpy as np
import pytest
import zarr

from scroll.catalogue.level_0 import copy_level_0
from scroll.volumes import ome_zarr
from scroll.volumes.remote import RemoteSettings

HASTY = RemoteSettings(
    retries=2, first_wait_s=0.002, longest_wait_s=0.01, give_up_s=5, connect_timeout_s=3, silence_timeout_s=3
)
ODD_ZARRS = {
    "a plain array": {"zarr_format": 2, "chunks": (65, 32, 32)},
    "dots between numbers": {"zarr_format": 2, "chunks": (65, 32, 32), "chunk_key_encoding": {"name": "v2", "separator": "."}},
    "a plain array of format 3": {"chunks": (65, 32, 32)},
    "shards": {"chunks": (65, 16, 16), "shards": (65, 64, 64)},
}  # fmt: skip


@pytest.mark.parametrize("in_group", [False, True])
@pytest.mark.parametrize("case", ODD_ZARRS)
@pytest.mark.parametrize("scheme", ["s3", "http", "local"])
def test_zarrs_of_every_layout_are_copied_with_their_voxels(server, served, tmp_path, case, in_group, scheme):
    canvas = np.zeros((65, 100, 90), np.uint8)
    canvas[32, 40:50, 70:] = 255  # most chunks are empty, and not stored
    path = served / "odd" / "a.zarr"
    options = {"fill_value": 0, "config": {"write_empty_chunks": False}, **ODD_ZARRS[case]}
    if in_group:
        group = zarr.create_group(path, zarr_format=options.pop("zarr_format", 3))
        group.create_array("0", data=canvas, **options)
        group.create_array("1", data=canvas[:, ::2, ::2], **options)
        zarr.consolidate_metadata(path)
    else:
        zarr.create_array(path, data=canvas, **options)
    address = {"s3": "s3://odd/a.zarr", "http": f"{server.address}/odd/a.zarr", "local": str(path)}[scheme]
    copy_level_0(address, tmp_path / "copy.zarr", HASTY)
    np.testing.assert_array_equal(ome_zarr.open(tmp_path / "copy.zarr", voxel_um=1.0)[...], canvas)
    stored = sum(
        one.is_file() and ".z" not in one.name and "json" not in one.name for one in (tmp_path / "copy.zarr").rglob("*")
    )
    assert 0 < stored <= 4 and not (tmp_path / "copy.zarr" / "1").exists()

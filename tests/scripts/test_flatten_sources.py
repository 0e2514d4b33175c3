"""scripts/flatten.py: where it lays a prediction that another program made."""

from argparse import Namespace
from pathlib import Path

import numpy as np
import pytest

from ensemble.commands.flatten import opened_sources
from scroll.errors import InputError
from scroll.volumes.ome_zarr import create_ome_zarr

EDGE = 32


def stored(path: Path, array: np.ndarray, voxel_um: float) -> Path:
    create_ome_zarr(path, array.shape, "u1", (16, 16, 16), voxel_um)[:] = array
    return path


def asked(folder: Path, **more: object) -> Namespace:
    ct = np.zeros((EDGE,) * 3, np.uint8)
    stored(folder / "ct.zarr", ct, 2.4)
    stored(folder / "p.zarr", ct[::4, ::4, ::4], 9.6)
    given = {
        "volume": str(folder / "ct.zarr"),
        "prob": [f"p={folder / 'p.zarr'}"],
        "level": 0,
        "voxel_um": None,
        "coarser": False,
    }
    return Namespace(**(given | more))


def test_a_prediction_of_a_coarser_level_is_named_and_laid_there_when_that_is_wanted(tmp_path: Path) -> None:
    arguments = asked(tmp_path)
    with pytest.raises(InputError, match=r"of a coarser level: .* 4 x 4 x 4 voxels of level 0 .*--coarser"):
        opened_sources(arguments)
    arguments.coarser = True
    _, sources = opened_sources(arguments)
    assert sources["p"].grid(nearest=False).scale == (0.25,) * 3
    assert sources["ct"].grid(nearest=False).scale == (1.0,) * 3

"""The doctor notices a training stack whose layers run the other way than those of the rest, and believes what is said beside it."""

import numpy as np
import pytest

from scroll.config.schema import DataSettings
from scroll.data.fragments import find_fragments
from scroll.errors import InputError
from scroll.phantom.fragment import draw_fragment
from scroll.phantom.settings import fragment_settings
from scroll.phantom.write import write_png
from scroll.volumes.ome_zarr import create_ome_zarr
from stage1_3d.fragments.doctor import _check_directions


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    folder = tmp_path_factory.mktemp("stacks")
    for number in range(3):
        drawn = draw_fragment(fragment_settings("default", (65, 512, 512)), (7, number))
        own = folder / "train" / str(number)
        own.mkdir(parents=True)
        write_png(own / "mask.png", drawn.mask)
        for name, voxels in (("up.zarr", drawn.volume), ("down.zarr", drawn.volume[::-1])):
            create_ome_zarr(own / name, voxels.shape, np.uint8, (65, 128, 128), 7.91)[...] = voxels >> 8
    return folder


def fragments(root, *message: str):
    for number, line in enumerate(message):
        (root / "train" / str(number) / "surface_volume_source.txt").write_text(line)
    return find_fragments(root / "train", DataSettings(root=root, cache_dir=root / "cache"))


@pytest.mark.slow
def test_one_that_runs_the_other_way_is_named_until_it_is_said_beside_it(root):
    with pytest.raises(
        InputError, match=r"train/1: its layers run the other way than those of 0, 2 .* write 'reversed'"
    ) as error:
        _check_directions(fragments(root, "up.zarr", "down.zarr", "up.zarr"))
    assert "\n" not in str(error.value)
    _check_directions(fragments(root, "up.zarr", "down.zarr\nreversed", "up.zarr"))

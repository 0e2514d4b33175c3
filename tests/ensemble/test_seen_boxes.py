"""A run's ensemble on a surface, in one pass: the same to the bit as predicting the volume and flattening it."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from ensemble.whole_scroll.run import EnsemblePredictor, EnsembleRecipe
from ensemble.whole_scroll.training_boxes import SeenBoxes
from scroll.config.reader import load_settings
from scroll.inference.prediction_store import open_map
from scroll.inference.window_memory import RememberedWindows
from scroll.surfaces.sample import Offsets, Source
from scroll.surfaces.surface import Surface, normals_of
from scroll.volumes import npy
from stage1_3d.network import build_network
from stage1_3d.segments.flatten_on_the_fly import BoxPrediction, Tiling, flatten_on_the_fly
from stage1_3d.segments.flatten_surface import Flattening, flatten_surface

REPOSITORY = Path(__file__).resolve().parents[2]
WEIGHTS = {"cnn3d": 0.7, "unet3d": 0.3}
HOW = Flattening(Offsets(-3, 4))
SMALL = Tiling(edge=128)
MEMBERS = (
    "stage1.members.cnn3d.options={channels: [3, 3], stride_yx: 2, dilations: [1, 2]}",
    "stage1.members.unet3d.options={channels: [3, 4, 4]}",
    "stage1.members.cnn3d.patch_size=[16, 32, 32]",
    "stage1.members.unet3d.patch_size=[32, 32, 32]",
    "stage1.window.batch_size=2",
)


@pytest.fixture
def ensemble(tmp_path) -> EnsemblePredictor:
    """Two networks with random weights over a volume of noise with an empty corner, a patch of which is larger than it is deep."""
    settings = load_settings(REPOSITORY / "configs" / "demo.yaml", list(MEMBERS))
    voxels = np.random.default_rng(0).integers(0, 256, (28, 150, 190), dtype=np.uint8)
    voxels[:, 120:, 150:] = 0
    np.save(tmp_path / "ct.npy", voxels)
    forwards = {}
    for number, name in enumerate(WEIGHTS):
        torch.manual_seed(number)
        forwards[name] = build_network(settings.stage1.members[name]).eval()
    recipe = EnsembleRecipe(settings, str(tmp_path / "ct.npy"), 0, (128.0, 60.0), WEIGHTS)
    return EnsemblePredictor(recipe, npy.open(tmp_path / "ct.npy", 7.91), forwards)


@pytest.fixture
def surface() -> Surface:
    """Rows along y, columns along x, waving in z: four tiles."""
    row, column = np.meshgrid(np.arange(37), np.arange(46), indexing="ij")
    points = np.stack([14 + 5 * np.sin(row / 5 + column / 9), 4.0 * row, 4.0 * column], axis=-1).astype(np.float32)
    valid = np.ones(row.shape, bool)
    return Surface(points, normals_of(points, valid), valid, (4.0, 4.0), Path("wave"))


@pytest.mark.parametrize("limit_bytes", [0, 2**30])
def test_one_pass_is_to_the_bit_what_two_passes_are(ensemble, surface, tmp_path, limit_bytes):
    shape = ensemble.volume.shape
    whole = ensemble((0, 0, 0), shape)
    flatten_surface(surface, {"ensemble": Source(whole[0])}, HOW, tmp_path / "two", 7.91)
    boxes = SeenBoxes(ensemble, is_blended=True, limit_bytes=limit_bytes)
    predicted = BoxPrediction(boxes, ("ensemble",), shape, 0, "key")
    flatten_on_the_fly(surface, predicted, HOW, tmp_path / "one", 7.91, tiling=SMALL)
    for name in ("flat.zarr", "coverage.zarr"):
        one, two = (open_map(tmp_path / where / name, "")[...] for where in ("one", "two"))
        np.testing.assert_array_equal(one, two)
    for windows in boxes.windows.values():
        assert (windows.computed == windows.distinct) == (limit_bytes > 0)
    assert boxes.counts().startswith("windows computed: cnn3d ")


def test_the_blend_is_the_weighted_mean_of_the_members(ensemble):
    box = (4, 20, 30), (10, 40, 50)
    blend = SeenBoxes(ensemble, is_blended=True)(*box, lambda corner, size: True)
    members = SeenBoxes(ensemble, is_blended=False)(*box, lambda corner, size: True)
    assert members.shape == (2, *box[1])
    np.testing.assert_allclose(blend[0], np.tensordot(list(WEIGHTS.values()), members, 1), atol=1e-6)
    assert np.abs(members[0] - members[1]).max() > 1e-3


def test_where_the_scan_is_empty_no_network_is_asked(ensemble):
    boxes = SeenBoxes(ensemble, is_blended=True)
    assert boxes((0, 125, 155), (28, 20, 30), lambda corner, size: True) is None
    assert all(windows.computed == 0 for windows in boxes.windows.values())


def test_memory_is_shared_among_the_members(ensemble):
    boxes = SeenBoxes(ensemble, is_blended=True, limit_bytes=1000)
    assert {type(windows) for windows in boxes.windows.values()} == {RememberedWindows}
    assert sum(windows._kept.limit for windows in boxes.windows.values()) == 1000


def test_a_member_without_weight_takes_no_part(ensemble):
    alone = EnsemblePredictor(replace(ensemble.recipe, weights={"unet3d": 1.0}), ensemble.volume, ensemble.forwards)
    box = (4, 20, 30), (10, 40, 50)
    found = SeenBoxes(alone, is_blended=True)(*box, lambda corner, size: True)
    both = SeenBoxes(ensemble, is_blended=False)(*box, lambda corner, size: True)
    np.testing.assert_array_equal(found[0], both[1])

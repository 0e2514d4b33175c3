"""Windows that are scaled by their own grey values, each against plain arithmetic, wherever they are looked at."""

from pathlib import Path

import numpy as np
import pytest
import tifffile
import torch
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError
from torch import nn

from scroll.config.schema import MemberSettings, Settings
from scroll.data.cubes import Cube
from scroll.data.folds import Fold
from scroll.data.intensity import AsStored, Intensity, _counted, _percentiles
from scroll.data.members.card import Card
from scroll.errors import InputError
from scroll.inference.grey_values import sent
from scroll.inference.prediction_store import open_map
from scroll.training.checkpoint import load_weights, save_weights
from stage1_3d.cubes.dataset import CubePatches
from stage1_3d.cubes.predict import predict_cubes, prediction_of
from stage1_3d.external.archives import import_graph
from stage1_3d.external.checkpoint import write_card
from stage1_3d.network import about_network, build_network
from stage1_3d.predict import load_forward

EDGE, WINDOW = 24, (16, 16, 16)
ROBUST = {"how": "robust", "of": "window", "low": 1, "high": 99}


def z_score(seen: np.ndarray) -> np.ndarray:
    return (seen - seen.mean()) / seen.std()


def percentiles(seen: np.ndarray) -> np.ndarray:
    low, high = np.percentile(seen, (2, 90))
    return (seen - low) / (high - low)


def robust(seen: np.ndarray) -> np.ndarray:
    clipped = np.clip(seen, *np.percentile(seen, (1, 99)))
    return (clipped - np.median(clipped)) / (1.4826 * np.median(np.abs(clipped - np.median(clipped))))


def ours(seen: np.ndarray) -> np.ndarray:
    low, middle, high = np.percentile(seen, (16, 50, 84))
    return np.clip((seen - middle) / ((high - low) / 2), -8, 8)


BY_HAND = {"zscore": z_score, "percentiles": percentiles, "robust": robust, "ours": ours}
BOUNDS = {"percentiles": (2, 90), "robust": (1, 99)}


def by_windows(how: str) -> Intensity:
    low, high = BOUNDS.get(how, (0, 0))
    return Intensity(how=how, of="window", low=low, high=high)


@pytest.mark.parametrize("kind", ["u1", "i1", "u2", ">u2", "i2", "f4"])
@pytest.mark.parametrize("how", BY_HAND)
def test_each_window_is_scaled_by_its_own_values_and_sent_as_it_is(how, kind):
    rng, spread = np.random.default_rng(1), 12 if kind.endswith("1") else 900
    middles = (40, 90) if kind.endswith("1") else (4000, 9000)
    windows = [rng.normal(middle, spread, (1, 6, 17, 19)).astype(kind) for middle in middles]
    stored = np.stack([AsStored(by_windows(how)).scaled(window) for window in windows])
    found = sent(stored, by_windows(how))
    assert found.dtype == torch.float32 and found.numpy().tobytes() == stored.tobytes()
    for one, window in zip(found.numpy(), windows, strict=True):
        np.testing.assert_allclose(one, BY_HAND[how](window.astype(np.float64)), rtol=2e-5, atol=2e-5)


@given(
    st.lists(st.integers(-128, 127), min_size=1, max_size=40),
    st.lists(st.floats(0, 100), min_size=1, max_size=4),
    st.sampled_from(["i1", "u1", "u2", ">i2"]),
)
def test_counted_greys_have_the_percentiles_of_numpy(greys, wanted, kind):
    values = np.array([grey if "i" in kind else grey + 128 for grey in greys]).astype(kind)
    np.testing.assert_allclose(
        _percentiles(*_counted(values), wanted), np.percentile(values.astype(float), wanted), rtol=1e-12, atol=1e-9
    )


@pytest.mark.parametrize("how", BY_HAND)
@pytest.mark.parametrize("filled", [0, 3])
def test_a_window_that_is_nearly_all_one_grey_stays_small(how, filled):
    window = np.zeros((8, 32, 32), np.uint8)
    window[0, 0, :filled] = 200  # three voxels of 8192
    found = by_windows(how).scaled(window)
    assert np.isfinite(found).all() and np.abs(found).max() <= 300


def test_what_no_window_has_is_refused_and_old_settings_stay_as_they_were():
    with pytest.raises(ValidationError, match="clip_divide is nothing that each window has of its own"):
        Intensity(how="clip_divide", of="window", low=0, high=200)
    with pytest.raises(ValidationError, match="an nnU-Net scales whole items"):
        Card(family="nnunet", intensity=by_windows("zscore"))
    with pytest.raises(ValidationError, match="has its own on its card"):
        MemberSettings.model_validate({"member": "m", "intensity": ROBUST})
    assert "intensity" not in MemberSettings(network="cnn3d").for_key()
    assert "of" not in Intensity(how="robust", low=1, high=99).model_dump()


class Itself(nn.Module):
    """What it sees is its logit."""

    def forward(self, windows: torch.Tensor) -> torch.Tensor:
        """(B, 1, Z, Y, X), twice."""
        return windows * 1.0


def settings_of(root: Path) -> Settings:
    """A run with a member of others, whose window is scaled by itself."""
    torch.export.save(torch.export.export(Itself(), (torch.zeros(1, 1, *WINDOW),)), root / "itself.pt2")
    (root / "m").mkdir()
    card = Card.model_validate({"family": "graph", "window": (0, 0, 0), "intensity": ROBUST})
    write_card(root / "m", import_graph(root / "itself.pt2", root / "m", card))
    return Settings.model_validate({
        "run_dir": root / "run",
        "data": {"kind": "cubes", "root": root, "cache_dir": root / "cache", "voxel_um": 7.91},
        "stage1": {"members": {"m": {"member": root / "m"}}, "window": {"batch_size": 3, "blend": "uniform"}},
    })  # fmt: skip


def cube_of(settings: Settings, shape: tuple[int, int, int]) -> Cube:
    """Grey values that rise from end to end; a label of noise."""
    ramp = np.linspace(20, 200, shape[2])[None, None] + np.random.default_rng(2).normal(0, 12, shape)
    for name, values in (("images", ramp.clip(0, 255)), ("labels", ramp > 128)):
        path = settings.data.root / f"train_{name}" / "1.tif"
        path.parent.mkdir()
        tifffile.imwrite(path, values.astype(np.uint8))
    return Cube(
        "1",
        "A",
        settings.data.root / "train_images" / "1.tif",
        settings.data.root / "train_labels" / "1.tif",
        settings.data,
    )


@pytest.mark.parametrize("depth", [EDGE, 11])
def test_a_prediction_is_made_of_windows_scaled_by_themselves_and_not_by_what_is_beyond_an_edge(tmp_path, depth):
    settings = settings_of(tmp_path)
    cube = cube_of(settings, (depth, EDGE, EDGE))
    predict_cubes(settings, "m", [cube], [0], tmp_path / "out")
    values, total, count = tifffile.imread(cube.image).astype(np.float64), 0, 0
    for z in (0, 8) if depth == EDGE else (0,):
        for y in (0, 8):
            for x in (0, 8):
                place, seen = (slice(z, z + 16), slice(y, y + 16), slice(x, x + 16)), np.zeros((2, *values.shape))
                seen[0][place], seen[1][place] = robust(values[place]), 1
                total, count = total + seen[0], count + seen[1]
    expected = 1 / (1 + np.exp(-total / count))
    found = open_map(tmp_path / "out" / "1" / "prob.zarr", "")[:]
    np.testing.assert_allclose(found, expected, atol=2e-3)
    assert np.ptp(expected) > 0.5
    part = prediction_of(settings, "m", cube, lambda: load_forward(settings, "m", [0])).rows(5, 19)[0]
    assert part.astype(np.float16).tobytes() == np.ascontiguousarray(found[:, 5:19]).tobytes()


def test_a_network_of_ours_is_trained_on_patches_scaled_by_themselves(tmp_path):
    settings = settings_of(tmp_path)
    cube = cube_of(settings, (EDGE,) * 3)
    nothing = {
        "flips": False,
        "quarter_turns": False,
        "brightness": 0,
        "contrast": 0,
        "noise": 0,
        "layer_dropout": 0,
        "cutout": 0,
    }
    member = MemberSettings.model_validate({
        "network": "cnn3d", "patch_size": WINDOW, "supervision": "band", "intensity": ROBUST, "augment": nothing | {"depth_jitter": 0},
    })  # fmt: skip
    fold = Fold(0, held_out={}, closed={})
    patches = CubePatches([cube], fold, member, seed=1, is_training=True)
    deferred = patches.deferred()
    found = deferred.finish(deferred.collate([deferred[n] for n in range(3)]), torch.device("cpu"))
    values = tifffile.imread(cube.image)
    for n in range(3):
        corner = patches.boxes.place(patches.rng_of(n)).corner
        expected = robust(values[tuple(slice(c, c + 16) for c in corner)].astype(np.float64))
        np.testing.assert_allclose(patches[n]["ct"][0], expected, rtol=2e-5, atol=2e-5)
        np.testing.assert_array_equal(found["ct"][n], patches[n]["ct"])


def test_weights_that_were_trained_on_another_scaling_are_refused(tmp_path):
    member = MemberSettings.model_validate({"network": "cnn3d", "patch_size": WINDOW, "intensity": ROBUST})
    save_weights(build_network(member), tmp_path / "weights.safetensors", about_network(member))
    plain = member.model_copy(update={"intensity": None})
    with pytest.raises(InputError, match=r"intensity is .*'robust'.*the settings say None; train again"):
        load_weights(build_network(plain), tmp_path / "weights.safetensors", about_network(plain), "train again")

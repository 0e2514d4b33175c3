"""Members that give a map: what they see of a fragment and of a segment, and where their answer goes, against plain arithmetic."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from scroll.config.schema import Settings
from scroll.data.depth_windows import check_depth_offsets
from scroll.data.fragments import find_fragments
from scroll.data.members.card import Card
from scroll.errors import InputError
from scroll.inference.prediction_store import open_map
from scroll.phantom.dataset import make_fragments
from scroll.phantom.settings import fragment_settings
from scroll.runtime.receipt import read_receipt
from scroll.volumes.binning import block_mean
from stage1_3d.external.archives import import_graph
from stage1_3d.external.checkpoint import write_card
from stage1_3d.external.maps import _Binned, predict_map

WINDOW, LAYERS = (4, 32, 32), (-3, 1)


class Ramp(nn.Module):
    """Weighs the layers 1, 2, 3, 4, so that their order shows, and gives a quarter of the size."""

    def forward(self, layers: torch.Tensor) -> torch.Tensor:
        """(B, Z, Y, X) -> (B, Y / 4, X / 4)."""
        weight = torch.arange(1.0, 5.0)[None, :, None, None]
        return nn.functional.avg_pool2d((layers * weight).sum(1, keepdim=True), 4)[:, 0]


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("maps")
    make_fragments(
        root / "data", fragment_settings("easy", (24, 70, 90), letter_height_px=30.0), 3, train=1, test=0, jobs=1
    )
    many = ({0: torch.export.Dim("n")},)
    exported = torch.export.export(Ramp(), (torch.rand(2, *WINDOW),), dynamic_shapes=many)
    torch.export.save(exported, root / "ramp.pt2")
    return root


def member(root: Path, folder: Path, **message: object) -> Path:
    folder.mkdir(parents=True)
    card = Card.model_validate(
        {"family": "graph", "returns": "map", "scale": 4, "window": WINDOW, "layers": LAYERS, "overlap": 0.0}
        | {"intensity": {"how": "clip_zscore", "low": 0, "high": 60000, "middle": 26000, "spread": 90000}}
        | message
    )
    write_card(folder, import_graph(root / "ramp.pt2", folder, card))
    return folder


def run(root: Path, folder: Path, bin_yx: int = 2, **window: object):
    settings = Settings.model_validate({
        "run_dir": folder.parent / "run",
        "data": {"root": root / "data", "cache_dir": root / "cache", "depth": [-8, 8], "bin_yx": bin_yx},
        "stage1": {"members": {"ramp": {"member": folder}}, "window": {"blend": "uniform"} | window},
    })  # fmt: skip
    return settings, find_fragments(root / "data" / "train", settings.data)[0]


def by_hand(fragment, bin_yx: int, layers: range, weights) -> np.ndarray:
    """Windows of 32 without overlap: the mean of each 4 x 4 of the weighted layers, interpolated within its window."""
    ct = np.asarray(fragment.volume[:]).astype(np.float64)
    seen = (np.clip(ct, 0, 60000) - 26000) / 90000
    return np.sum([w * seen[layer] for w, layer in zip(weights, layers, strict=True)], axis=0)


@pytest.mark.parametrize("direction", ["inwards", "outwards"])
def test_the_layers_it_asks_for_in_the_order_it_asks_for_reach_it(data, tmp_path, direction):
    settings, fragment = run(data, member(data, tmp_path / "m", direction=direction))
    predict_map(settings, "ramp", fragment, [0], tmp_path / "out")
    middle = fragment.volume.shape[0] // 2
    layers = range(middle - 3, middle + 1) if direction == "inwards" else range(middle + 3, middle - 1, -1)
    score = by_hand(fragment, 2, layers, (1, 2, 3, 4))
    found = np.asarray(open_map(tmp_path / "out" / "flat.zarr", "")[0], np.float32)
    assert found.shape == (35, 45)
    coarse = torch.from_numpy(score[:32, :32]).float()[None, None]
    grown = nn.functional.interpolate(nn.functional.avg_pool2d(coarse, 4), (32, 32), mode="bilinear")
    expected = nn.functional.avg_pool2d(torch.sigmoid(grown), 2)[0, 0].numpy()
    assert fragment.mask[:16, :16].any() and expected.std() > 0.005
    np.testing.assert_allclose(found[:16, :16], expected, atol=1e-3)  # stored as float16


def test_a_receipt_holds_the_card_and_the_weights(data, tmp_path):
    folder = member(data, tmp_path / "m")
    settings, fragment = run(data, folder)
    predict_map(settings, "ramp", fragment, [0], tmp_path / "out")
    receipt = read_receipt(tmp_path / "out", "")
    assert receipt["card"]["layers"] == [*LAYERS] and receipt["folds"] == [0]
    assert {Path(path).name for path in receipt["weights"]} == {"card.json", "fold0.pt2"}


class Recorder:
    """Keeps what is written, in the place of a map on disk."""

    def __init__(self) -> None:
        self.rows: list[np.ndarray] = []

    def write(self, row: int, rows: np.ndarray) -> None:
        assert row == sum(part.shape[1] for part in self.rows)
        self.rows.append(rows)


@given(st.lists(st.integers(1, 9), min_size=1, max_size=12), st.integers(1, 5))
def test_rows_in_any_pieces_are_binned_like_the_whole(pieces, bin_yx):
    values = np.random.default_rng(0).random((1, sum(pieces), 7), dtype=np.float32)
    writer, row = Recorder(), 0
    binned = _Binned(writer, bin_yx, sum(pieces))
    for count in pieces:
        binned.write(row, values[:, row : row + count])
        row += count
    np.testing.assert_array_equal(np.concatenate(writer.rows, axis=1)[0], block_mean(values[0], (bin_yx, bin_yx)))


@pytest.mark.parametrize(
    ("message", "refused"),
    [
        (
            {"layers": (-20, -16)},
            r"24 layers, the sheet in layer 12; .*card\.json needs those from -20 to -17 about it",
        ),
        ({"voxel_um": 3.24}, r"card\.json: trained at 3\.24 um a voxel, and here they are 7\.91"),
    ],
)
def test_another_depth_and_another_voxel_size_are_reported_in_one_line(data, tmp_path, message, refused):
    settings, fragment = run(data, member(data, tmp_path / "m", **message))
    with pytest.raises(InputError, match=refused) as error:
        predict_map(settings, "ramp", fragment, [0], tmp_path / "out")
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("direction", ["inwards", "outwards"])
def test_over_shifted_depth_windows_a_map_is_the_mean_of_the_maps_of_each(data, tmp_path, direction):
    """By hand: each window's own layers, in the member's order, then the mean of the probabilities."""
    folder = member(data, tmp_path / "m", direction=direction)
    maps = []
    for shift in (0, -2, 4):
        settings, fragment = run(data, folder)
        predict_map(settings, "ramp", replace(fragment, shift_layers=shift), [0], tmp_path / f"at{shift}")
        maps.append(np.asarray(open_map(tmp_path / f"at{shift}" / "flat.zarr", "")[0], np.float32))
    settings, fragment = run(data, folder, depth_offsets=[-2, 4])
    predict_map(settings, "ramp", fragment, [0], tmp_path / "out")
    found = np.asarray(open_map(tmp_path / "out" / "flat.zarr", "")[0], np.float32)
    np.testing.assert_allclose(found, np.mean(maps, axis=0), atol=1e-3)  # stored as float16
    assert np.abs(maps[0] - maps[2]).max() > 0.01


def test_layers_that_a_shifted_window_of_a_map_lacks_are_reported_in_one_line(data, tmp_path):
    settings, fragment = run(data, member(data, tmp_path / "m", layers=(-11, -7)), depth_offsets=[-2, 1])
    with pytest.raises(InputError, match=r"24 layers do not hold -2 of stage1\.window\.depth_offsets") as error:
        check_depth_offsets(settings, [fragment])
    assert "\n" not in str(error.value)

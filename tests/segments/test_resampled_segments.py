"""Members of another voxel size in scroll space: windows about traced sheets, and layers of a coarser level."""

from pathlib import Path

import numpy as np
import pytest
import torch
from scipy.ndimage import gaussian_filter, map_coordinates
from torch import nn

from scroll.config.schema import DataSettings, Settings
from scroll.data.members.card import Card
from scroll.data.members.others import of_others
from scroll.data.segments import by_volume, find_segments
from scroll.inference.prediction_store import open_map
from scroll.runtime.receipt import read_receipt
from stage1_3d.external.archives import import_graph
from stage1_3d.external.checkpoint import write_card
from stage1_3d.external.maps import predict_map
from stage1_3d.external.view import map_view
from stage1_3d.segments.predict import cut_out, predict_volume, prediction_of, requested_blocks

WINDOW, UM = (16, 16, 16), 7.91


class Itself(nn.Module):
    """What it sees is its logit."""

    def forward(self, windows: torch.Tensor) -> torch.Tensor:
        """(B, 1, Z, Y, X), twice."""
        return windows * 1.0


class Flat(nn.Module):
    """A map: the mean of its layers."""

    def forward(self, windows: torch.Tensor) -> torch.Tensor:
        """(B, 1, Z, Y, X) -> (B, 1, Y, X)."""
        return windows.mean(2)


def run(root: Path, data: DataSettings, network: nn.Module, own_um: float, **message: object) -> Settings:
    (root / "m").mkdir()
    torch.export.save(torch.export.export(network, (torch.zeros(1, 1, *WINDOW),)), root / "net.pt2")
    card = Card.model_validate(
        {"family": "graph", "window": (0, 0, 0), "voxel_um": own_um, "intensity": {"how": "divide", "spread": 100}}
        | message
    )
    write_card(root / "m", import_graph(root / "net.pt2", root / "m", card))
    content = {
        "run_dir": root / "run",
        "data": data,
        "stage1": {"members": {"m": {"member": root / "m", "resample": True}}},
    }
    return Settings.model_validate(content)


def test_windows_about_sheets_are_resampled_and_their_voxels_come_back(data, tmp_path):
    settings = run(tmp_path, data, Itself(), 1.5 * UM)
    traced = by_volume(find_segments(data.root / "train", data))[0]
    rows = {traced.segments[0].id: (0, 16)}
    blocks = requested_blocks(traced, rows)
    prediction = prediction_of(settings, "m", (traced, blocks), [0])
    assert prediction.sweep.patch == (24, 24, 24)  # 15 steps of a voxel and a half, and one more voxel
    first = [c + 5 for c in cut_out(blocks)[0]]
    raw = np.asarray(traced.volume[tuple(slice(c, c + 24) for c in first)], np.float64)
    blurred = gaussian_filter(raw, (1.5**2 - 1) ** 0.5 / 2, mode="nearest")
    expected = map_coordinates(blurred, np.meshgrid(*[0.25 + 1.5 * np.arange(16)] * 3, indexing="ij"), order=1) / 100
    np.testing.assert_allclose(prediction.read((5, 5, 5))[0], expected, atol=1e-4)
    predict_volume(settings, "m", traced, rows, [0], tmp_path / "out")
    found = np.asarray(open_map(tmp_path / "out" / "prob.zarr", "")[:], np.float32)
    assert found.shape == prediction.shape and not np.isnan(found).all()
    seen, there = (
        ~np.isnan(found),
        np.asarray(
            traced.volume[tuple(slice(c, c + n) for c, n in zip(cut_out(blocks)[0], found.shape, strict=True))],
            np.float64,
        ),
    )
    logit = np.log(found[seen] / (1 - found[seen]))
    assert (
        np.corrcoef(logit, gaussian_filter(there, 1)[seen])[0, 1] > 0.9
    )  # where it was, but for what is smaller than its voxels
    assert read_receipt(tmp_path / "out", "")["resampled"] == {"from_um": UM, "to_um": pytest.approx(1.5 * UM)}


def test_layers_of_a_coarser_level_lie_as_far_apart_as_its_voxels(data, tmp_path):
    coarse = data.model_copy(update={"level": 1})
    settings = run(tmp_path, coarse, Flat(), 2 * UM, returns="map", layers=(-8, 8))
    segment = find_segments(data.root / "train", coarse)[0]
    view = map_view(of_others(settings)["m"], segment)
    assert segment.layer_um == pytest.approx(2 * UM) and view.resampling is not None
    z, y, _ = view.resampling.lines
    assert (z.first, z.step) == (0, 1) and y.step == pytest.approx(2) and view.size == (16, 31, 31)
    predict_map(settings, "m", segment, [0], tmp_path / "out")
    found = np.asarray(open_map(tmp_path / "out" / "flat.zarr", "")[0], np.float32)
    assert found.shape == segment.mask.shape and found[segment.mask].std() > 0.01

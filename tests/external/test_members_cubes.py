"""A member of others that looks at cubes window by window: its grey values' figures are those of the whole cube, and taken once."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
import torch
from torch import nn

from scroll.config.schema import Settings
from scroll.data.cubes import Cube
from scroll.data.members.card import Card
from scroll.inference.prediction_store import open_map
from stage1_3d.cubes.predict import predict_cubes
from stage1_3d.external.archives import import_graph
from stage1_3d.external.checkpoint import write_card

EDGE, WINDOW = 24, (16, 16, 16)


class Itself(nn.Module):
    """What it sees is its logit."""

    def forward(self, windows: torch.Tensor) -> torch.Tensor:
        """(B, 1, Z, Y, X), twice."""
        return windows * 1.0


@dataclass(frozen=True)
class Watched(Cube):
    """A cube that notes when all of it is looked at."""

    looks: list[str] = field(default_factory=list)

    @property
    def grey_sample(self) -> Any:
        self.looks.append(self.id)
        return super().grey_sample


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    torch.export.save(torch.export.export(Itself(), (torch.zeros(1, 1, *WINDOW),)), tmp_path / "itself.pt2")
    (tmp_path / "m").mkdir()
    card = Card.model_validate({"family": "graph", "window": (0, 0, 0), "intensity": {"how": "zscore_of_item"}})
    write_card(tmp_path / "m", import_graph(tmp_path / "itself.pt2", tmp_path / "m", card))
    content = {
        "run_dir": tmp_path / "run",
        "data": {"kind": "cubes", "root": tmp_path, "cache_dir": tmp_path / "cache", "voxel_um": 7.91},
        "stage1": {"members": {"m": {"member": tmp_path / "m"}}, "window": {"batch_size": 1}},
    }
    return Settings.model_validate(content)


def test_each_cubes_figures_are_taken_once_and_are_its_own(settings, tmp_path):
    rng, cubes = np.random.default_rng(0), []
    for number, middle in ((1, 60), (2, 180)):
        image = tmp_path / "train_images" / f"{number}.tif"
        image.parent.mkdir(exist_ok=True)
        tifffile.imwrite(image, rng.normal(middle, 20, (EDGE,) * 3).clip(0, 255).astype(np.uint8))
        cubes.append(Watched(str(number), "A", image, None, settings.data))
    predict_cubes(settings, "m", cubes, [0], tmp_path / "out")
    assert [cube.looks for cube in cubes] == [["1"], ["2"]]
    for cube in cubes:
        values = tifffile.imread(cube.image).astype(np.float64)
        expected = 1 / (1 + np.exp(-(values - values.mean()) / values.std()))
        np.testing.assert_allclose(open_map(tmp_path / "out" / cube.id / "prob.zarr", "")[:], expected, atol=2e-3)
    predict_cubes(settings, "m", cubes, [0], tmp_path / "out")
    assert [cube.looks for cube in cubes] == [["1"], ["2"]]  # what is there is not looked at again

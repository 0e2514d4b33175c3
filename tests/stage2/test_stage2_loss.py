"""Stage two learns by the loss that its settings name, and its patches carry what that loss asks for."""

from pathlib import Path

import numpy as np
import pytest
import tifffile
import torch
from PIL import Image
from torch import nn

from scroll.config.schema import DataSettings, FoldSettings, Stage2Settings
from scroll.data.folds import make_folds
from scroll.data.fragments import Fragment
from scroll.data.sample import skeleton_tube
from scroll.training.losses import loss_terms
from stage2_2d.ink.dataset import StackPatches
from stage2_2d.ink.train import loss_of


@pytest.fixture
def fragments(tmp_path: Path) -> list[Fragment]:
    ink = np.kron(np.random.default_rng(0).random((12, 10)) < 0.3, np.ones((8, 8))).astype(bool)
    for name in ("1", "2"):
        folder = tmp_path / name
        (folder / "surface_volume").mkdir(parents=True)
        for layer in range(3):
            tifffile.imwrite(folder / "surface_volume" / f"{layer:02d}.tif", np.ones(ink.shape, np.uint16))
        for file, pixels in (("mask", np.ones_like(ink)), ("inklabels", ink)):
            Image.fromarray(pixels.astype(np.uint8) * 255).save(folder / f"{file}.png")
    return [Fragment(name, tmp_path / name, DataSettings(depth=(-1, 1))) for name in ("1", "2")]


def patches_of(fragments: list[Fragment], loss: dict[str, float], is_training: bool) -> StackPatches:
    stage2 = Stage2Settings.model_validate({"patch_size": (32, 32), "loss": loss})
    stacks = [np.random.default_rng(1).standard_normal((2, 96, 80)).astype(np.float32) for _ in fragments]
    return StackPatches(fragments, stacks, make_folds(fragments, FoldSettings())[0], stage2, 3, is_training)


@pytest.mark.parametrize("is_training", [True, False])
def test_the_skeleton_is_of_the_label_as_seen_and_there_only_where_the_loss_asks_for_it(
    fragments: list[Fragment], is_training: bool
) -> None:
    asked, plain = (patches_of(fragments, loss, is_training) for loss in ({"skeleton_recall": 1}, {}))
    found = 0
    for n in range(8):
        item = asked[n]
        skeleton = item.pop("skeleton").numpy()
        assert item.keys() == plain[n].keys()
        assert all(torch.equal(item[key], plain[n][key]) for key in item)
        assert (skeleton == skeleton_tube(item["target"].numpy(), item["ignore"].numpy())).all()
        found += skeleton.sum()
    assert found


class FirstChannel(nn.Module):
    def forward(self, stack: torch.Tensor) -> torch.Tensor:
        return stack[:, :1]


def test_the_loss_is_that_of_the_settings_on_the_networks_logits(fragments: list[Fragment]) -> None:
    items = [patches_of(fragments, {"skeleton_recall": 1}, True)[n] for n in range(3)]
    batch = {key: torch.stack([item[key] for item in items]) for key in items[0]}
    values = set()
    for loss in ({}, {"fbeta": 1}, {"topology": 5}, {"skeleton_recall": 1}, {"bce": 0, "dice": 0, "cldice": 1}):
        stage2 = Stage2Settings.model_validate({"loss": loss})
        value = loss_of(stage2)(FirstChannel(), batch)
        assert value == loss_terms(batch["stack"][:, 0], batch, stage2.loss)
        values.add(value.item())
    assert len(values) == 5

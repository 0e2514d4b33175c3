"""Primus: nnU-Net's network, learns sheets of a phantom, and goes on from a checkpoint with the same bits though it passes blocks over."""

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.utils.data import Dataset

from scroll.config.schema import MemberSettings, TrainingSettings
from scroll.data.intensity import grey_scale_of, robust_z_score
from scroll.errors import InputError, UnreadableError
from scroll.phantom.cube import draw_cube
from scroll.phantom.settings import cube_settings
from scroll.training.loop import Task, fit
from stage1_3d.network import about_network, build_network
from stage1_3d.train import loss_of

PATCH = (16, 32, 32)
SMALL = MemberSettings.model_validate(
    {
        "network": "primus", "patch_size": PATCH, "supervision": "band",
        "options": {"dim": 48, "depth": 3, "heads": 2, "token_vox": [4, 4, 4], "drop_path": 0.5},
    }
)  # fmt: skip


class Patches(Dataset[dict[str, Tensor]]):
    """Boxes of a phantom cube and its sheets; box n depends on n alone, and from `broken_from` on none can be read."""

    def __init__(self, broken_from: int = 10**9, count: int = 10**6) -> None:
        cube = draw_cube(cube_settings("default", 64), (1, 0))
        self.ct = robust_z_score(cube.volume, grey_scale_of(cube.volume))
        self.label, self.broken_from, self.count = cube.label, broken_from, count

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, n: int) -> dict[str, Tensor]:
        if n >= self.broken_from:
            raise UnreadableError(f"patch {n} cannot be read")
        corner = [np.random.default_rng((n, axis)).integers(0, 65 - edge) for axis, edge in enumerate(PATCH)]
        box = tuple(slice(c, c + edge) for c, edge in zip(corner, PATCH, strict=True))
        target, ignore = torch.from_numpy(self.label[box] == 1), torch.from_numpy(self.label[box] == 2)
        return {"ct": torch.from_numpy(self.ct[box])[None], "target": target, "ignore": ignore}


def task(folder: Path, **patches: int) -> Task:
    torch.manual_seed(0)
    return Task(
        label="primus", folder=folder, key="key", seed=3, model=build_network(SMALL), loss_of=loss_of(SMALL), train=Patches(**patches),
        validation=Patches(count=2), about=about_network(SMALL), made_with={},
    )  # fmt: skip


def training(**changes: object) -> TrainingSettings:
    plain = {
        "steps": 8,
        "train_batch_size": 2,
        "warmup_steps": 1,
        "precision": "fp32",
        "checkpoint_every": 3,
        "validate_every": 4,
    }
    return TrainingSettings.model_validate(plain | changes)


def test_it_learns_the_sheets_of_a_phantom() -> None:
    torch.manual_seed(0)
    network, patches, losses = build_network(SMALL).train(), Patches(), []
    optimiser = torch.optim.AdamW(network.parameters(), lr=3e-3)
    for step in range(40):
        batch = torch.utils.data.default_collate([patches[2 * step], patches[2 * step + 1]])
        loss = loss_of(SMALL)(network, batch)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        losses.append(loss.item())
    assert np.mean(losses[-5:]) < 0.8 * np.mean(losses[:2])
    seen = torch.utils.data.default_collate([patches[1000], patches[1001]])
    with torch.no_grad():
        logits = network.eval()(seen["ct"])[:, 0]
    sheet, around = seen["target"], ~seen["target"] & ~seen["ignore"]
    assert logits[sheet].mean() > logits[around].mean() + 0.5


def test_going_on_from_a_checkpoint_passes_over_the_same_blocks(tmp_path):
    fit(task(tmp_path / "undisturbed"), training())
    with pytest.raises(InputError):
        fit(task(tmp_path / "broken", broken_from=10), training())
    assert torch.load(tmp_path / "broken" / "resume.pt", weights_only=True)["step"] == 3
    fit(task(tmp_path / "broken"), training())
    files = [(tmp_path / name / "weights.safetensors").read_bytes() for name in ("undisturbed", "broken")]
    assert files[0] == files[1]


def test_it_passes_blocks_over_while_training_and_only_then() -> None:
    torch.manual_seed(0)
    network, ct = build_network(SMALL), torch.randn(1, 1, *PATCH)
    with torch.no_grad():
        trained = [network.train()(ct) for _ in range(6)]
        plain = [network.eval()(ct) for _ in range(2)]
    assert len({logits.numpy().tobytes() for logits in trained}) > 1
    assert torch.equal(plain[0], plain[1])


def test_by_default_it_is_the_network_that_nnunet_trains() -> None:
    trainers = pytest.importorskip("nnunetv2.training.nnUNetTrainer.primus.primus_trainers")

    class Plan:
        patch_size = (16, 24, 32)

    with torch.device("meta"):
        theirs = trainers.nnUNet_Primus_S_Trainer.build_network_architecture(None, Plan, 1, 1)
        ours = build_network(MemberSettings(network="primus", patch_size=Plan.patch_size))
    shapes = [{name: tuple(t.shape) for name, t in network.state_dict().items()} for network in (theirs, ours)]
    assert shapes[0] == shapes[1]
    chances = [
        [getattr(block.drop_path1, "drop_prob", 0.0) for block in network.eva.blocks] for network in (theirs, ours)
    ]
    assert chances[0] == chances[1] and chances[0][-1] == 0.2

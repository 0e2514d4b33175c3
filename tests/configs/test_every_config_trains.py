"""Every configuration that is shipped loads, takes a training step, and at its true size its networks fit its patches."""

from importlib import import_module
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn
from torch.utils.data import default_collate

from scroll.config.schema import LossSettings, MemberSettings, Settings, Stage2Settings
from scroll.data.sample import Sample, Space, as_item
from scroll.inference.sliding_window import Sweep
from stage1_3d.models import NETWORKS
from stage1_3d.network import build_network, legal_size, load_checked_settings
from stage1_3d.train import loss_of
from stage2_2d import network as stage2_model
from stage2_2d.ink.train import loss_of as stage2_loss

FOLDER = Path(__file__).parents[2] / "configs"
SETTINGS = {path.stem: load_checked_settings(path, []) for path in sorted(FOLDER.glob("*.yaml"))}
MEMBERS = [(config, name) for config, settings in SETTINGS.items() for name in settings.stage1.members]
TINY = {
    "unetr": {"hidden_size": 24, "num_heads": 3, "mlp_dim": 24, "feature_size": 4},
    "swinunetr": {"feature_size": 12, "window_size": 3},
    "segresnet": {"filters": 4, "groups": 2},
}
TINY_SEGFORMER = {"variant": None, "depths": [1, 1, 1, 1], "hidden_sizes": [8, 8, 10, 16], "decoder_hidden_size": 8}


def tiny(member: MemberSettings) -> MemberSettings:
    """The same network, as deep and with the same strides, of few channels, for the smallest patch that it can train on."""
    module = import_module(NETWORKS[member.network])
    options = dict(member.options) | TINY.get(member.network, {})
    if "channels" in module.Options.model_fields:
        channels = module.Options.model_validate(member.options).channels
        options["channels"] = [min(width, 4) for width in channels]
    divisor = module.divisor(module.Options.model_validate(options))
    z, y, x = legal_size((4, 8, 8), divisor)
    patch = (z, y, 2 * x) if (y, x) == divisor[1:] else (z, y, x)
    return member.model_copy(update={"options": options, "patch_size": patch})


def assert_all_learn(network: nn.Module) -> None:
    assert not [name for name, p in network.named_parameters() if p.grad is None]
    assert all(p.grad.isfinite().all() for p in network.parameters())
    assert sum(float(p.grad.abs().sum()) for p in network.parameters()) > 0


def drawn_batch(
    image: tuple[int, ...], label: tuple[int, ...], space: Space, loss: LossSettings
) -> dict[str, torch.Tensor]:
    """Two patches of noise, as the dataset would hand them over."""
    rng = np.random.default_rng(0)
    samples = [
        Sample(rng.standard_normal(image, np.float32), rng.random(label) < 0.3, rng.random(label) < 0.2)
        for _ in range(2)
    ]
    batch: dict[str, torch.Tensor] = default_collate([as_item(sample, space, loss) for sample in samples])
    return batch


@pytest.mark.parametrize(("config", "name"), MEMBERS)
def test_a_member_takes_a_training_step(config: str, name: str) -> None:
    torch.manual_seed(0)
    member = tiny(SETTINGS[config].stage1.members[name])
    network = build_network(member)
    z, y, x = member.patch_size
    shape = (y, x) if member.supervision == "depth_pool" else (z, y, x)
    space = Space.SHEET if SETTINGS[config].data.kind == "fragments" else Space.SCROLL
    batch = drawn_batch((z, y, x), shape, space, member.loss)
    loss = loss_of(member)(network, batch)
    loss.backward()
    assert loss.isfinite() and loss > 0
    assert_all_learn(network)


@pytest.mark.parametrize(("config", "name"), MEMBERS)
def test_at_its_true_size_a_member_fits_its_patch(config: str, name: str) -> None:
    """On torch's meta device: shapes are worked out, numbers are not."""
    member = SETTINGS[config].stage1.members[name]
    if member.network == "swinunetr":  # its constructor looks at numbers, its forward pass does not
        network = build_network(member).to("meta")
    else:
        with torch.device("meta"):
            network = build_network(member)
    ct = torch.empty(1, 1, *member.patch_size, device="meta")
    logits = network(ct)
    assert all(level.shape == ct.shape for level in (logits if isinstance(logits, list) else [logits]))


def tiny_stage2(stage2: Stage2Settings) -> Stage2Settings:
    if stage2.network != "segformer":
        return stage2
    return stage2.model_copy(update={"options": dict(stage2.options) | TINY_SEGFORMER})


def channels_of(settings: Settings) -> int:
    """One for each member, and one for the CT where it is pooled over depth."""
    flatten = settings.stage1.flatten
    assert "layers" not in (flatten.reduce, flatten.ct)
    return len(settings.stage1.sources)


@pytest.mark.parametrize("config", SETTINGS)
class TestStage2:
    def test_it_takes_a_training_step(self, config: str) -> None:
        torch.manual_seed(0)
        channels = channels_of(SETTINGS[config])
        network = stage2_model.build_network(tiny_stage2(SETTINGS[config].stage2), channels)
        batch = drawn_batch((channels, 64, 64), (64, 64), Space.STACK, SETTINGS[config].stage2.loss)
        loss = stage2_loss(SETTINGS[config].stage2)(network, batch)
        loss.backward()
        assert loss.isfinite() and loss > 0
        assert_all_learn(network)

    def test_at_its_true_size_it_fits_its_patch(self, config: str) -> None:
        settings = SETTINGS[config]
        with torch.device("meta"):
            network = stage2_model.build_network(settings.stage2, channels_of(settings))
            stack = torch.empty(1, channels_of(settings), *settings.stage2.patch_size)
        with torch.device("meta"):  # SegFormer makes its drop-path masks on the way
            assert network(stack).shape == (1, 1, *settings.stage2.patch_size)


REFERENCE = {  # patch, patches a step on one device, workers, forward passes a step: as their users know them
    "baseline": ((64, 128, 128), 2, 8, 1),
    "exp001_3d": ((80, 144, 144), 1, 10, 1),
    "exp002_swin": ((96, 160, 160), 1, 12, 3),
    "exp001_full": ((72, 136, 136), 4, 6, 1),
}


@pytest.mark.parametrize("config", REFERENCE)
def test_a_reference_configuration_is_what_its_name_promises(config: str) -> None:
    for member in SETTINGS[config].stage1.members.values():
        training = member.training
        found = (member.patch_size, training.train_batch_size, training.loader.workers, training.accumulate_steps)
        assert found == REFERENCE[config]


def test_the_full_ensemble_is_what_its_name_promises() -> None:
    stage1 = SETTINGS["exp001_full"].stage1
    members = list(stage1.members.values())
    assert {member.network for member in members} == {"cnn3d", "unet3d", "unetr", "swinunetr", "resenc_unet"}
    for member in members:
        training, loader = member.training, member.training.loader
        assert (training.validation_batch_size, training.gradient_clip, training.optimiser) == (2, 0.8, "adamw")
        assert (loader.pin_memory, loader.start_method, loader.prefetch_factor, loader.persistent_workers) == (
            False, "spawn", 2, True,
        )  # fmt: skip
        assert member.auto_pad and member.loss.topology > 0 and member.loss.cldice > 0
    starts = Sweep((144, 344, 344), members[0].patch_size, stage1.window, (0, 344)).starts()
    assert starts == [[0, 36, 72], [0, 104, 208], [0, 104, 208]]


def test_the_winners_ensemble_has_nine_different_members() -> None:
    members = SETTINGS["winner"].stage1.members.values()
    assert len(members) == 9
    assert len({(m.network, str(m.options), m.patch_size, m.seed) for m in members}) == 9
    assert all(m.training.ema_decay > 0 and m.augment.depth_jitter > 0 and m.augment.mixup > 0 for m in members)

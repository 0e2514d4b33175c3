"""End-to-end training starts where the two passes stopped, reaches every weight of both, and refuses what cannot be trained so."""

import numpy as np
import pytest
import tifffile
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from PIL import Image
from torch import Tensor, nn

import stage1_3d.flatten
import stage2_2d.stack
from ensemble.end_to_end.dataset import EndToEndPatches
from ensemble.end_to_end.network import EndToEndNetwork, flattened, layout_of, log_odds
from ensemble.end_to_end.settings import FIXED_SIZE, check_end_to_end
from scroll.config.schema import MemberSettings, Settings
from scroll.data.folds import Fold, make_folds
from scroll.data.fragments import Fragment, find_fragments
from scroll.errors import InputError
from scroll.training.dataloader import with_augmentation_on
from stage1_3d.models import NETWORKS
from stage1_3d.network import build_network as build_stage1
from stage1_3d.network import divisor_of
from stage2_2d.ink.train import loss_of
from stage2_2d.network import build_network as build_stage2

REDUCE = ("max", "mean", "logsumexp", "topk", "layers")
DEPTH, WINDOW = 8, (-3, 3)  # of layers -4 to 4, six are flattened
PLAIN = {"brightness": 0, "contrast": 0, "noise": 0, "layer_dropout": 0, "cutout": 0}
MEMBERS = {
    "first": {"network": "cnn3d", "patch_size": (DEPTH, 32, 32), "options": {"channels": (4, 4), "dilations": (1, 1)}},
    "second": {
        "network": "unet3d",
        "patch_size": (DEPTH, 32, 32),
        "options": {"channels": (4, 8, 8), "strides": ((1, 2, 2), (2, 2, 2), (2, 2, 2))},
        "augment": PLAIN | {"depth_jitter": 2},
    },
}


def settings_of(reduce: str = "max", **changes: object) -> Settings:
    stage2 = {
        "options": {"depths": (1, 1, 1, 1), "hidden_sizes": (8, 8, 10, 16), "decoder_hidden_size": 8, "dropout": 0}
    }
    plain = {
        "run_dir": "nowhere",
        "data": {"depth": (-4, 4)},
        "folds": {"by": "region", "buffer_px": 32},
        "stage1": {"members": MEMBERS, "flatten": {"reduce": reduce, "window": WINDOW, "ct": "mean"}},
        "stage2": stage2 | {"augment": PLAIN | {"depth_jitter": 0}},
        "end_to_end": {"member": "second", "patch_size_yx": (32, 64)},
    }
    return Settings.model_validate(plain | changes)


def both_networks(settings: Settings, channels: int) -> tuple[nn.Module, nn.Module]:
    torch.manual_seed(0)
    stage1 = build_stage1(settings.stage1.members["second"])
    with torch.no_grad():
        for parameter in stage1.parameters():  # scores far from 0, so that some are clipped
            parameter.mul_(1.7)
    return stage1.eval(), build_stage2(settings.stage2, channels).eval()


def windows_of(settings: Settings) -> tuple[Tensor, Tensor, int]:
    """CT (2, Z, Y, X), stack (2, C, Y, X) without a word of what the second member says, and how many channels a member has."""
    width = 6 if settings.stage1.flatten.reduce == "layers" else 1
    rng = np.random.default_rng(1)
    ct = rng.standard_normal((2, DEPTH, 32, 64)).astype(np.float32)
    stack = rng.standard_normal((2, 2 * width + 1, 32, 64)).astype(np.float32)  # first, second, ct
    stack[:, width : 2 * width] = np.nan
    return torch.from_numpy(ct), torch.from_numpy(stack), width


@pytest.mark.parametrize("reduce", REDUCE)
def test_before_the_first_step_it_answers_as_the_two_passes_do(reduce: str) -> None:
    settings = settings_of(reduce)
    ct, stack, width = windows_of(settings)
    stage1, stage2 = both_networks(settings, stack.shape[1])
    with torch.no_grad():
        end_to_end = EndToEndNetwork(stage1, stage2, layout_of(settings))(torch.cat([ct, stack], dim=1))
        prob = torch.sigmoid(stage1(ct[:, None]))[:, 0].numpy()
        in_window = stage1_3d.flatten.depth_window(settings.stage1.flatten, settings.data.depth)
        flats = [stage1_3d.flatten.flattened(volume[in_window], reduce) for volume in prob]
        channels = stage2_2d.stack.log_odds(np.stack(flats))
        stack[:, width : 2 * width] = torch.from_numpy(channels)
        two_passes = stage2(stack)
    assert end_to_end.shape == (2, 1, 32, 64) and two_passes.std() > 0.1 and channels.std() > 0.05
    np.testing.assert_allclose(end_to_end, two_passes, atol=1e-4)


@given(
    arrays(np.float32, (2, 5, 2, 3), elements=st.floats(0, 1, width=32)),
    st.sampled_from(REDUCE),
)
def test_flattening_in_torch_is_flattening_on_disk(prob: np.ndarray, how: str) -> None:
    ours = flattened(torch.from_numpy(prob), how).numpy()
    on_disk = np.stack([stage1_3d.flatten.flattened(volume, how) for volume in prob])
    np.testing.assert_allclose(ours, on_disk, atol=1e-6)
    np.testing.assert_allclose(
        log_odds(torch.from_numpy(on_disk)).numpy(), stage2_2d.stack.log_odds(on_disk), atol=1e-5
    )


def batch_of(settings: Settings) -> dict[str, Tensor]:
    """A patch whose left half is ink, and its CT tells it in every layer; the other channels are noise."""
    ct, stack, width = windows_of(settings)
    target = torch.zeros(2, 32, 64, dtype=torch.bool)
    target[:, :, :32] = True
    ct += 2 * target[:, None]
    stack[:, width : 2 * width] = 0
    return {"stack": torch.cat([ct, stack], 1), "target": target, "ignore": torch.zeros_like(target)}


@pytest.mark.parametrize("reduce", REDUCE)
def test_gradients_reach_every_parameter_of_both_networks(reduce: str) -> None:
    settings = settings_of(reduce)
    batch = batch_of(settings)
    model = EndToEndNetwork(*both_networks(settings, batch["stack"].shape[1] - DEPTH), layout_of(settings))
    loss_of(settings.stage2)(model, batch).backward()
    without = [name for name, p in model.named_parameters() if p.grad is None]
    silent = [name for name, p in model.named_parameters() if p.ndim > 1 and not p.grad.abs().sum() > 0]
    assert not without and not silent
    assert {name.partition(".")[0] for name, _ in model.named_parameters()} == {"stage1", "stage2"}


class TwoLevels(nn.Module):
    """A network under deep supervision: the finest level's logits, and while training those of a coarser one too."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, ct: Tensor) -> Tensor | list[Tensor]:
        finest = self.network(ct)
        return [finest, torch.zeros_like(finest)] if self.training else finest


def test_of_several_levels_the_finest_is_flattened() -> None:
    settings = settings_of()
    batch = batch_of(settings)
    stage1, stage2 = both_networks(settings, batch["stack"].shape[1] - DEPTH)
    plain = EndToEndNetwork(stage1, stage2, layout_of(settings))(batch["stack"])
    levels = TwoLevels(stage1)
    levels.training = True
    assert torch.equal(EndToEndNetwork(levels, stage2, layout_of(settings))(batch["stack"]), plain)


def test_under_deep_supervision_no_parameter_is_left_without_a_gradient() -> None:
    """Training by several processes stops where one is."""
    member = MEMBERS["second"] | {"options": {**MEMBERS["second"]["options"], "deep_supervision": 1}}
    settings = settings_of(stage1=settings_of().stage1.model_dump() | {"members": MEMBERS | {"second": member}})
    batch = batch_of(settings)
    model = EndToEndNetwork(*both_networks(settings, batch["stack"].shape[1] - DEPTH), layout_of(settings)).train()
    assert len(model.stage1(batch["stack"][:, None, :DEPTH])) == 2
    loss_of(settings.stage2)(model, batch).backward()
    assert not [name for name, p in model.named_parameters() if p.grad is None]


def test_a_few_steps_lower_the_loss_and_move_both_networks() -> None:
    settings = settings_of("logsumexp")
    batch = batch_of(settings)
    model = EndToEndNetwork(*both_networks(settings, batch["stack"].shape[1] - DEPTH), layout_of(settings))
    before = {name: p.detach().clone() for name, p in model.named_parameters()}
    optimiser = torch.optim.AdamW(model.parameters(), lr=3e-3)
    losses = []
    for _ in range(12):
        optimiser.zero_grad()
        value = loss_of(settings.stage2)(model, batch)
        value.backward()
        optimiser.step()
        losses.append(value.item())
    assert losses[-1] < 0.9 * losses[0]
    moved = {name for name, p in model.named_parameters() if not torch.equal(p, before[name])}
    assert {name for name in before if name.endswith("weight")} <= moved


@pytest.fixture(scope="module")
def fragments(tmp_path_factory: pytest.TempPathFactory) -> list[Fragment]:
    """Two fragments, 16 x 160 x 96, whose voxels tell their layer (thousands) and whether their column is ink (100)."""
    root = tmp_path_factory.mktemp("end_to_end")
    rng = np.random.default_rng(0)
    for name in ("1", "2"):
        folder = root / "train" / name
        (folder / "surface_volume").mkdir(parents=True)
        ink = np.kron(rng.random((20, 12)) < 0.3, np.ones((8, 8))).astype(bool)
        for layer in range(16):
            grey = 20_000 + 1000 * layer + 100 * ink
            tifffile.imwrite(folder / "surface_volume" / f"{layer:02d}.tif", grey.astype(np.uint16))
        mask = np.ones((160, 96), dtype=bool)
        mask[:, :8] = False
        for file, pixels in (("mask", mask), ("inklabels", ink)):
            Image.fromarray(pixels.astype(np.uint8) * 255).save(folder / f"{file}.png")
    data = settings_of().data.model_copy(update={"root": root, "cache_dir": root / "cache"})
    return find_fragments(root / "train", data, margin=2)


def patches_of(
    fragments: list[Fragment], is_training: bool = True, **end_to_end: object
) -> tuple[EndToEndPatches, Fold]:
    """Stacks of two channels: what is written at each pixel, and the pixel's row."""
    settings = settings_of(end_to_end={"member": "second", "patch_size_yx": (32, 32)} | end_to_end)
    rows = np.broadcast_to(np.arange(160, dtype=np.float32)[:, None], (160, 96))
    stacks = [np.stack([f.label.target.astype(np.float32), rows]) for f in fragments]
    fold = make_folds(fragments, settings.folds)[1]
    return EndToEndPatches(settings, fragments, stacks, fold, is_training), fold


def test_ct_stack_and_label_of_a_patch_are_of_the_same_place(fragments: list[Fragment]) -> None:
    patches, _ = patches_of(fragments)
    middle, spread = fragments[0].grey_scale
    first_layers, turned = set(), set()
    for n in range(60):
        item = patches[n]
        grey = np.rint(item["stack"][:DEPTH].numpy().astype(np.float64) * spread + middle)
        target, ignore = item["target"].numpy(), item["ignore"].numpy()
        assert item["stack"].shape == (DEPTH + 2, 32, 32) and target.shape == ignore.shape == (32, 32)
        known = ~ignore
        assert (np.abs(grey % 1000 - 100 * target)[:, known] <= 3).all()
        assert np.array_equal(item["stack"][DEPTH].numpy()[known] > 0, target[known])
        layers = grey[:, 0, 0] // 1000 - 20
        assert np.array_equal(layers, layers[0] + np.arange(DEPTH))
        first_layers.add(int(layers[0]))
        rows = item["stack"][DEPTH + 1].numpy()
        turned.add((float(rows[1, 0] - rows[0, 0]), float(rows[0, 1] - rows[0, 0])))
    assert first_layers == {2, 3, 4, 5, 6}  # 4 is the window's own first layer, 2 the jitter
    assert turned == {(1, 0), (-1, 0), (0, 1), (0, -1)}


def test_training_patches_keep_off_the_closed_rows_and_validation_ones_stay_within_the_held_out_ones(
    fragments: list[Fragment],
) -> None:
    for is_training in (True, False):
        patches, fold = patches_of(fragments, is_training)
        for n in range(60):
            rows = {int(row) for row in np.unique(patches[n]["stack"][DEPTH + 1].numpy())}
            assert len(rows) == 32
            assert not rows & {*range(*fold.closed["1"])} if is_training else rows <= {*range(*fold.held_out["1"])}
    assert len(patches) == settings_of().end_to_end.training.validation_patches


def test_patch_n_is_the_same_whatever_was_asked_before_and_another_seed_gives_others(fragments: list[Fragment]) -> None:
    in_order = [patches_of(fragments)[0][n]["stack"].numpy().tobytes() for n in range(6)]
    again, _ = patches_of(fragments)
    assert [again[n]["stack"].numpy().tobytes() for n in reversed(range(6))] == in_order[::-1]
    assert len(set(in_order)) == 6
    assert patches_of(fragments, seed=1)[0][0]["stack"].numpy().tobytes() != in_order[0]


def test_its_patches_are_augmented_where_they_are_cut_whatever_is_asked_for(fragments: list[Fragment]) -> None:
    patches, _ = patches_of(fragments, training={"augment_on": "device"})
    assert with_augmentation_on(patches, "device", torch.device("cpu")) is patches


REFUSED = {
    "unset": ({"end_to_end": None}, r"end_to_end is not set; .*end_to_end: \{member: first\}"),
    "segments": ({"data": {"kind": "segments"}}, r"data\.kind is segments; remove end_to_end"),
    "no member": ({"end_to_end": {"member": "secnd"}}, r"'secnd' is no member of stage one; did you mean 'second'\?"),
    "half a window": ({"data": {"depth": (-8, 8)}}, r"'second': its patch is 8 layers deep, .* the 16 layers of data\.depth"),
    "patch": (
        {"end_to_end": {"member": "second", "patch_size_yx": (48, 64)}},
        r"\(48, 64\) does not suit 'unet3d' .* multiples of \(32, 32\); nearest: \(32, 64\) or \(64, 64\)",
    ),
    "fixed": (
        {"stage1": {"members": {"second": {"network": "unetr", "patch_size": (16, 32, 32)}}}, "data": {"depth": (-8, 8)}},
        r"'unetr' takes patches of \(32, 32\) \(y, x\) only",
    ),
    "padded": (
        {"stage1": {"members": {"second": MEMBERS["second"] | {"patch_size": (DEPTH, 30, 32), "auto_pad": True}}}},
        r"\(8, 30, 32\) are padded \(auto_pad\)",
    ),
}  # fmt: skip


@pytest.mark.parametrize("why", REFUSED)
def test_what_cannot_be_chained_is_refused_in_one_line(why: str) -> None:
    changes, message = REFUSED[why]
    with pytest.raises(InputError, match=message) as refusal:
        check_end_to_end(settings_of(**changes))
    assert "\n" not in str(refusal.value)


def test_its_channel_is_counted_among_those_that_stage_two_sees() -> None:
    unseen = {"theirs": {"member": "members/theirs", "weight": "equal_share"}} | MEMBERS
    alone, beside = settings_of(), settings_of(stage1={"members": unseen})
    assert layout_of(beside).replaced == layout_of(alone).replaced == slice(1, 2)
    unseen = MEMBERS | {"second": MEMBERS["second"] | {"weight": "equal_share"}}
    with pytest.raises(
        InputError, match=r"'second' has an equal share, so stage two does not see it; give one that is fitted"
    ):
        check_end_to_end(settings_of(stage1={"members": unseen}))


def test_what_can_be_chained_is_not_refused() -> None:
    check_end_to_end(settings_of())
    unetr = {"second": {"network": "unetr", "patch_size": (16, 64, 32)}}
    end_to_end = {"member": "second", "patch_size_yx": (64, 32)}
    check_end_to_end(settings_of(stage1={"members": unetr}, data={"depth": (-8, 8)}, end_to_end=end_to_end))


@pytest.mark.parametrize("network", NETWORKS)
def test_only_the_networks_said_to_be_fixed_have_weights_that_depend_on_the_patch(network: str) -> None:
    options = (
        {"feature_size": 12} if network == "swinunetr" else {}
    )  # its builder looks into tensors: no meta device for it
    divisor = divisor_of(MemberSettings(network=network, options=options))
    shapes = []
    for times in (2, 3):
        z, y, x = (d * times * (32 // d if d < 32 else 1) for d in divisor)
        with torch.device("cpu" if options else "meta"):
            built = build_stage1(MemberSettings(network=network, options=options, patch_size=(z, y, x)))
        shapes.append({name: tuple(tensor.shape) for name, tensor in built.state_dict().items()})
    is_fixed = (
        shapes[0] != shapes[1] or network == "timesformer"
    )  # its 16 logits are fields of the patch, however large
    assert is_fixed == (network in FIXED_SIZE)

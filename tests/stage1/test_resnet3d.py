"""The 3D ResNet has the names and shapes that others have on disk, and does the arithmetic that plain loops do."""

import numpy as np
import pytest
import torch

from stage1_3d.models.resnet3d import NOT_BUILT, Options, build
from stage1_3d.models.resnet3d_decoders import AttentionDecoder, MaximumDecoder
from stage1_3d.models.resnet3d_encoder import Encoder


def on_meta(depth: int, **options: object) -> dict[str, tuple[int, ...]]:
    """Names and shapes of a network at its full width, without its numbers."""
    with torch.device("meta"):
        network = build(Options(depth=depth, **options), (30, 64, 64))
    return {name: tuple(tensor.shape) for name, tensor in network.state_dict().items()}


@pytest.mark.parametrize(
    (
        "depth",
        "tensors",
    ),  # a bottleneck has 3 convolutions and 3 normalisations of 5; a smaller block 2; a projection is 6
    [
        (18, (2 * 12, 2 * 12 + 6, 2 * 12 + 6, 2 * 12 + 6)),
        (34, (3 * 12, 4 * 12 + 6, 6 * 12 + 6, 3 * 12 + 6)),
        (50, (3 * 18 + 6, 4 * 18 + 6, 6 * 18 + 6, 3 * 18 + 6)),
        (101, (3 * 18 + 6, 4 * 18 + 6, 23 * 18 + 6, 3 * 18 + 6)),
        (152, (3 * 18 + 6, 8 * 18 + 6, 36 * 18 + 6, 3 * 18 + 6)),
        (200, (3 * 18 + 6, 24 * 18 + 6, 36 * 18 + 6, 3 * 18 + 6)),
    ],
)
def test_each_stage_has_as_many_tensors_as_its_blocks_make(depth: int, tensors: tuple[int, ...]) -> None:
    names = on_meta(depth)
    found = tuple(sum(name.startswith(f"backbone.layer{stage}.") for name in names) for stage in (1, 2, 3, 4))
    assert found == tensors
    assert (
        len(names) == 6 + sum(tensors) + 20
    )  # stem; three convolutions with normalisation, and weight and bias of the logit


@pytest.mark.parametrize("depth", [50, 101, 152, 200])
def test_names_and_channels_are_those_that_others_have_on_disk(depth: int) -> None:
    last = {50: 5, 101: 22, 152: 35, 200: 35}[depth]  # block of the third stage
    expected = {
        "backbone.conv1.weight": (64, 1, 7, 7, 7),
        "backbone.bn1.running_mean": (64,),
        "backbone.layer1.0.conv1.weight": (64, 64, 1, 1, 1),
        "backbone.layer1.0.conv2.weight": (64, 64, 3, 3, 3),
        "backbone.layer1.0.conv3.weight": (256, 64, 1, 1, 1),
        "backbone.layer1.0.downsample.0.weight": (256, 64, 1, 1, 1),
        "backbone.layer1.0.downsample.1.num_batches_tracked": (),
        "backbone.layer1.1.conv1.weight": (64, 256, 1, 1, 1),
        "backbone.layer2.0.downsample.0.weight": (512, 256, 1, 1, 1),
        "backbone.layer3.0.conv2.weight": (256, 256, 3, 3, 3),
        f"backbone.layer3.{last}.bn3.weight": (1024,),
        "backbone.layer4.2.conv3.weight": (2048, 512, 1, 1, 1),
        "decoder.convs.0.0.weight": (256, 256 + 512, 3, 3),
        "decoder.convs.1.0.weight": (512, 512 + 1024, 3, 3),
        "decoder.convs.2.0.weight": (1024, 1024 + 2048, 3, 3),
        "decoder.convs.2.1.running_var": (1024,),
        "decoder.logit.weight": (1, 256, 1, 1),
        "decoder.logit.bias": (1,),
    }
    found = on_meta(depth)
    assert expected.items() <= found.items()
    assert not [name for name in found if name.startswith((*NOT_BUILT, "normalization."))]
    assert (
        f"backbone.layer3.{last + 1}.conv1.weight" not in found and "backbone.layer1.1.downsample.0.weight" not in found
    )
    more = on_meta(depth, input_norm=True).items() - found.items()
    assert dict(more) == {"normalization.num_batches_tracked": ()} | {
        f"normalization.{name}": (1,) for name in ("weight", "bias", "running_mean", "running_var")
    }


def test_with_attention_the_names_are_those_of_the_shared_checkpoint_of_978_tensors() -> None:
    found = on_meta(152, decoder="3d", input_norm=True)
    assert len(found) == 978 - 2 - 4  # less the classes of Kinetics, and two heads that only its training used
    widths = {"channel_reduce.0": (64, 256), "channel_reduce.1": (128, 512), "channel_reduce.2": (256, 1024)}
    widths |= {"channel_reduce.3": (512, 2048)}
    for name, shape in widths.items():
        assert found[f"decoder.{name}.0.weight"] == (*shape, 1, 1, 1)
        assert found[f"decoder.{name}.1.bias"] == shape[:1]
    for number, (coarse, fine) in enumerate([(512, 256), (256, 128), (128, 64)]):
        block = f"decoder.decoder_blocks.{number}"
        assert found[f"{block}.conv1.weight"] == (fine, fine + coarse, 3, 3, 3)
        assert found[f"{block}.conv2.weight"] == (fine, fine, 3, 3, 3)
        assert found[f"{block}.gn1.weight"] == found[f"{block}.gn2.bias"] == (fine,)
        assert found[f"{block}.shortcut.weight"] == (fine, fine + coarse, 1, 1, 1)
    assert found["decoder.depth_collapse.attn_conv.weight"] == (1, 64, 1, 1, 1)
    assert found["decoder.depth_collapse.attn_conv.bias"] == (1,)
    assert found["decoder.logit.weight"] == (1, 64, 1, 1)


def test_the_first_stage_keeps_every_layer_and_each_later_one_every_second() -> None:
    with torch.device("meta"):
        stages = Encoder((1, 1, 1, 1), (2, 4, 8, 16), is_bottleneck=True)(torch.empty(1, 1, 26, 64, 96))
    assert [tuple(stage.shape[1:]) for stage in stages] == [
        (8, 26, 16, 24), (16, 13, 8, 12), (32, 7, 4, 6), (64, 4, 2, 3)
    ]  # fmt: skip


def doubled(image: np.ndarray) -> np.ndarray:
    """(C, Y, X) at twice the size: each new pixel a quarter from its nearest old one towards the next, edges repeated."""
    for axis in (1, 2):
        old = np.moveaxis(image, axis, -1)
        before = np.concatenate([old[..., :1], old[..., :-1]], -1)
        after = np.concatenate([old[..., 1:], old[..., -1:]], -1)
        new = np.stack([0.75 * old + 0.25 * before, 0.75 * old + 0.25 * after], -1).reshape(*old.shape[:-1], -1)
        image = np.moveaxis(new, -1, axis)
    return image


def convolved(image: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """(C, Y, X) by (K, C, 3, 3), zeros around it -> (K, Y, X)."""
    padded = np.pad(image, ((0, 0), (1, 1), (1, 1)))
    sums = np.zeros((len(weight), *image.shape[1:]))
    for y in range(image.shape[1]):
        for x in range(image.shape[2]):
            sums[:, y, x] = (weight * padded[:, y : y + 3, x : x + 3]).sum((1, 2, 3))
    return sums


def test_the_decoders_arithmetic_is_that_of_plain_loops() -> None:
    torch.manual_seed(0)
    decoder = MaximumDecoder((2, 3, 4, 5)).double().eval()
    stages = [
        torch.randn(1, c, z, 8 // s, 16 // s).double() for c, z, s in [(2, 5, 1), (3, 3, 2), (4, 2, 4), (5, 1, 8)]
    ]
    with torch.no_grad():
        for buffer in decoder.buffers():
            if buffer.is_floating_point():
                buffer.uniform_(0.5, 1.5)
        found = decoder(stages)[0].numpy()
    weights = {name: tensor.numpy() for name, tensor in decoder.state_dict().items()}
    *finer, image = [stage[0].numpy().max(1) for stage in stages]
    for level in (2, 1, 0):
        image = np.concatenate([finer[level], doubled(image)])
        image = convolved(image, weights[f"convs.{level}.0.weight"])
        mean, var, scale, shift = (
            weights[f"convs.{level}.1.{name}"][:, None, None]
            for name in ("running_mean", "running_var", "weight", "bias")
        )
        image = np.maximum((image - mean) / np.sqrt(var + 1e-5) * scale + shift, 0)
    expected = np.einsum("c,cyx->yx", weights["logit.weight"][0, :, 0, 0], image) + weights["logit.bias"][0]
    np.testing.assert_allclose(found[0], expected, atol=1e-12)


def test_attention_over_depth_is_a_mean_weighted_by_a_softmax() -> None:
    torch.manual_seed(0)
    collapse = AttentionDecoder((2, 2, 2, 2), (4, 4, 4, 4)).depth_collapse
    features = torch.randn(1, 4, 5, 2, 3)
    with torch.no_grad():
        found = collapse(features)[0].numpy()
    weight, bias = collapse.attn_conv.weight.detach().numpy()[0, :, 0, 0, 0], collapse.attn_conv.bias.detach().numpy()
    voxels = features[0].numpy()  # (C, Z, Y, X)
    scores = np.exp(np.einsum("c,czyx->zyx", weight, voxels) + bias)
    np.testing.assert_allclose(found, (voxels * scores / scores.sum(0)).sum(1), atol=1e-6)

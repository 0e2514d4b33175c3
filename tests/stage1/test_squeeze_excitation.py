"""Squeeze and excitation by channel and by place: as worked by hand and by a slow reference, and nothing where it is not asked for."""

import numpy as np
import pytest
import torch

from scroll.config.schema import MemberSettings
from stage1_3d.models.squeeze_excitation import ChannelSE, ChannelSpatialSE, squeezed_channels
from stage1_3d.network import about_network, build_network

LEVELS = {"channels": [4, 8, 8], "strides": [[1, 1, 1], [2, 2, 2], [2, 2, 2]], "blocks": [1, 2, 1]}


def sigmoid(x: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-x))


def member(**options: object) -> MemberSettings:
    return MemberSettings(network="resenc_unet", options=LEVELS | options, patch_size=(8, 16, 16))


def test_worked_by_hand() -> None:
    """Channels of 1, 3 and of 2, 2: means 2 and 2. One channel within sees 2 - 1 = 1, the other seven nothing."""
    both = ChannelSpatialSE(2, 16)
    with torch.no_grad():
        for parameter in both.parameters():
            parameter.zero_()
        both.cSE.fc1.weight[0, 0] = 1.0  # the first mean
        both.cSE.fc1.bias[0] = -1.0
        both.cSE.fc2.weight[1, 0] = np.log(3)  # the second channel's share is 3 / 4, the first one's 1 / 2
        both.sSE.conv.weight[0, 0] = np.log(
            3
        )  # a place's share is 3 / 4 where the first channel is 1, 27 / 28 where it is 3
        found = both(torch.tensor([[1.0, 3.0], [2.0, 2.0]]).reshape(1, 2, 1, 1, 2)).reshape(2, 2)
    expected = [[1 * (1 / 2 + 3 / 4), 3 * (1 / 2 + 27 / 28)], [2 * (3 / 4 + 3 / 4), 2 * (3 / 4 + 27 / 28)]]
    np.testing.assert_allclose(found, expected, rtol=1e-6)


def test_as_a_slow_reference_has_it() -> None:
    torch.manual_seed(0)
    channels, within = 20, squeezed_channels(20, 2)
    both, features = ChannelSpatialSE(channels, 2), torch.randn(2, channels, 3, 4, 5)
    with torch.no_grad():
        found = both(features).numpy()
    one, two, place = (
        (layer.weight.detach().numpy().reshape(layer.weight.shape[:2]), layer.bias.detach().numpy())
        for layer in (both.cSE.fc1, both.cSE.fc2, both.sSE.conv)
    )
    assert one[0].shape == (within, channels) == (8, 20)
    for sample, x in enumerate(features.numpy()):
        means = np.array([x[c].sum() / (3 * 4 * 5) for c in range(channels)])
        shares = sigmoid(two[0] @ np.maximum(one[0] @ means + one[1], 0) + two[1])
        for at in np.ndindex(3, 4, 5):
            voxel = x[:, *at]
            expected = voxel * shares + voxel * sigmoid(place[0][0] @ voxel + place[1][0])
            np.testing.assert_allclose(found[sample][:, *at], expected, atol=1e-5)


def test_the_weighing_by_channel_looks_along_all_three_axes() -> None:
    """The library's looks along z and y alone."""
    torch.manual_seed(0)
    weighing = ChannelSE(8, 16)
    with torch.no_grad():
        features = torch.rand(1, 8, 4, 4, 4) + torch.arange(4) + 1.0  # brighter along x
        ratio = weighing(features) / features
    assert (ratio - ratio.mean((2, 3, 4), keepdim=True)).abs().max() < 1e-6


@pytest.mark.parametrize(("kind", "more"), [("channel", 4), ("scse", 6)])
def test_every_block_of_the_encoder_is_weighed_and_no_other_name_changes(kind: str, more: int) -> None:
    plain, weighed = (build_network(member(squeeze_excitation=k)).state_dict() for k in ("none", kind))
    assert plain.keys() <= weighed.keys() and len(weighed) - len(plain) == more * sum(LEVELS["blocks"])
    assert all(".squeeze_excitation." in name for name in weighed.keys() - plain.keys())


def test_what_is_stored_with_the_weights_is_as_before_where_it_is_not_asked_for() -> None:
    assert not {"squeeze_excitation", "squeeze_reduction"} & about_network(member())["options"].keys()
    stored = about_network(member(squeeze_excitation="scse", squeeze_reduction=4))["options"]
    assert (stored["squeeze_excitation"], stored["squeeze_reduction"]) == ("scse", 4)


@pytest.mark.parametrize(
    ("channels", "reduction", "within"),
    [(32, 16, 8), (320, 16, 24), (256, 16, 16), (64, 4, 16), (4, 16, 8), (100, 3, 32)],
)
def test_channels_within_are_multiples_of_eight(channels: int, reduction: int, within: int) -> None:
    from dynamic_network_architectures.building_blocks.regularization import SqueezeExcite

    assert squeezed_channels(channels, reduction) == within
    assert SqueezeExcite(channels, torch.nn.Conv3d, rd_ratio=1 / reduction).fc1.out_channels == within

"""The loss of a member: pooled over depth or not, over one head or several, with the terms its settings name."""

import math

import pytest
import torch
from torch import nn

from scroll.config.schema import MemberSettings
from scroll.training.losses import loss_terms, pool_depth
from stage1_3d.train import loss_of


class Heads(nn.Module):
    """A network with heads as the contract has it: in training a list of logits (B, 1, Z, Y, X), finest first, else a tensor."""

    def __init__(self, count: int) -> None:
        super().__init__()
        self.scales = nn.Parameter(torch.tensor([1.0, -2.0, 3.0][:count]))

    def forward(self, ct: torch.Tensor) -> torch.Tensor | list[torch.Tensor]:
        heads = [ct * scale for scale in self.scales]
        return heads if self.training else heads[0]


class OneHead(nn.Module):
    def forward(self, ct: torch.Tensor) -> torch.Tensor:
        return ct


def member(**changes: object) -> MemberSettings:
    return MemberSettings.model_validate({"network": "cnn3d", **changes})


def batch_of(supervision: str) -> dict[str, torch.Tensor]:
    torch.manual_seed(0)
    shape = (2, 6, 8, 8) if supervision == "band" else (2, 8, 8)
    target = torch.rand(shape) < 0.3
    return {
        "ct": torch.randn(2, 1, 6, 8, 8),
        "target": target,
        "ignore": torch.rand(shape) < 0.2,
        "skeleton": target & (torch.rand(shape) < 0.5),
    }


def pooled(logits: torch.Tensor, supervision: str) -> torch.Tensor:
    return pool_depth(logits[:, 0], "logsumexp") if supervision == "depth_pool" else logits[:, 0]


@pytest.mark.parametrize("supervision", ["depth_pool", "band"])
def test_one_head_is_pooled_as_asked_and_has_the_loss_of_its_settings(supervision: str) -> None:
    batch = batch_of(supervision)
    wanted = member(supervision=supervision, pool="logsumexp", loss={"fbeta": 0.3, "topology": 2, "skeleton_recall": 1})
    expected = loss_terms(pooled(batch["ct"], supervision), batch, wanted.loss)
    assert loss_of(wanted)(OneHead(), batch) == expected
    assert loss_of(wanted)(Heads(3).eval(), batch) == expected
    assert expected != loss_of(wanted.model_copy(update={"loss": member().loss}))(OneHead(), batch)


@pytest.mark.parametrize("supervision", ["depth_pool", "band"])
def test_three_heads_weigh_four_two_and_one_sevenths_each_pooled_by_itself(supervision: str) -> None:
    batch, wanted = batch_of(supervision), member(supervision=supervision, pool="logsumexp")
    losses = [float(loss_terms(pooled(batch["ct"] * s, supervision), batch, wanted.loss)) for s in (1, -2, 3)]
    by_hand = (4 * losses[0] + 2 * losses[1] + losses[2]) / 7
    assert loss_of(wanted)(Heads(3), batch).item() == pytest.approx(by_hand, rel=1e-6)


def test_two_heads_by_hand() -> None:
    """Logits 1 and -2 against ink: 2/3 of ln(1 + 1/e) and 1/3 of ln(1 + e^2); the finest head misses nothing."""
    ones = {"ct": torch.ones(1, 1, 2, 3, 3), "target": torch.ones(1, 3, 3), "ignore": torch.zeros(1, 3, 3).bool()}
    wanted = member(loss={"bce": 1, "dice": 0, "topology": 5})
    expected = 2 / 3 * math.log(1 + math.exp(-1)) + 1 / 3 * math.log(1 + math.exp(2))
    assert loss_of(wanted)(Heads(2), ones).item() == pytest.approx(expected, rel=1e-6)


def test_every_head_learns_from_the_region_and_only_the_finest_from_the_shape() -> None:
    batch = batch_of("depth_pool")
    gradients = []
    for loss in ({}, {"cldice": 1, "topology": 1, "skeleton_recall": 1}):
        network = Heads(3)
        loss_of(member(loss=loss))(network, batch).backward()
        gradients.append(network.scales.grad)
    assert (gradients[0] != 0).all()
    assert gradients[0][0] != gradients[1][0]
    torch.testing.assert_close(gradients[0][1:], gradients[1][1:])

"""Losses: hand-worked values, no gradient from what nobody knows, and pooling that leaves a constant alone."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from scroll.errors import InputError
from scroll.losses import dice_bce, pool_depth

HOWS = ["max", "mean", "logsumexp", "topk"]
finite = st.floats(-20, 20, width=32)


@st.composite
def batches(draw):
    shape = draw(st.tuples(st.integers(1, 3), st.integers(1, 4), st.integers(1, 4)))
    logits = torch.from_numpy(draw(arrays(np.float32, shape, elements=finite)))
    target, ignore = (torch.from_numpy(draw(arrays(bool, shape))) for _ in range(2))
    return logits, target, ignore


def none_ignored(tensor: torch.Tensor) -> torch.Tensor:
    return torch.zeros_like(tensor, dtype=torch.bool)


def test_a_loss_worked_by_hand():
    """Logits 0, 0 are probabilities 1/2, 1/2; one of the two voxels is ink."""
    logits, target = torch.zeros(1, 2), torch.tensor([[True, False]])
    bce, dice = math.log(2), (2 * 0.5 + 1) / (1 + 1 + 1)
    for share in (0.0, 0.25, 0.5, 1.0):
        loss = dice_bce(logits, target, none_ignored(logits), share)
        assert float(loss) == pytest.approx((1 - share) * bce + share * (1 - dice), abs=1e-6)


def test_a_third_voxel_that_nobody_knows_changes_nothing():
    logits, target = torch.tensor([[0.0, 0.0, 9.0]]), torch.tensor([[True, False, False]])
    ignore = torch.tensor([[False, False, True]])
    assert dice_bce(logits, target, ignore) == dice_bce(logits[:, :2], target[:, :2], ignore[:, :2])


def test_dice_is_summed_over_the_whole_batch():
    """A patch without ink, rightly predicted, must not count as a perfect half of the batch's Dice."""
    logits = torch.tensor([[30.0, 30.0], [-30.0, -30.0]])
    target = torch.tensor([[True, False], [False, False]])
    assert float(dice_bce(logits, target, none_ignored(logits), 1.0)) == pytest.approx(1 - 3 / 4, abs=1e-6)


@given(batches())
def test_the_loss_is_finite_positive_and_small_for_the_truth(batch):
    logits, target, ignore = batch
    assert math.isfinite(dice_bce(logits, target, ignore)) and dice_bce(logits, target, ignore) >= 0
    assert float(dice_bce(torch.where(target, 20.0, -20.0), target, ignore)) < 1e-6


@given(batches())
def test_what_is_ignored_gets_a_gradient_of_exactly_zero_and_all_else_some(batch):
    logits, target, ignore = batch
    logits.requires_grad_()
    dice_bce(logits, target, ignore).backward()
    assert torch.isfinite(logits.grad).all()
    assert (logits.grad[ignore] == 0).all()
    steep = ~ignore & (logits.detach().abs() < 5)
    assert (logits.grad[steep] != 0).all()


@given(batches(), st.floats(-1e4, 1e4))
def test_the_loss_does_not_look_at_what_is_ignored(batch, other):
    logits, target, ignore = batch
    changed = torch.where(ignore, torch.full_like(logits, other), logits)
    assert dice_bce(logits, target, ignore) == dice_bce(changed, target ^ ignore, ignore)


def test_nothing_known_is_no_loss_and_no_gradient():
    logits = torch.randn(2, 3, 3, requires_grad=True)
    everything = torch.ones(2, 3, 3, dtype=torch.bool)
    loss = dice_bce(logits, everything, everything)
    loss.backward()
    assert float(loss.detach()) == 0 and (logits.grad == 0).all()


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_logits_are_summed_in_full_precision(dtype):
    logits = torch.zeros(70_000, dtype=dtype)  # more than float16 can count to
    loss = dice_bce(logits, logits.bool(), none_ignored(logits), 0.0)
    assert loss.dtype == torch.float32 and float(loss) == pytest.approx(math.log(2), rel=1e-5)


@pytest.mark.parametrize("how", HOWS)
@given(value=finite, layers=st.integers(1, 9))
def test_a_constant_stays_itself_through_every_pooling(how, value, layers):
    pooled = pool_depth(torch.full((2, layers, 3, 4), value), how)
    assert pooled.shape == (2, 3, 4)
    torch.testing.assert_close(pooled, torch.full((2, 3, 4), value), atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("how", HOWS)
@given(values=arrays(np.float32, (5, 2, 2), elements=finite), order=st.permutations(range(5)))
def test_pooling_lies_between_mean_and_maximum_and_knows_no_order(how, values, order):
    scores = torch.from_numpy(values)
    pooled = pool_depth(scores, how)
    assert (pooled <= scores.amax(0) + 1e-4).all() and (pooled >= scores.mean(0) - 1e-4).all()
    torch.testing.assert_close(pool_depth(scores[list(order)], how), pooled, atol=1e-4, rtol=1e-5)


def test_poolings_by_hand():
    scores = torch.tensor([0.0, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0]).reshape(8, 1, 1)
    expected = {"max": 7, "mean": 3.5, "topk": 6.5, "logsumexp": math.log(sum(math.exp(i) for i in range(8)) / 8)}
    assert {how: pytest.approx(float(pool_depth(scores, how)), rel=1e-6) for how in HOWS} == expected


def test_an_unknown_pooling_lists_the_known_ones():
    with pytest.raises(InputError, match="unknown depth pooling 'median'; there are max, mean, logsumexp, topk"):
        pool_depth(torch.zeros(2, 2, 2), "median")

"""Losses: hand-worked values, no gradient from what nobody knows, and pooling that leaves a constant alone."""

import math
from functools import partial

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from scroll.config.schema import LossSettings
from scroll.errors import InputError
from scroll.training import losses
from scroll.training.losses import loss_of_heads, loss_terms, pool_depth

HOWS = ["max", "mean", "logsumexp", "topk"]
NAMES = ["bce", "dice", "fbeta", "cldice", "skeleton_recall", "topology"]
NOTHING = dict.fromkeys(NAMES, 0.0)
finite = st.floats(-20, 20, width=32)
some = settings(max_examples=40, deadline=None)  # the first clDice waits for MONAI, the first topology for numba


def only(name: str, share: float = 1.0, **others: float) -> LossSettings:
    return LossSettings.model_validate({**NOTHING, name: share, **others})


def batch_of(target: torch.Tensor, ignore: torch.Tensor | None = None) -> dict[str, torch.Tensor]:
    ignore = torch.zeros_like(target, dtype=torch.bool) if ignore is None else ignore
    return {"target": target, "ignore": ignore, "skeleton": target > 0.5}


def old_dice_bce(logits, target, ignore, dice_share):
    """What the losses were before they had terms; runs and figures of the documentation rest on it."""
    known = (~ignore).float()
    bce = torch.nn.functional.binary_cross_entropy_with_logits(
        logits, target.float(), weight=known, reduction="sum"
    ) / known.sum().clamp(min=1)
    prob, wanted = torch.sigmoid(logits) * known, target.float() * known
    dice = (2 * (prob * wanted).sum() + 1) / (prob.sum() + wanted.sum() + 1)
    return (1 - dice_share) * bce + dice_share * (1 - dice)


@st.composite
def batches(draw, is_soft=True):
    """Logits and a batch, (B, Y, X) or (B, Z, Y, X), the target bool or float."""
    shape = draw(st.lists(st.integers(1, 4), min_size=3, max_size=4).map(tuple))
    logits = torch.from_numpy(draw(arrays(np.float32, shape, elements=finite)))
    soft = arrays(np.float32, shape, elements=st.floats(0, 1, width=32))
    target = torch.from_numpy(draw(soft if is_soft and draw(st.booleans()) else arrays(bool, shape)))
    return logits, batch_of(target, torch.from_numpy(draw(arrays(bool, shape))))


@given(batches())
def test_the_default_loss_and_its_gradient_are_those_of_old_bit_for_bit(made):
    logits, batch = made
    ours, old = logits.clone().requires_grad_(), logits.clone().requires_grad_()
    for share in (0.5, 1.0, 0.25):
        loss = loss_terms(ours, batch, only("bce", 1 - share, dice=share))
        before = old_dice_bce(old, batch["target"], batch["ignore"], share)
        assert loss.item() == before.item()
    loss.backward()
    before.backward()
    torch.testing.assert_close(ours.grad, old.grad, atol=1e-7, rtol=1e-6)
    assert LossSettings() == only("bce", 0.5, dice=0.5)


@pytest.mark.parametrize("name", NAMES)
@some
@given(batches())
def test_what_is_ignored_gets_a_gradient_of_exactly_zero(name, made):
    logits, batch = made
    loss = loss_terms(logits.requires_grad_(), batch, only(name))
    loss.backward()
    assert math.isfinite(loss.item()) and loss.item() >= -1e-6
    assert torch.isfinite(logits.grad).all()
    assert (logits.grad[batch["ignore"]] == 0).all()


@pytest.mark.parametrize("name", NAMES)
@some
@given(batches(), st.sampled_from([-math.inf, -1e4, 0.0, 3.0, math.inf, math.nan]))
def test_no_term_looks_at_what_is_ignored(name, made, other):
    logits, batch = made
    ignore, target = batch["ignore"], batch["target"].float()
    changed = torch.where(ignore, other, logits)
    upside_down = {**batch_of(torch.where(ignore, 1 - target, target), ignore), "skeleton": batch["skeleton"] ^ ignore}
    values, gradients = [], []
    for seen_logits, seen_batch in ((logits, batch), (changed, upside_down)):
        leaf = seen_logits.clone().requires_grad_()
        values.append(loss_terms(leaf, seen_batch, only(name, label_smoothing=0.1)))
        values[-1].backward()
        gradients.append(leaf.grad)
    assert values[0].item() == values[1].item()
    assert torch.equal(*gradients)


@pytest.mark.parametrize("name", ["bce", "dice", "fbeta"])
@given(batches(is_soft=False))
def test_every_known_voxel_that_is_not_yet_right_is_pulled(name, made):
    logits, batch = made
    batch["target"][..., :1] = True  # without any ink Dice pulls at nothing that is certain in float32
    loss_terms(logits.requires_grad_(), batch, only(name)).backward()
    unsure = ~batch["ignore"] & (logits.detach().abs() < 5)
    wrong_way = torch.where(batch["target"], logits.grad, -logits.grad)
    assert (wrong_way[unsure] < 0).all()


@pytest.mark.parametrize("name", NAMES)
@some
@given(batches(is_soft=False))
def test_the_truth_costs_next_to_nothing(name, made):
    _, batch = made
    assert float(loss_terms(torch.where(batch["target"], 20.0, -20.0), batch, only(name))) < 1e-6


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("shape", [(2, 3, 3), (2, 4, 3, 3)])
def test_nothing_known_is_no_loss_and_no_gradient(name, shape):
    logits = torch.randn(shape, requires_grad=True)
    everything = torch.ones(shape, dtype=torch.bool)
    loss = loss_terms(logits, batch_of(everything, everything), only(name))
    loss.backward()
    assert loss.item() == 0 and (logits.grad == 0).all()


@pytest.mark.parametrize("name", NAMES)
@some
@given(batches())
def test_a_picture_is_a_volume_of_one_layer(name, made):
    """But for clDice, whose centrelines are found by more erosions in a picture, and have nothing else to differ by here."""
    logits, batch = made
    if logits.ndim == 3:
        as_volume = {key: part[:, None] for key, part in batch.items()}
        flat, deep = loss_terms(logits, batch, only(name)), loss_terms(logits[:, None], as_volume, only(name))
        assert float(flat) == pytest.approx(float(deep), abs=1e-6)


@given(batches(), st.lists(st.floats(0, 3), min_size=6, max_size=6).filter(any))
def test_the_loss_is_the_sum_of_its_terms_times_their_shares(made, shares):
    logits, batch = made
    together = loss_terms(logits, batch, LossSettings(**dict(zip(NAMES, shares, strict=True))))
    apart = sum(s * float(loss_terms(logits, batch, only(name))) for name, s in zip(NAMES, shares, strict=True))
    assert float(together) == pytest.approx(apart, rel=1e-4, abs=1e-5)


@pytest.mark.parametrize("name", NAMES)
def test_a_share_of_zero_computes_nothing(name, monkeypatch):
    """Each term refuses to run here; only the one that is asked for is heard."""

    def refusal(_voxels, term):
        raise ZeroDivisionError(term)

    for terms in (losses.OF_VOXELS, losses.OF_SHAPE):
        for term in terms:
            monkeypatch.setitem(terms, term, partial(refusal, term=term))
    with pytest.raises(ZeroDivisionError, match=name):
        loss_terms(torch.zeros(1, 2, 2), batch_of(torch.ones(1, 2, 2)), only(name))


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_logits_are_summed_in_full_precision(name, dtype):
    logits = torch.full((1, 300, 300), 0.5, dtype=dtype)  # more pixels than float16 can count to
    batch = batch_of(torch.zeros(1, 300, 300))
    batch["target"][:, 100:200] = batch["skeleton"][:, 150] = 1
    loss = loss_terms(logits, batch, only(name))
    assert loss.dtype == torch.float32
    assert float(loss) == pytest.approx(float(loss_terms(logits.float(), batch, only(name))), rel=1e-6)


def test_heads_count_one_half_a_quarter_and_shape_is_asked_of_the_finest_alone():
    """BCE at logits 0, 2, -2 against ink: ln 2, ln(1 + e^-2), ln(1 + e^2); weights 4/7, 2/7, 1/7; the mistake at 0 is a lost piece."""
    heads = [torch.full((1, 3, 3), value) for value in (0.0, 2.0, -2.0)]
    batch = batch_of(torch.ones(1, 3, 3, dtype=torch.bool))
    by_hand = (4 * math.log(2) + 2 * math.log(1 + math.exp(-2)) + math.log(1 + math.exp(2))) / 7
    assert float(loss_of_heads(heads, batch, only("bce"))) == pytest.approx(by_hand, rel=1e-6)
    with_shape = loss_of_heads(heads, batch, only("bce", topology=2.0))
    assert float(with_shape) == pytest.approx(by_hand + 2 * math.log(2), rel=1e-6)


def test_a_head_that_nothing_is_asked_of_still_has_a_gradient_for_those_who_wait_for_it():
    heads = [torch.zeros(1, 3, 3, requires_grad=True) for _ in range(2)]
    loss_of_heads(heads, batch_of(torch.ones(1, 3, 3)), only("topology")).backward()
    assert (heads[0].grad < 0).all() and (heads[1].grad == 0).all()


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

"""What is proposed counts as much as `loss.proposed_weight` says: 0 is ignored, 1 is a person's, and between it is a weighted mean."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from scroll.config.schema import LossSettings, MemberSettings
from scroll.errors import InputError
from scroll.runtime.receipt import key_of
from scroll.training.loss_terms.topology import topology
from scroll.training.loss_terms.voxels import seen
from scroll.training.losses import loss_of_heads, loss_terms
from tests.training.test_losses import NAMES, batches, only

some = settings(max_examples=25, deadline=None)  # the first clDice waits for MONAI, the first topology for numba


def lost(logits: torch.Tensor, batch: dict[str, torch.Tensor], loss: LossSettings) -> tuple[float, torch.Tensor]:
    """The loss of three heads and its gradient."""
    leaf = logits.clone().requires_grad_()
    value = loss_of_heads([leaf, leaf / 2, leaf / 3], batch, loss)
    value.backward()
    return value.item(), leaf.grad


@st.composite
def marked_batches(draw):
    logits, batch = draw(batches())
    marks = draw(st.lists(st.booleans(), min_size=logits.numel(), max_size=logits.numel()))
    return logits, {**batch, "proposed": torch.tensor(marks).reshape(logits.shape)}


def without(batch: dict[str, torch.Tensor], **changes: torch.Tensor) -> dict[str, torch.Tensor]:
    return {name: values for name, values in (batch | changes).items() if name != "proposed"}


@pytest.mark.parametrize("name", NAMES)
@some
@given(marked_batches())
def test_what_is_proposed_at_weight_0_is_as_good_as_ignored(name, made):
    logits, batch = made
    found = lost(logits, batch, only(name, proposed_weight=0, label_smoothing=0.1))
    ignored = without(batch, ignore=batch["ignore"] | batch["proposed"])
    wanted = lost(logits, ignored, only(name, label_smoothing=0.1))
    assert found[0] == wanted[0] and torch.equal(found[1], wanted[1])


def test_at_weight_0_not_even_an_infinite_logit_is_looked_at():
    truth = torch.tensor([[[True, False, True]]])
    batch = {"target": truth, "ignore": torch.zeros_like(truth), "proposed": torch.tensor([[[False, True, True]]])}
    value, slope = lost(torch.tensor([[[1.0, math.inf, math.nan]]]), batch, LossSettings(proposed_weight=0))
    assert math.isfinite(value) and torch.isfinite(slope).all() and not slope[0, 0, 1:].any()


@pytest.mark.parametrize("name", NAMES)
@some
@given(marked_batches(), st.floats(0, 1))
def test_a_proposal_at_weight_1_is_a_persons_label_and_a_mask_without_one_changes_no_bit(name, made, weight):
    logits, batch = made
    plain = lost(logits, without(batch), only(name))
    for marked, share in ((batch, 1.0), ({**batch, "proposed": batch["ignore"]}, weight)):
        value, slope = lost(logits, marked, only(name, proposed_weight=share))
        assert value == plain[0] and torch.equal(slope, plain[1])


def test_the_terms_by_hand():
    """A person's pixel of ink at p = 1/2, and one without ink that is proposed, at p = 3/4, of weight 1/4."""
    half, three_quarters = 0.0, math.log(3)
    batch = {"target": torch.tensor([[[True, False]]]), "ignore": torch.zeros(1, 1, 2, dtype=torch.bool)}
    batch |= {"proposed": torch.tensor([[[False, True]]]), "skeleton": torch.tensor([[[True, False]]])}
    logits = torch.tensor([[[half, three_quarters]]])

    def value(name: str) -> float:
        return float(loss_terms(logits, batch, only(name, proposed_weight=0.25)))

    assert value("bce") == pytest.approx((math.log(2) + 0.25 * math.log(4)) / 1.25)
    assert value("dice") == pytest.approx(1 - (2 * 0.5 + 1) / (0.5 + 0.25 * 0.75 + 1 + 1))
    assert value("fbeta") == pytest.approx(1 - (1.25 * 0.5 + 1) / (0.5 + 0.25 * 0.75 + 0.25 * 1 + 1))
    assert value("skeleton_recall") == pytest.approx(1 - (0.5 + 1) / (1 + 1))
    swapped = {**batch, "proposed": ~batch["proposed"]}
    recall = float(loss_terms(logits, swapped, only("skeleton_recall", proposed_weight=0.25)))
    assert recall == pytest.approx(1 - (0.25 * 0.5 + 1) / (0.25 + 1))


def test_whether_a_mistake_is_critical_is_decided_as_if_all_were_a_persons_and_then_it_counts_its_weight():
    """A gap of one pixel in a stroke is a break, and is proposed; the rest of the stroke joins it and is not."""
    truth = torch.zeros(1, 5, 9, dtype=torch.bool)
    truth[:, 2, 1:8] = True
    predicted = truth.clone()
    predicted[:, 2, 4] = False
    batch = {"target": truth, "ignore": torch.zeros_like(truth), "proposed": truth & ~predicted}
    logits = torch.where(predicted, 2.0, -2.0)
    known, weight = 5 * 9, 0.5
    whole = float(topology(seen(logits, without(batch))))
    assert whole == pytest.approx(math.log1p(math.exp(2)) / known)
    part = float(topology(seen(logits, batch, proposed_weight=weight)))
    assert part == pytest.approx(weight * math.log1p(math.exp(2)) / (known - 1 + weight))


@pytest.mark.parametrize("name", NAMES)
def test_a_heavier_proposal_draws_the_loss_further_towards_it(name):
    """The person's half of the picture is right, the proposed half wrong."""
    truth = torch.zeros(1, 24, 32, dtype=torch.bool)
    truth[:, 8:16, 2:14] = truth[:, 8:16, 18:30] = True
    predicted = truth.clone()
    predicted[:, 8:16, 18:30] = False
    proposed = torch.zeros_like(truth)
    proposed[..., 16:] = True
    batch = {"target": truth, "ignore": torch.zeros_like(truth), "skeleton": truth, "proposed": proposed}
    logits = torch.where(predicted, 6.0, -6.0)
    values = [float(loss_terms(logits, batch, only(name, proposed_weight=w))) for w in (0, 0.25, 0.5, 1)]
    assert values == sorted(values) and len({round(v, 6) for v in values}) == 4


def test_the_default_weight_is_in_no_key_and_another_one_is():
    plain = MemberSettings(network="cnn3d")
    half = MemberSettings.model_validate({"network": "cnn3d", "loss": {"proposed_weight": 0.5}})
    third = MemberSettings.model_validate({"network": "cnn3d", "loss": {"proposed_weight": 0.3}})
    dumped = [one.model_dump(mode="json") for one in (plain, half, third)]
    assert "proposed_weight" not in dumped[0]["loss"] and key_of(dumped[0]) == key_of(dumped[1]) != key_of(dumped[2])


@pytest.mark.parametrize("weight", [-0.1, 1.1])
def test_a_weight_beyond_0_to_1_is_refused(weight):
    with pytest.raises(ValueError, match="proposed_weight"):
        LossSettings(proposed_weight=weight)


def test_a_weight_alone_is_nothing_to_learn():
    with pytest.raises((InputError, ValueError), match="every share of the loss is 0"):
        LossSettings(bce=0, dice=0, proposed_weight=1)

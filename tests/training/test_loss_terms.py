"""Each term of the loss by hand, and against MONAI's on what is known."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from scroll.errors import InputError
from scroll.training.loss_terms.bce import bce
from scroll.training.loss_terms.cldice import EROSIONS, cldice
from scroll.training.loss_terms.overlap import dice, fbeta
from scroll.training.loss_terms.skeleton_recall import skeleton_recall
from scroll.training.loss_terms.voxels import Voxels, seen

CERTAIN = 50.0  # a logit whose probability is 1 in float32


def voxels(logits: list, target: list, ignore: list | None = None, **others) -> Voxels:
    """A batch of one picture, or of volumes, written out as lists."""
    tensor = torch.tensor(logits, dtype=torch.float32)
    unknown = torch.zeros(tensor.shape, dtype=torch.bool) if ignore is None else torch.tensor(ignore).bool()
    skeleton = {"skeleton": torch.tensor(others.pop("skeleton")).bool()} if "skeleton" in others else {}
    return seen(tensor, {"target": torch.tensor(target).float(), "ignore": unknown, **skeleton}, **others)


def test_bce_by_hand():
    """Logit 0 costs ln 2 on either side; logit ln 3, p = 3/4, costs ln 4/3 on ink and ln 4 beside it."""
    logits, target = [[[0.0, math.log(3), math.log(3)]]], [[[1, 1, 0]]]
    assert float(bce(voxels(logits, target))) == pytest.approx((math.log(2) + math.log(4 / 3) + math.log(4)) / 3)
    assert float(bce(voxels(logits, target, [[[0, 0, 1]]]))) == pytest.approx((math.log(2) + math.log(4 / 3)) / 2)


def test_label_smoothing_by_hand():
    """With s = 0.2 ink is wanted at 0.9: p = 3/4 costs 0.9 ln 4/3 + 0.1 ln 4 on ink, and the reverse beside it."""
    smoothed = voxels([[[math.log(3), math.log(3)]]], [[[1, 0]]], label_smoothing=0.2)
    on_ink = 0.9 * math.log(4 / 3) + 0.1 * math.log(4)
    beside = 0.1 * math.log(4 / 3) + 0.9 * math.log(4)
    assert float(bce(smoothed)) == pytest.approx((on_ink + beside) / 2)


def test_smoothed_bce_is_least_at_the_smoothed_label_and_other_terms_know_no_smoothing():
    wanted = [[[math.log(9), -math.log(9)]]]  # probabilities 0.9 and 0.1
    least = voxels(wanted, [[[1, 0]]], label_smoothing=0.2)
    for factor in (0.9, 1.1):
        assert bce(least) < bce(voxels([[[factor * v for v in wanted[0][0]]]], [[[1, 0]]], label_smoothing=0.2))
    assert dice(least) == dice(voxels(wanted, [[[1, 0]]]))


def test_dice_and_fbeta_by_hand():
    """p = 1, 1/2, 0 on ink, ink, ink and 1/2 beside it: I = 3/2, P = 2, T = 3."""
    one = voxels([[[CERTAIN, 0.0], [-CERTAIN, 0.0]]], [[[1, 1], [1, 0]]])
    assert float(dice(one)) == pytest.approx(1 - (2 * 1.5 + 1) / (2 + 3 + 1))
    assert float(fbeta(one)) == pytest.approx(1 - (1.25 * 1.5 + 1) / (2 + 0.25 * 3 + 1))


def test_a_false_voxel_costs_fbeta_four_times_what_a_missed_one_does():
    """Over 1000 inked voxels, where the 1 that is added hardly shows."""
    truth = torch.arange(2000).reshape(1, 40, 50) < 1000
    exact = torch.where(truth, CERTAIN, -CERTAIN)
    costs = []
    for wrong in (999, 1000):  # one missed, one false
        logits = exact.clone()
        logits.view(-1)[wrong] *= -1
        costs.append(float(fbeta(seen(logits, {"target": truth, "ignore": torch.zeros_like(truth)}))))
    assert costs[1] / costs[0] == pytest.approx(4, rel=0.01)


def test_overlap_is_summed_over_the_batch():
    """A patch without ink, rightly predicted, must not count as a perfect half of the batch."""
    batch = voxels([[[CERTAIN, CERTAIN]], [[-CERTAIN, -CERTAIN]]], [[[1, 0]], [[0, 0]]])
    assert float(dice(batch)) == pytest.approx(1 - 3 / 4)
    assert float(fbeta(batch)) == pytest.approx(1 - 2.25 / 3.25)


finite = arrays(np.float32, (2, 3, 4), elements=st.floats(-9, 9, width=32))
shares = arrays(np.float32, (2, 3, 4), elements=st.floats(0, 1, width=32))


@settings(deadline=None, max_examples=50)
@given(finite, shares, arrays(bool, (2, 3, 4)).filter(lambda ignore: not ignore.all()))
def test_dice_and_fbeta_are_monais_on_the_known_voxels(logits, target, ignore):
    from monai.losses import DiceLoss, TverskyLoss

    ours = seen(torch.from_numpy(logits), {"target": torch.from_numpy(target), "ignore": torch.from_numpy(ignore)})
    known = [torch.from_numpy(part[~ignore]).reshape(1, 1, 1, -1) for part in (logits, target)]
    same = {"sigmoid": True, "batch": True}
    tversky = TverskyLoss(alpha=0.8, beta=0.2, smooth_nr=0.8, smooth_dr=0.8, **same)
    assert float(dice(ours)) == pytest.approx(float(DiceLoss(smooth_nr=1, smooth_dr=1, **same)(*known)), abs=1e-5)
    assert float(fbeta(ours)) == pytest.approx(float(tversky(*known)), abs=1e-5)


def line(length: int) -> list:
    """A picture of 5 x 5 with the middle row's first voxels set."""
    return [[[int(y == 2 and x < length) for x in range(5)] for y in range(5)]]


def as_logits(picture: list) -> list:
    return [[[CERTAIN if v else -CERTAIN for v in row] for row in layer] for layer in picture]


def test_cldice_by_hand():
    """Lines one voxel wide are their own centrelines: precision (3 + 1) / (3 + 1), recall (3 + 1) / (5 + 1)."""
    assert float(cldice(voxels(as_logits(line(3)), line(5)))) == pytest.approx(1 - 2 * (2 / 3) / (1 + 2 / 3), abs=1e-6)
    volume = voxels([as_logits(line(3))], [line(5)])  # (1, 1, 5, 5): the same line in a volume
    assert float(cldice(volume)) == pytest.approx(0.2, abs=1e-6)


def test_cldice_looks_at_length_and_not_at_width():
    """A bar of 3 x 15 found one voxel wide, and one of the same area found half as long."""
    bar = torch.zeros(1, 9, 21)
    bar[:, 3:6, 3:18] = 1
    thin, short = torch.zeros_like(bar), torch.zeros_like(bar)
    thin[:, 4, 3:18] = 1
    short[:, 3:6, 3:8] = 1
    parts = {"target": bar, "ignore": torch.zeros_like(bar).bool()}
    loss = {name: seen(2 * CERTAIN * found - CERTAIN, parts) for name, found in (("thin", thin), ("short", short))}
    assert cldice(loss["thin"]) < 0.1 < cldice(loss["short"])
    assert dice(loss["thin"]) == pytest.approx(float(dice(loss["short"])))


@settings(deadline=None, max_examples=20)
@given(arrays(np.float32, (1, 6, 6), elements=st.floats(-9, 9, width=32)), arrays(bool, (1, 6, 6)))
def test_cldice_of_one_sample_is_monais_where_all_is_known(logits, target):
    from monai.losses import SoftclDiceLoss

    oracle = SoftclDiceLoss(iter_=EROSIONS[2], sigmoid=True, smooth=1e-9)
    tensors = torch.from_numpy(logits), torch.from_numpy(target)
    ours = cldice(seen(tensors[0], {"target": tensors[1], "ignore": torch.zeros_like(tensors[1])}))
    assert float(ours) == pytest.approx(float(oracle(tensors[0][:, None], tensors[1][:, None].float())), abs=1e-5)


def test_skeleton_recall_by_hand():
    """p = 1, 1/2, 0 on a skeleton of three voxels, one of which nobody knows; what is beside it does not count."""
    logits, target, skeleton = [[[CERTAIN, 0.0, -CERTAIN, CERTAIN]]], [[[1, 1, 1, 0]]], [[[1, 1, 1, 0]]]
    assert float(skeleton_recall(voxels(logits, target, skeleton=skeleton))) == pytest.approx(1 - 2.5 / 4)
    blind = voxels(logits, target, [[[0, 0, 1, 0]]], skeleton=skeleton)
    assert float(skeleton_recall(blind)) == pytest.approx(1 - 2.5 / 3)
    assert float(skeleton_recall(voxels(logits, target, skeleton=[[[0, 0, 0, 0]]]))) == 0


def test_patches_without_a_skeleton_are_refused_where_the_loss_asks_for_it():
    with pytest.raises(InputError, match=r"loss\.skeleton_recall is above 0"):
        skeleton_recall(voxels([[[0.0]]], [[[1]]]))

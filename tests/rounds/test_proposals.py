"""What is proposed: nothing that members dispute, that is near the threshold, that blanks show too, or that a person or a mask claims."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scroll.data.labels import Label
from scroll.rounds.proposals import AGREED, FAR, KEPT, STANDS_OUT, Proposal, Trust, proposed, share_to_keep, together

SHAPE = (6, 10)
OPEN = np.ones(SHAPE, bool)
ALL = Trust(0.5, 0.3, 0.1, 2.0)


def message(blend, spread=0.0, strengths=9.0, is_open=OPEN):
    full = (np.broadcast_to(np.asarray(one, np.float32), SHAPE) for one in (blend, spread, strengths))
    return proposed(*full, is_open, ALL)


@pytest.mark.parametrize(
    ("how", "is_kept", "failing"),
    [
        ({"blend": 0.9}, True, None),
        ({"blend": 0.1}, True, None),
        ({"blend": 0.7}, False, FAR),
        ({"blend": 0.9, "spread": 0.2}, False, AGREED),
        ({"blend": 0.9, "strengths": 1.0}, False, STANDS_OUT),
        ({"blend": 0.1, "strengths": 1.0}, True, None),  # no ink needs no component
    ],
)
def test_each_rule_keeps_what_can_be_trusted(how, is_kept, failing):
    found = message(**how)
    assert found.kept.all() == is_kept and found.kept.any() == is_kept
    assert {name for name, share in found.shares.items() if share == 0} - {KEPT} == ({failing} if failing else set())
    np.testing.assert_allclose(found.prob, how["blend"])


def test_nothing_is_proposed_where_it_is_closed():
    is_open = OPEN.copy()
    is_open[:, :3] = False
    np.testing.assert_array_equal(message(0.9, is_open=is_open).kept, is_open)


def test_what_a_person_said_wins_and_the_rest_is_marked_as_proposed():
    target, ignore = np.zeros(SHAPE, bool), np.ones(SHAPE, bool)
    ignore[:2], target[0] = False, True
    found = together(Label(target, ignore), Proposal(np.full(SHAPE, 0.9, np.float32), OPEN, {}))
    np.testing.assert_array_equal(found.target[0], 1)
    np.testing.assert_array_equal(found.target[1], 0)
    np.testing.assert_allclose(found.target[2:], 0.9)
    assert found.proposed is not None and not found.ignore.any()
    np.testing.assert_array_equal(found.proposed, ignore)
    np.testing.assert_array_equal(found.human.ignore, ignore)


@given(st.integers(0, 10**6), st.integers(0, 10**6), st.floats(0, 0.99))
@settings(deadline=None)
def test_proposals_are_at_most_their_share_of_what_is_known(kept_px, human_px, most_share):
    share = share_to_keep(kept_px, human_px, most_share)
    assert 0 <= share <= 1
    assert share * kept_px <= most_share * (share * kept_px + human_px) * (1 + 1e-9) + 1e-6


def test_thinning_keeps_the_balance_and_the_surest():
    rng = np.random.default_rng(4)
    prob = np.concatenate([rng.uniform(0, 0.2, 4000), rng.uniform(0.8, 1, 400)]).astype(np.float32).reshape(40, 110)
    thinned = Proposal(prob, np.ones(prob.shape, bool), {}).thinned(0.25, 0.5)
    kept = prob[thinned.kept]
    assert (kept < 0.5).sum() == 1000 and (kept >= 0.5).sum() == 100
    assert kept[kept < 0.5].max() <= prob[~thinned.kept & (prob < 0.5)].min()
    assert kept[kept >= 0.5].min() >= prob[~thinned.kept & (prob >= 0.5)].max()

"""What is proposed: nothing that members dispute, that is near the threshold, that blanks show too, or that a person or a mask claims."""

import numpy as np
import pytest

from scroll.data.labels import Label
from scroll.rounds.proposals import AGREED, FAR, STANDS_OUT, Trust, proposed

SHAPE = (6, 10)
NOBODY = Label(np.zeros(SHAPE, bool), np.ones(SHAPE, bool))
PAPYRUS, OPEN = np.ones(SHAPE, bool), np.zeros(SHAPE, bool)
ALL = Trust(0.5, 0.3, 0.1, 2.0, most_share=1.0)


def given(blend, maps=None, strengths=9.0, human=NOBODY, held_out=OPEN, papyrus=PAPYRUS, trust=ALL):
    blend = np.broadcast_to(np.asarray(blend, np.float32), SHAPE)
    maps = [blend, blend] if maps is None else [np.broadcast_to(np.asarray(one, np.float32), SHAPE) for one in maps]
    strengths = np.broadcast_to(np.asarray(strengths, np.float32), SHAPE)
    return proposed(blend, maps, strengths, papyrus, human, held_out, trust)


@pytest.mark.parametrize(
    ("how", "is_kept", "failing"),
    [
        ({"blend": 0.9}, True, None),
        ({"blend": 0.1}, True, None),
        ({"blend": 0.7}, False, FAR),
        ({"blend": 0.9, "maps": [0.6, 1.0]}, False, AGREED),
        ({"blend": 0.9, "strengths": 1.0}, False, STANDS_OUT),
        ({"blend": 0.1, "strengths": 1.0}, True, None),  # no ink needs no component
    ],
)
def test_each_rule_keeps_what_can_be_trusted(how, is_kept, failing):
    found = given(**how)
    assert (~found.label.ignore).all() == is_kept and found.label.ignore.all() != is_kept
    assert {name for name, share in found.shares.items() if share == 0} - {"kept"} == ({failing} if failing else set())
    if is_kept:
        np.testing.assert_allclose(found.label.target, how["blend"])


def test_what_a_person_said_wins_and_is_marked():
    target, ignore = np.zeros(SHAPE, bool), np.ones(SHAPE, bool)
    ignore[:2], target[0] = False, True
    found = given(0.9, human=Label(target, ignore))
    np.testing.assert_array_equal(found.label.target[0], 1)
    np.testing.assert_array_equal(found.label.target[1], 0)
    np.testing.assert_allclose(found.label.target[2:], 0.9)
    np.testing.assert_array_equal(found.is_human, ~ignore)


def test_nothing_is_said_where_it_is_held_out_or_no_papyrus():
    held_out, papyrus = OPEN.copy(), PAPYRUS.copy()
    held_out[:, :3], papyrus[:, -2:] = True, False
    human = Label(np.ones(SHAPE, bool), ~held_out)  # even where a person had said it
    found = given(0.9, human=human, held_out=held_out, papyrus=papyrus)
    np.testing.assert_array_equal(~found.label.ignore, papyrus & ~held_out)
    assert not found.is_human.any()


def test_proposals_are_at_most_their_share_of_what_is_known_and_the_surest_stay():
    ignore = np.ones(SHAPE, bool)
    ignore[0] = False  # ten pixels of a person
    blend = np.linspace(0.85, 1.0, SHAPE[0] * SHAPE[1], dtype=np.float32).reshape(SHAPE)
    found = given(blend, human=Label(np.zeros(SHAPE, bool), ignore), trust=Trust(0.5, 0.3, 0.1, 0.0, most_share=0.5))
    kept = ~found.label.ignore & ~found.is_human
    assert kept.sum() == 10 and blend[kept].min() > blend[~kept & ignore].max()

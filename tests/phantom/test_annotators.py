"""Imagined annotators: near the ink, never all alike, and the same again from the same seed."""

import numpy as np
import pytest

from scroll.phantom.annotators import annotated, asked

INK = np.zeros((160, 200), bool)
for row in range(10, 150, 35):
    for column in range(10, 190, 35):
        INK[row : row + 20, column : column + 8] = True


def test_their_mean_is_grey_lies_about_the_ink_and_says_less_than_it():
    grey = annotated(INK, 1).astype(float) / 255
    assert np.array_equal(annotated(INK, 1), annotated(INK, 1)) and (annotated(INK, 1) != annotated(INK, 2)).any()
    assert np.allclose(grey * 5, np.rint(grey * 5), atol=0.02)  # five of them
    inside, outside = grey[INK].mean(), grey[~INK].mean()
    assert 0.4 < inside < 0.9 and outside < 0.15
    assert ((grey > 0) & (grey < 1)).mean() > 0.1


def test_one_of_them_draws_yes_or_no_and_no_ink_leaves_what_is_invented():
    assert set(np.unique(annotated(INK, 3, annotators=1))) == {0, 255}
    assert annotated(np.zeros_like(INK), 3).mean() < 0.05 * 255


def test_who_is_asked_for_a_patch_is_right_but_for_a_twentieth_and_wandering_edges():
    ink = np.zeros((256, 256), bool)
    ink[64:192, 96:160] = True
    box = (slice(32, 224), slice(40, 200))
    drawn, seconds = asked(ink, box, 3, 8.0)
    wrong = drawn ^ ink[box]
    assert drawn.shape == (192, 160) and 0.05 <= wrong.mean() <= 0.09
    again, same = asked(ink, box, 3, 8.0)
    assert np.array_equal(drawn, again) and seconds == same
    empty, quick = asked(np.zeros_like(ink), box, 3, 8.0)
    assert 15 < quick < seconds and empty.mean() == pytest.approx(0.05, abs=0.001)

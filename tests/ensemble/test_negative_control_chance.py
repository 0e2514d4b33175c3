"""Chances of being imagined hold what they promise, the pieces are weighed right, and curves cross one half where they should."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ensemble.controls.chance import at_least, block_p, chance_imagined, rate_per_cm2
from ensemble.controls.components import components_of, share_on_found, strongest_in_blocks, with_surroundings
from ensemble.controls.psychometric import contrast_of_half, half_found, least_found, wilson
from ensemble.controls.tail import tail_of
from scroll.errors import InputError

strengths = st.lists(st.floats(0.001, 100), min_size=1, max_size=30).map(np.array)


def test_hand_worked_chances() -> None:
    found, control = np.array([9.0, 7.0, 5.0, 1.0]), np.array([6.0, 2.0])
    # on twice the area: at or above 9: 1/(2*1); 7: 1/(2*2); 5: 2/(2*3); 1: 3/(2*4), and the stronger are told the weaker bar's better share
    assert chance_imagined(found, control, ratio=2) == pytest.approx([0.25, 0.25, 1 / 3, 3 / 8])
    assert rate_per_cm2(found, control, control_cm2=4) == pytest.approx([1 / 4, 1 / 4, 2 / 4, 3 / 4])
    assert block_p(found, np.array([0.0, 0.0, 6.0, 2.0])) == pytest.approx([1 / 5, 1 / 5, 2 / 5, 3 / 5])


@given(found=strengths, control=strengths, ratio=st.floats(0.5, 5))
def test_no_chance_is_ever_nought_and_the_stronger_is_never_the_likelier_imagined(
    found: np.ndarray, control: np.ndarray, ratio: float
) -> None:
    order = np.argsort(found)
    for chances in (chance_imagined(found, control, ratio), block_p(found, control)):
        assert (chances > 0).all() and (chances <= 1).all()
        assert (np.diff(chances[order]) <= 1e-12).all()
    assert (rate_per_cm2(found, control, 2.0) >= 0.5).all()


@given(found=strengths, control=strengths)
def test_more_negative_control_never_makes_a_component_less_likely_imagined(
    found: np.ndarray, control: np.ndarray
) -> None:
    more = chance_imagined(found, np.append(control, control.max() + 1), ratio=1)
    assert (more >= chance_imagined(found, control, ratio=1)).all()


def test_where_all_is_imagined_few_chances_are_small() -> None:
    """Nothing but imagined components, as many on the fragment as on each copy: the least chance is at most a in at most a of the cases."""
    rng = np.random.default_rng(0)
    for ratio in (1, 3):
        least = []
        for _ in range(4000):
            found, control = rng.lognormal(size=rng.poisson(15)), rng.lognormal(size=rng.poisson(15 * ratio))
            least.append(chance_imagined(found, control, ratio).min(initial=1.0))
        for level in (0.05, 0.1, 0.2, 0.5):
            assert np.mean(np.array(least) <= level) <= level + 3 * np.sqrt(level * (1 - level) / 4000)


def test_among_those_that_stand_out_no_more_are_imagined_than_reported() -> None:
    rng = np.random.default_rng(1)
    imagined = []
    for _ in range(2000):
        letters, false = 5 * rng.lognormal(size=20), rng.lognormal(size=rng.poisson(15))
        chance = chance_imagined(np.concatenate([letters, false]), rng.lognormal(size=rng.poisson(30)), ratio=2)
        picked = chance <= 0.1
        imagined.append(picked[20:].sum() / max(1, picked.sum()))
    assert np.mean(imagined) <= 0.1 + 3 * np.std(imagined) / np.sqrt(2000)


def test_block_p_is_at_least_uniform_where_blocks_are_alike() -> None:
    rng = np.random.default_rng(2)
    chances = np.array([block_p(rng.normal(size=1), rng.normal(size=19))[0] for _ in range(4000)])
    for level in (0.05, 0.1, 0.3):
        assert (chances <= level).mean() <= level + 3 * np.sqrt(level * (1 - level) / 4000)


def test_nothing_found_and_no_negative_control_to_look_at() -> None:
    assert chance_imagined(np.zeros(0), np.ones(3), 1).shape == (0,)
    assert at_least(np.array([1.0]), np.zeros(0)).tolist() == [0]
    with pytest.raises(InputError, match="0 cm2 of negative control"):
        rate_per_cm2(np.ones(1), np.ones(1), 0)
    with pytest.raises(InputError, match="more than none"):
        chance_imagined(np.ones(1), np.ones(1), 0)


def test_pieces_are_weighed_by_area_and_by_how_sure_they_are() -> None:
    prob = np.zeros((6, 8), np.float32)
    prob[1:3, 1:3] = 0.75  # four pixels, log-odds log 3
    prob[4, 5:7] = 0.9  # two, log 9
    pieces = components_of(prob, prob >= 0.5, threshold=0.5, pixel_um=1000)
    assert len(pieces) == 2
    assert pieces.area_mm2 == pytest.approx([4, 2])
    assert pieces.mean_prob == pytest.approx([0.75, 0.9])
    assert pieces.strength == pytest.approx([4 * np.log(3), 2 * np.log(9)], rel=1e-6)
    assert pieces.centre_px.tolist() == [[1.5, 1.5], [4, 5.5]]


def test_a_blank_mask_has_no_pieces() -> None:
    pieces = components_of(np.zeros((5, 5)), np.zeros((5, 5), bool), 0.5, 10)
    assert len(pieces) == 0
    assert share_on_found(pieces, np.ones((5, 5), bool)) == 0
    assert strongest_in_blocks([pieces], np.ones((5, 5), bool), 2.5).tolist() == [0, 0, 0, 0]


def test_each_block_tells_its_strongest_piece_and_bare_blocks_count_as_nought() -> None:
    prob = np.zeros((8, 8))
    prob[0, 0], prob[2, 2], prob[1, 6] = 0.9, 0.75, 0.75
    papyrus = np.ones((8, 8), bool)
    papyrus[4:, 4:] = False  # a block without papyrus is none
    pieces = components_of(prob, prob > 0.5, 0.5, 1000)
    assert strongest_in_blocks([pieces, pieces], papyrus, 4) == pytest.approx(2 * [np.log(9), np.log(3), 0])


def test_a_pieces_surroundings_are_what_lies_within_reach_of_its_middle() -> None:
    prob = np.zeros((3, 40))
    prob[1, [2, 6, 30]] = 0.75  # three pieces, log 3 each; the first two are four pixels apart
    pieces = components_of(prob, prob >= 0.5, threshold=0.5, pixel_um=1000)
    assert with_surroundings(pieces, 5) == pytest.approx(np.log(3) * np.sqrt([2, 2, 1]))
    assert with_surroundings(pieces, 3) == pytest.approx(pieces.strength)
    assert with_surroundings(pieces, 100) == pytest.approx(3 * [np.log(3) * np.sqrt(3)])
    assert with_surroundings(components_of(prob, prob > 1, 0.5, 1000), 5).shape == (0,)


def test_the_pixel_that_an_empty_mask_is_given_stands_for_nothing() -> None:
    prob, mask = np.full((4, 4), 0.1), np.zeros((4, 4), bool)
    mask[1, 1] = True  # as `ensemble.when_empty: one_pixel` does
    pieces = components_of(prob, mask, threshold=0.5, pixel_um=1000)
    assert pieces.strength[0] < 0 and with_surroundings(pieces, 5).tolist() == [0]
    assert tail_of(np.zeros(20)) is None and chance_imagined(np.zeros(1), np.zeros(3), 1.0).tolist() == [1]


def test_share_of_a_copys_pieces_on_what_was_found() -> None:
    mask = np.zeros((4, 4), bool)
    mask[0] = True
    pieces = components_of(mask.astype(float), mask, 0.5, 10)
    assert share_on_found(pieces, np.tril(np.ones((4, 4), bool))) == 0.25


def test_wilson_against_its_formula() -> None:
    found, planted, z = 7, 20, 1.959964
    share = found / planted
    middle = (share + z**2 / (2 * planted)) / (1 + z**2 / planted)
    half = z / (1 + z**2 / planted) * np.sqrt(share * (1 - share) / planted + z**2 / (4 * planted**2))
    assert wilson(found, planted) == pytest.approx((middle - half, middle + half), abs=1e-6)


@pytest.mark.parametrize(
    ("share", "expected"),
    [
        ([0, 0.25, 0.75], (2**1.5, False)),  # half-way between 2 and 4 in logs
        ([0, 0.1, 0.2], (None, False)),
        ([0.8, 0.9, 1], (1.0, True)),
        ([0, 1, 0.8], (2**0.5555555, False)),  # 1 and 0.8 level out at 0.9
    ],
)
def test_contrast_of_half(share: list[float], expected: tuple[float | None, bool]) -> None:
    contrast, is_below = contrast_of_half(np.array([1.0, 2.0, 4.0]), np.array(share))
    assert (contrast is None) == (expected[0] is None) and is_below == expected[1]
    if contrast is not None:
        assert contrast == pytest.approx(expected[0])


def test_half_of_a_known_curve_lies_in_its_interval_and_few_places_tell_little() -> None:
    contrasts = 2.0 ** np.arange(-3, 4)
    rng = np.random.default_rng(3)
    truth, inside = 1.3, 0
    for _ in range(60):
        chance = 1 / (1 + (truth / contrasts) ** 3)
        half = half_found(contrasts, rng.random((60, len(contrasts))) < chance)
        assert half.low is not None and half.high is not None
        inside += half.low <= truth <= half.high
    assert inside >= 54
    few = half_found(contrasts, np.tile(contrasts > 1, (2, 1)))
    assert few.low is None and few.high is None and few.contrast is not None


def test_least_contrast_needs_all_stronger_ones_found_too() -> None:
    is_found = np.array([[True, False, True], [False, False, False], [False, True, True]])
    assert least_found(np.array([1.0, 2.0, 4.0]), is_found).tolist() == [4, np.inf, 2]

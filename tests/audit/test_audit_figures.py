"""Figures of an audit: shares and their intervals, agreement, direction; and what is made of them."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from scroll.audit import looks as look
from scroll.audit.agreement import (
    added_by_each,
    correlations,
    effective_number,
    log_odds,
    sampled,
    shares_of_votes,
    votes,
)  # fmt: skip
from scroll.audit.figures import (
    REAL,
    Blocks,
    Depth,
    Direction,
    MemberFigures,
    Share,
    blocks_of_map,
    depth_of,
    direction_of,
    flagged_beyond,
    shares,
    surely,
    together,
)  # fmt: skip
from scroll.audit.looks import looks_of, odd_ones
from scroll.audit.verdict import BLIND, FOUND, NO_INK, NOT_ASKED, NOT_TOLD, Evidence, beside_odd_members, verdict_of
from scroll.metrics.bootstrap import block_sums, gain_of, resampled_ratios

PAPYRUS = np.ones((64, 80), bool)
PAPYRUS[:8] = False


def maps(seed: int, count: int, shared: float = 0.0) -> list[np.ndarray]:
    """Log-odds (N,) of members that share so much of their variance."""
    rng = np.random.default_rng(seed)
    common = rng.standard_normal(20_000)
    return [np.sqrt(shared) * common + np.sqrt(1 - shared) * rng.standard_normal(20_000) for _ in range(count)]


@given(count=st.integers(1, 6), shared=st.floats(0, 1), seed=st.integers(0, 100))
def test_the_effective_number_lies_between_one_and_all_and_falls_with_what_is_shared(count, shared, seed) -> None:
    matrix = correlations(maps(seed, count, shared))
    expected = count**2 / (count + count * (count - 1) * shared**2)  # of equal correlations
    assert 1 - 1e-9 <= effective_number(matrix) <= count + 1e-9
    assert effective_number(matrix) == pytest.approx(expected, rel=0.06)


def test_the_effective_number_is_the_participation_ratio_of_the_eigenvalues() -> None:
    matrix = correlations([*maps(1, 3, 0.5), *maps(2, 2)])
    values = np.linalg.eigvalsh(matrix)
    assert effective_number(matrix) == pytest.approx(values.sum() ** 2 / (values**2).sum())


@given(scale=st.floats(0.1, 10), offset=st.floats(-5, 5))
def test_a_member_that_repeats_another_in_other_words_adds_nothing(scale, offset) -> None:
    one, other = maps(0, 2)
    added = added_by_each(correlations([one, other, scale * other + offset]))
    assert added[0] == pytest.approx(effective_number(correlations([one, other, other])) - 1, abs=1e-6)
    assert added[0] > added[1] and added[1] == pytest.approx(added[2]) and added[1] < 0


def test_votes_are_counted_on_papyrus_alone() -> None:
    one, other = np.zeros((2, *PAPYRUS.shape), bool)
    one[:20], other[:16] = True, True
    found = votes([one, other], PAPYRUS)
    assert (
        (found[:8] == -1).all() and (found[8:16] == 2).all() and (found[16:20] == 1).all() and (found[20:] == 0).all()
    )
    assert shares_of_votes(found, 2).tolist() == pytest.approx([1 / 3, 2 / 3])
    assert shares_of_votes(votes([], PAPYRUS), 0).tolist() == []
    assert len(sampled(np.full(PAPYRUS.shape, 0.5), PAPYRUS)) == PAPYRUS.sum()
    assert np.isfinite(log_odds(np.array([0.0, 1.0]))).all()


@given(seed=st.integers(0, 50), edge=st.integers(3, 90))
def test_blocks_add_up_to_the_whole_and_their_mean_is_the_map_s(seed, edge) -> None:
    prob = np.random.default_rng(seed).random(PAPYRUS.shape).astype(np.float32)
    found = blocks_of_map(prob, 0.7, PAPYRUS, edge)
    assert found.pixels.sum() == PAPYRUS.sum()
    assert found.flagged.sum() == ((prob >= 0.7) & PAPYRUS).sum()
    assert found.surely.sum() == pytest.approx(surely(prob, 0.7)[PAPYRUS].sum(), rel=1e-6)
    of_kind, _ = shares({"real": found, "twice": together([found, found])})
    assert of_kind["real"] == of_kind["twice"]
    assert of_kind["real"].low <= of_kind["real"].share <= of_kind["real"].high
    assert of_kind["real"].share == pytest.approx((prob >= 0.7)[PAPYRUS].mean())


def test_there_may_be_no_papyrus_and_a_single_block_says_nothing_of_its_interval() -> None:
    nothing = blocks_of_map(np.ones((4, 4), np.float32), 0.5, np.zeros((4, 4), bool), 2)
    assert shares({"real": nothing})[0]["real"].share == 0
    whole = blocks_of_map(np.ones((4, 4), np.float32), 0.5, np.ones((4, 4), bool), 9)
    assert shares({"real": whole})[0]["real"] == Share(share=1.0, low=0.0, high=1.0)
    assert block_sums(np.zeros((0, 3)), np.zeros((0, 3), bool), 2).shape == (2, 0)


def test_an_interval_of_a_share_holds_the_truth_nineteen_times_in_twenty() -> None:
    rng, held, truth = np.random.default_rng(0), 0, 0.2
    for number in range(300):
        pixels = rng.integers(50, 200, 30).astype(float)
        drawn = resampled_ratios([pixels * rng.beta(2, 8, 30)], [pixels], seed=number, draws=400)
        low, high = drawn.interval(0)
        held += low <= truth <= high
    assert 0.89 <= held / 300 <= 0.99


def test_a_difference_between_sheets_drawn_apart_holds_the_truth_nineteen_times_in_twenty() -> None:
    rng, held = np.random.default_rng(0), 0
    for _ in range(300):
        pixels = [rng.integers(50, 200, count).astype(float) for count in (30, 18)]
        sheets = [Blocks(one * rng.beta(2, 8, len(one)), one, one) for one in pixels]
        gain = flagged_beyond(*sheets)
        held += gain.low <= 0 <= gain.high
        assert gain.difference == pytest.approx(
            sheets[0].flagged.sum() / pixels[0].sum() - sheets[1].flagged.sum() / pixels[1].sum()
        )
    assert 0.89 <= held / 300 <= 0.99
    single = Blocks(np.array([1.0]), np.array([1.0]), np.array([2.0]))
    assert (flagged_beyond(sheets[0], single).low, flagged_beyond(sheets[0], single).high) == (-1, 1)


def direction(
    forward: float, backward: float, seed: int = 0, with_others: tuple[float, float] | None = None
) -> Direction:
    """Of maps whose ink is so sure, with noise about it."""
    rng = np.random.default_rng(seed)
    there, back = (blocks_of_map(noisy(rng, one), 0.5, PAPYRUS, 12) for one in (forward, backward))
    return direction_of(there, back, with_others)


def noisy(rng: np.random.Generator, odds: float) -> np.ndarray:
    field = -3 + rng.standard_normal(PAPYRUS.shape)
    field[20:40:5] += 3 + odds
    return (1 / (1 + np.exp(-field))).astype(np.float32)


def test_the_surer_direction_is_reported_and_the_same_one_is_not() -> None:
    assert direction(0.5, 4).gain.verdict == "better" and direction(4, 0.5).gain.verdict == "worse"
    same = blocks_of_map(noisy(np.random.default_rng(0), 2.0), 0.5, PAPYRUS, 12)
    assert direction_of(same, same).gain.verdict == "inside noise"
    point = depth_of(-4, same)
    assert point == Depth(
        offset=-4, flagged=same.flagged.sum() / same.pixels.sum(), sureness=same.surely.sum() / same.pixels.sum()
    )


def member(real: float, scrambled: float, **others: object) -> MemberFigures:
    of_kind = {
        REAL: real,
        "phase-scrambled": scrambled,
        "reversed": others.pop("back", scrambled),
        "depth-shuffled": real,
    }
    flagged = {name: Share(share=float(share), low=0, high=1) for name, share in of_kind.items()}  # type: ignore[arg-type]
    plain = {
        "spread": 2.0,
        "sureness": 0.2,
        "planted": {"0.5": 0.3, "2": 0.9},
        "half_contrast": 0.8,
        "gained": 0.7,
        "is_trained_on": False,
    }
    return MemberFigures.model_validate({"name": "m", "threshold": 0.5, "flagged": flagged} | plain | others)


def kinds(*sheets: MemberFigures) -> list[str]:
    return [one.kind for one in looks_of(sheets)]


MISSED = {"planted": {"0.5": 0.0, "2": 0.1}, "half_contrast": None, "gained": 0.02}


def test_each_member_looks_like_what_it_is() -> None:
    assert kinds(member(0.1, 0.004)) == [look.NOTHING_ODD]
    assert kinds(member(0.001, 0.001)) == [look.NOTHING_ODD]  # bare papyrus
    assert kinds(member(0.1, 0.09, gained=0.3)) == [
        look.PAINTS
    ]  # bright fibres: it finds bright letters, and as much papyrus
    assert kinds(member(0.1, 0.09, **MISSED)) == [look.PAINTS]
    assert kinds(member(0.3, 0.3, spread=0.1, **MISSED)) == [look.RANDOM]
    assert kinds(member(0.9, 0.9, spread=0.3, planted={"2": 1.0}, gained=0.04)) == [look.RANDOM]  # calls everything ink
    assert kinds(member(0.1, 0.1, with_others=0.02, **MISSED)) == [look.RANDOM]
    assert kinds(member(0.12, 0.09, back=0.003, with_others=-0.1, **MISSED)) == [
        look.RANDOM
    ]  # whatever its copies show
    assert kinds(member(0.12, 0.09, back=0.003, with_others=0.3, **MISSED)) == [look.NOTHING_ODD]  # sees what others do
    assert kinds(member(0.12, 0.09, back=0.003, with_others=0.02)) == [look.NOTHING_ODD]  # nothing was planted


def test_a_good_member_is_none_of_these_whatever_it_imagines() -> None:
    """The shares are those of small networks of half a minute's training."""
    assert kinds(member(0.116, 0.068, back=0.068, gained=0.57)) == [look.NOTHING_ODD]  # tells the sheet from every copy
    assert kinds(member(0.1, 0.1, back=0.02, gained=0.1)) == [look.NOTHING_ODD]  # ... or from one
    assert kinds(member(0.05, 0.05, gained=0.5)) == [
        look.NOTHING_ODD
    ]  # nothing on the sheet to tell, but letters are found
    assert kinds(member(0.1, 0.03, direction=direction(2, 2, with_others=(0.66, 0.69)))) == [look.NOTHING_ODD]
    assert kinds(member(0.02, 0.0, direction=direction(4, 0.2))) == [look.NOTHING_ODD]


def test_a_reversed_one_goes_with_the_others_once_its_layers_are_turned_round() -> None:
    alike = direction(2, 2, with_others=(0.03, 0.94))
    assert kinds(member(0.4, 0.4, direction=alike, **MISSED)) == [look.BACKWARDS]  # as sure both ways
    cracks = direction(0.2, 4, with_others=(-0.07, -0.04))
    assert kinds(member(0.02, 0.0, direction=cracks)) == [look.NOTHING_ODD]  # surer of the back, which nobody else sees
    fibres = direction(2, 2, with_others=(0.22, 0.46))
    assert kinds(member(0.2, 0.2, direction=fibres, gained=0.4)) == [look.PAINTS]
    assert kinds(member(0.02, 0.0, direction=direction(0.2, 4))) == [look.BACKWARDS]  # alone: by how sure it is
    assert kinds(member(0.02, 0.0, direction=direction(0.2, 4), imagined=9.0)) == [
        look.NOTHING_ODD
    ]  # takes rough for ink


def test_one_that_learned_its_sheets_by_heart_is_reported_where_both_are_audited() -> None:
    seen = member(0.1, 0.002, sureness=0.3, is_trained_on=True)
    blind = member(0.002, 0.002, sureness=0.004, **MISSED)
    assert kinds(seen, blind) == [look.MEMORISED]
    assert kinds(seen) == [look.NOTHING_ODD] and kinds(blind) == [look.NOTHING_ODD]
    assert kinds(seen, member(0.002, 0.002, sureness=0.004)) == [
        look.NOTHING_ODD
    ]  # bare papyrus: it finds planted letters
    assert kinds(seen, blind.model_copy(update={"is_trained_on": None})) == [look.NOTHING_ODD]


def test_a_rule_has_to_hold_on_most_sheets() -> None:
    painted, steady = member(0.1, 0.09, **MISSED), member(0.1, 0.001)
    assert kinds(painted, steady, steady) == [look.NOTHING_ODD]
    assert kinds(painted, painted, steady) == [look.PAINTS]


MORE, SAME = gain_of(0.02, 0.01, 0.03), gain_of(0.001, -0.01, 0.01)
SEEN = {"was_planted": True, "half_contrast": 0.9, "least_chance": 0.02}


@pytest.mark.parametrize(
    ("evidence", "kind"),
    [
        (Evidence(found=30, stands_out=20, beyond={"reversed": MORE}, **SEEN), FOUND),
        (Evidence(found=3, beyond={"reversed": MORE, "phase-scrambled": MORE}, **SEEN), NOT_TOLD),
        (Evidence(found=3, beyond={"reversed": MORE, "phase-scrambled": SAME}, **SEEN), NO_INK),
        (Evidence(beyond={"reversed": SAME}, **SEEN), NO_INK),
        (Evidence(was_planted=True, half_contrast=None), BLIND),
        (Evidence(was_planted=True, half_contrast=3.0), BLIND),
        (Evidence(texture=0.05, **SEEN), BLIND),
        (Evidence(unusable="the sheet is 9 layers off", stands_out=3), BLIND),
        (Evidence(), NOT_ASKED),
        (Evidence(found=9, beyond={"reversed": SAME}), NOT_TOLD),  # so much that no letter found room
    ],
)
def test_a_sheet_s_verdict(evidence: Evidence, kind: str) -> None:
    verdict = verdict_of(evidence)
    assert verdict.kind == kind and verdict.reasons and verdict.next
    assert all(sentence.endswith((".", "off")) for sentence in (*verdict.reasons, *verdict.next))


def test_too_little_negative_control_is_named_where_it_is_the_reason() -> None:
    few = Evidence(found=2, beyond={"reversed": MORE}, was_planted=True, half_contrast=0.9, least_chance=0.5)
    assert any("--copies" in sentence for sentence in verdict_of(few).next)


@pytest.mark.parametrize(
    ("evidence", "is_said"),
    [
        (Evidence(found=3, stands_out=1, was_planted=True, half_contrast=0.5), False),
        (Evidence(was_planted=True), True),
        (Evidence(was_planted=True, half_contrast=0.5), True),
    ],
)
def test_where_nothing_stands_out_odd_members_are_to_be_left_out_first(evidence, is_said):
    before = verdict_of(evidence)
    after = beside_odd_members(before, ["painter"], ["painter", "good"])
    assert (after.kind, after.reasons) == (before.kind, before.reasons)
    assert ("painter" in after.next[0]) == is_said and after.next[-len(before.next) :] == before.next
    assert beside_odd_members(before, [], ["painter", "good"]) == before
    nobody_left = beside_odd_members(before, ["painter", "good"], ["painter", "good"])
    assert "other members" in nobody_left.next[0] and nobody_left.next[1:] == before.next
    assert odd_ones(
        {"painter": [look.Looks(kind=look.PAINTS, why="")], "good": [look.Looks(kind=look.NOTHING_ODD, why="")]}
    ) == ["painter"]

"""Which mistakes are critical: drawn by hand, against counting components again, and what the unknown excuses."""

import math

import numpy as np
import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.ndimage import binary_dilation, generate_binary_structure, label

from scroll.training.loss_terms.critical_components import critical_mistakes
from scroll.training.loss_terms.topology import _critical_voxels, topology
from scroll.training.loss_terms.voxels import Voxels, seen

#   . background of both   # ink of both   - missed ink   + false ink   ? unknown: neither side may be looked at
#   M missed and F false ink that are critical
PICTURES = {
    "dust": """
        ##....
        ##..F.
        ##....""",
    "a lost piece": """
        ##....
        ##..M.
        ##....""",
    "a bridge": """
        ......
        ##FF##
        ......""",
    "a break": """
        ......
        ##MM##
        ......""",
    "a break by a diagonal": """
        ##....
        ..M...
        ...##.""",
    "a stroke pierced between two sides": """
        ......
        ##M###
        ......""",
    "a cavity": """
        #####
        ##M##
        #####""",
    "a hole filled": """
        #####
        ##F##
        #####""",
    "a ring closed": """
        .....
        .#F#.
        .#.#.
        .###.
        .....""",
    "a ring opened": """
        .....
        .#M#.
        .#.#.
        .###.
        .....""",
    "thickening": """
        ......
        ++++++
        ######
        ......""",
    "thinning": """
        ......
        ------
        ######
        ......""",
    "a boundary that is shifted": """
        ......
        ++++++
        ######
        ------
        ......""",
    "an end that is too long and one too short": """
        .........
        .++###--.
        .........""",
    "a harmless mistake beside a critical one": """
        ++......
        ###FFF##
        ........""",
    "at the border the world ends: what comes in from outside is dust": """
        F.....
        ......
        ..####""",
    "dust that touches the unknown may belong to it": """
        ......
        .+??..
        ......""",
    "a break between parts that the unknown joins": """
        ?????
        ##-##
        .....""",
    "a break beside an unknown that does not join": """
        ...?..
        ##MM##
        ......""",
    "a bridge from the known into the unknown": """
        ......
        ##++??
        ......""",
    "a hole that the unknown opens": """
        ##?##
        ##-##
        #####""",
}


def parts_of(drawing: str) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """predicted, truth, ignore, critical; a picture is one layer."""
    signs = np.array([[list(row) for row in drawing.split()]])
    return np.isin(signs, list("#+F")), np.isin(signs, list("#-M")), signs == "?", np.isin(signs, list("MF"))


@pytest.mark.parametrize("name", PICTURES)
def test_the_critical_mistakes_of_a_picture_are_those_drawn(name):
    predicted, truth, ignore, critical = parts_of(PICTURES[name])
    assert (critical_mistakes(predicted, truth, ignore) == critical).all()
    for under in (predicted, truth):
        assert (critical_mistakes(predicted ^ (ignore & under), truth, ignore) == critical).all()


def sheet() -> np.ndarray:
    """A sheet of two layers from border to border, in a volume of 8 x 7 x 7."""
    truth = np.zeros((8, 7, 7), bool)
    truth[3:5] = True
    return truth


@pytest.mark.parametrize(
    ("where", "is_critical"),
    [
        ((slice(3, 5), 3, 3), True),  # pierced
        ((3, slice(2, 5), slice(2, 5)), False),  # a dent
        ((slice(3, 5), slice(0, 7), 3), True),  # torn across
        ((slice(3, 5), slice(0, 7), slice(0, 2)), True),  # short of the border: its two sides meet
        ((5, slice(0, 7), slice(0, 7)), False),  # thicker
        ((6, 3, 3), True),  # dust
        ((slice(5, 8), 3, 3), False),  # a thorn, up to the border
    ],
)
def test_a_sheet_may_be_dented_and_thickened_but_not_pierced_torn_or_dusty(where, is_critical):
    truth = sheet()
    wrong = np.zeros_like(truth)
    wrong[where] = True
    for turned in ((0, 1, 2), (1, 2, 0), (2, 0, 1)):
        turn = [part.transpose(turned) for part in (truth ^ wrong, truth, np.zeros_like(truth))]
        assert (critical_mistakes(*turn) == (wrong & is_critical).transpose(turned)).all()


def test_two_sheets_glued_together_and_a_cavity_in_a_thick_one():
    truth = np.zeros((9, 7, 7), bool)
    truth[1:4] = truth[6:8] = True
    glue, bubble = np.zeros_like(truth), np.zeros_like(truth)
    glue[4:6, 3, 3] = bubble[2, 3, 3] = True
    nothing = np.zeros_like(truth)
    assert (critical_mistakes(truth | glue, truth, nothing) == glue).all()
    assert (critical_mistakes(truth & ~bubble, truth, nothing) == bubble).all()


def parts_count(mask: np.ndarray) -> tuple[int, int]:
    """Number of 26-connected components of a mask and of 6-connected ones of its background."""
    return label(mask, generate_binary_structure(3, 3))[1], label(~mask, generate_binary_structure(3, 1))[1]


small = st.sampled_from([(1, 5, 6), (4, 4, 4)]).flatmap(lambda shape: arrays(bool, (3, *shape)))


@pytest.mark.slow
@settings(deadline=None, max_examples=300)
@given(small, st.integers(0, 9))
def test_a_mistake_that_stands_alone_is_critical_if_and_only_if_mending_it_changes_the_number_of_parts(masks, number):
    truth, where, _ = masks
    regions, count = label(where & (truth == truth.flat[number]))  # held together by faces, of one kind
    assume(count)
    wrong = regions == 1 + number % count
    changes = parts_count(truth) != parts_count(truth ^ wrong)
    critical = critical_mistakes(truth ^ wrong, truth, np.zeros_like(truth))
    assert (critical == (wrong & changes)).all()


@settings(deadline=None, max_examples=200)
@given(small, arrays(bool, (4, 5, 6)))
def test_to_know_less_blames_nothing_more_and_only_known_mistakes_are_blamed(masks, more):
    predicted, truth, ignore = masks
    shape = truth.shape
    critical = critical_mistakes(predicted, truth, ignore)
    assert not (critical & (ignore | (predicted == truth))).any()
    less_known = ignore | more[: shape[0], : shape[1], : shape[2]]
    assert not (critical_mistakes(predicted, truth, less_known) & ~critical).any()


def seen_of(drawing: str, logit: float) -> Voxels:
    """A batch of one picture that is predicted with logits of one size."""
    predicted, truth, ignore, _ = (torch.from_numpy(part) for part in parts_of(drawing))
    return seen(torch.where(predicted, logit, -logit), {"target": truth, "ignore": ignore})


def test_the_term_by_hand():
    """Logits of 2 on the wrong side cost ln(1 + e^2); of 24 voxels three are critical, two harmlessly wrong, one unknown."""
    drawing = """
        ++.....?
        ###FFF##
        ........"""
    assert topology(seen_of(drawing, 2.0)).item() == pytest.approx(3 * math.log(1 + math.exp(2)) / 23, rel=1e-6)
    assert topology(seen_of(PICTURES["thinning"], 2.0)).item() == 0


def test_each_sample_of_a_batch_is_judged_by_itself():
    """The ink of the one would make the other's dust a thickening."""
    truth = torch.zeros(2, 1, 4, 4, dtype=torch.bool)
    truth[0, 0, 1] = True
    logits = torch.where(truth, 1.0, -1.0)
    logits[0, 0, 2, 2] = logits[1, 0, 2, 2] = 1.0
    loss = topology(seen(logits, {"target": truth, "ignore": torch.zeros_like(truth)}))
    assert float(loss) == pytest.approx(math.log(1 + math.e) / 32)


def test_descending_the_term_alone_mends_the_topology_and_leaves_every_harmless_mistake():
    """A sheet with a hole in it, a speck beside it and glue to the next sheet, thickened on one side."""
    truth = np.zeros((12, 8, 8), bool)
    truth[2:4] = truth[8:10] = True
    predicted = truth.copy()
    predicted[4, 1:3, 1:3] = True  # harmless
    predicted[2:4, 5, 5] = False
    predicted[4:8, 6, 2] = predicted[6, 2, 6] = True
    logits = torch.where(torch.from_numpy(predicted), 1.5, -1.5)[None].requires_grad_()
    batch = {"target": torch.from_numpy(truth)[None], "ignore": torch.zeros(1, *truth.shape, dtype=torch.bool)}
    optimiser = torch.optim.SGD([logits], lr=100)
    losses = []
    for _ in range(40):
        loss = topology(seen(logits, batch))
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        losses.append(float(loss.detach()))
    after = (logits.detach()[0] > 0).numpy()
    harmless = np.zeros_like(truth)
    harmless[4, 1:3, 1:3] = True
    assert parts_count(predicted) != parts_count(truth) == parts_count(after)
    assert losses[0] > 0.01 and losses[-1] == 0
    assert (after[harmless] & ~truth[harmless]).all()


def each_side_alone(mistakes: np.ndarray, around: np.ndarray, ignore: np.ndarray, by_corners: bool) -> set[int]:
    """Components of mistakes, as scipy numbers them, that touch several parts of one side, or none and nothing unknown."""
    components, count = label(mistakes, np.ones((3, 3, 3)))
    parts = label(around | ignore, np.ones((3, 3, 3)) if by_corners else None)[0]
    parts[ignore] = 0
    near = np.ones((3, 3, 3), bool) if by_corners else generate_binary_structure(3, 1)
    blamed = set()
    for number in range(1, count + 1):
        component = components == number
        touched = set(np.unique(parts[binary_dilation(component, near)])) - {0}
        is_excused = (binary_dilation(component, np.ones((3, 3, 3))) & ignore).any()
        if len(touched) > 1 or (not touched and not is_excused):
            blamed.add(number)
    return blamed


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**32), st.sampled_from([0.3, 0.5, 0.7]), st.sampled_from([0.0, 0.05, 0.3]))
def test_both_sides_looked_at_in_one_pass_blame_what_each_alone_blames(seed, share, unknown):
    rng = np.random.default_rng(seed)
    predicted, truth, ignore = (rng.random((5, 6, 7)) < one for one in (share, share, unknown))
    expected = np.zeros(truth.shape, bool)
    for wrong, foreground, background in (
        (truth & ~predicted & ~ignore, truth & predicted, ~truth),
        (predicted & ~truth & ~ignore, truth, ~truth & ~predicted),
    ):
        blamed = each_side_alone(wrong, foreground, ignore, True) | each_side_alone(wrong, background, ignore, False)
        expected |= np.isin(label(wrong, np.ones((3, 3, 3)))[0], list(blamed))
    assert np.array_equal(critical_mistakes(predicted, truth, ignore), expected)


def test_samples_judged_in_threads_are_those_judged_one_after_the_other():
    rng, threads = np.random.default_rng(5), torch.get_num_threads()
    logits = torch.from_numpy(rng.standard_normal((5, 6, 9, 9)).astype(np.float32))
    target = torch.from_numpy(rng.random((5, 6, 9, 9)) < 0.5)
    voxels = seen(logits, {"target": target, "ignore": torch.zeros_like(target)})
    found = []
    try:
        for count in (1, 4):
            torch.set_num_threads(count)
            found.append(_critical_voxels(voxels))
    finally:
        torch.set_num_threads(threads)
    assert torch.equal(*found) and found[0].any()

"""What copies show is carried on with caution: chances stay true where all is imagined, and few strong letters stand out at last."""

import numpy as np
import pytest

from ensemble.controls.chance import chance_imagined
from ensemble.controls.tail import LEAST_EXPECTED, LEAST_SEEN, Tail, expected_beyond, tail_of

FALLS = {
    "as mass of a smooth field": lambda rng, count: rng.exponential(size=count) ** 2,
    "exponential": lambda rng, count: rng.exponential(size=count),
    "log-normal": lambda rng, count: rng.lognormal(size=count),
}


@pytest.mark.parametrize("name", FALLS)
@pytest.mark.parametrize(("a_sheet", "others"), [(3, 0), (3, 10), (20, 0), (20, 3)])
def test_of_bare_sheets_hardly_any_component_is_called_real(name: str, a_sheet: int, others: int) -> None:
    rng, drawn, real, found = np.random.default_rng(1), FALLS[name], 0, 0
    for _ in range(600):
        sheet, own = drawn(rng, rng.poisson(a_sheet)), drawn(rng, rng.poisson(a_sheet))
        tail = tail_of(np.append(own, drawn(rng, rng.poisson(a_sheet * others))))
        real += (chance_imagined(sheet, own, 1.0, tail) <= 0.1).sum()
        found += len(sheet)
    assert real / found <= 0.03


def test_three_letters_far_above_anything_on_one_small_copy_stand_out_and_by_counting_could_not() -> None:
    rng = np.random.default_rng(0)
    own = rng.exponential(size=25) ** 2
    letters = np.array([150.0, 200.0, 300.0])
    found = np.append(letters, rng.exponential(size=5) ** 2)
    assert chance_imagined(found, own, 1.0).min() >= 1 / len(found)
    chances = chance_imagined(found, own, 1.0, tail_of(own))
    assert (chances[:3] <= 0.1).all() and (chances[3:] > 0.1).all()


def test_the_scale_lies_above_the_true_one_four_times_in_five() -> None:
    rng = np.random.default_rng(2)
    tails = [tail_of(rng.exponential(2.0, size=30) ** 2) for _ in range(1000)]
    above = np.mean([tail is not None and tail.scale >= 2.0 for tail in tails])
    assert 0.77 <= above <= 0.84


def test_too_little_is_not_carried_on_and_nothing_is_carried_on_for_ever() -> None:
    assert tail_of(np.arange(1.0, LEAST_SEEN)) is None
    assert tail_of(np.ones(20)) is None  # all alike: how they would fall off nobody knows
    tail = Tail(bar=4.0, scale=1.0)
    beyond = expected_beyond(np.array([1.0, 4.0, 9.0, 1e9]), np.array([1.0, 5.0]), tail, 1.0)
    assert np.isinf(beyond[0]) and beyond[1] == 2  # one seen, and one more
    assert beyond[2] == pytest.approx(beyond[1] * np.exp(-1)) and beyond[3] == LEAST_EXPECTED
    # on twice as much negative control it is half as many
    assert expected_beyond(np.array([4.0]), np.array([5.0]), tail, 2.0)[0] == pytest.approx(beyond[1] / 2)

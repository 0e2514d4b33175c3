"""Blends about the equal mean: every one sums to one and differs, and the fit is never worse than where it began."""

from hypothesis import given
from hypothesis import strategies as st

from ensemble.surface.weights import _changed


@given(st.lists(st.floats(0.01, 1), min_size=1, max_size=5))
def test_changed_blends_sum_to_one_and_differ_from_the_first(shares):
    total = sum(shares)
    weights = {f"member {n}": share / total for n, share in enumerate(shares)}
    for changed in _changed(weights):
        assert abs(sum(changed.values()) - 1) < 1e-9 and min(changed.values()) >= 0
        assert changed.keys() == weights.keys() and changed != weights


def test_of_a_single_member_there_is_nothing_to_change():
    assert all(abs(one["alone"] - 1) < 1e-12 for one in _changed({"alone": 1.0}))


def test_two_members_can_be_dropped_halved_and_doubled_in_turn():
    found = {tuple(round(share, 3) for share in one.values()) for one in _changed({"a": 0.5, "b": 0.5})}
    assert found == {(0.0, 1.0), (0.333, 0.667), (0.667, 0.333), (1.0, 0.0)}

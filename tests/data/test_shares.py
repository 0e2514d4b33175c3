"""Each scroll's share of every batch: counted, kept in every batch, and nothing else changed where there are none."""

import json
from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scroll_fragments import small_fragment

from scroll.config.schema import MemberSettings, SamplingSettings
from scroll.data.folds import Fold
from scroll.data.patch_sampler import BalancedSampler, draw
from scroll.data.shares import Turns, shares_of
from scroll.errors import InputError
from stage1_3d.fragments.dataset import InkPatches

EVERYWHERE = Fold(0, {}, {})


def of_scrolls(tmp_path, scrolls: dict[str, str]):
    """A fragment by name, each of a scroll; "" where that is not known."""
    found = []
    for number, (name, scroll) in enumerate(scrolls.items()):
        fragment = small_fragment(tmp_path, name, (9, 40 + 40 * number, 48), depth=(-2, 2))
        if scroll:
            (fragment.folder / "catalogue.json").write_text(json.dumps({"scroll": scroll}))
        found.append(replace(fragment))
    return found


@given(st.lists(st.integers(1, 40), min_size=2, max_size=5), st.integers(1, 24), st.integers(0, 10**6))
def test_every_batch_holds_each_scrolls_share_to_the_nearest_patch(parts, batch, first):
    shares = {str(n): part / sum(parts) for n, part in enumerate(parts)}
    turns = Turns(shares)
    counted = Counter(turns[n] for n in range(first * batch, (first + 1) * batch))
    for name, share in shares.items():
        assert abs(counted[name] - share * batch) < len(parts)
    if len(set(parts)) == 1 and batch % len(parts) == 0:
        assert set(counted.values()) == {batch // len(parts)}


@pytest.mark.parametrize(
    ("shares", "expected"),
    [
        ({}, {"A": 5000, "B": 5000}),
        ({"A": 3, "B": 1}, {"A": 7500, "B": 2500}),
        ({"A": 0.1, "B": 0.9}, {"A": 1000, "B": 9000}),
    ],
)  # fmt: skip
def test_shares_are_counted_over_10_000_patches(tmp_path, shares, expected):
    fragments = of_scrolls(tmp_path, {"1": "A", "2": "B", "3": "B"})
    found = shares_of(fragments, SamplingSettings(shares=shares))
    sampler = EVERYWHERE.sampler(fragments, (16, 16), 0.5, True, found)
    drawn = [fragments[sampler.place(draw(1, n), n).source].scroll for n in range(10_000)]
    assert Counter(drawn) == expected
    if not shares:
        assert all({*pair} == {"A", "B"} for pair in zip(drawn[::2], drawn[1::2], strict=True))


def test_a_patch_is_of_the_scroll_whose_turn_it_is_whatever_is_mixed_in(tmp_path):
    fragments = of_scrolls(tmp_path, {"1": "A", "2": "B"})
    member = MemberSettings.model_validate({"network": "cnn3d", "patch_size": (4, 16, 16), "augment": {"mixup": 0.5}})
    patches = InkPatches(fragments, EVERYWHERE, member, 3, True, {"A": 0.5, "B": 0.5})
    alone = {name: InkPatches([f], EVERYWHERE, member, 3, True) for name, f in zip("AB", fragments, strict=True)}
    for n in range(12):
        np.testing.assert_array_equal(patches[n]["ct"], alone["AB"[n % 2]][n]["ct"])


def test_where_nothing_says_which_scroll_it_is_patches_are_drawn_as_before(tmp_path):
    for scrolls in ({"1": "", "2": ""}, {"1": "A", "2": ""}, {"1": "A", "2": "A"}):
        assert shares_of(of_scrolls(tmp_path / "".join(scrolls.values()) / "x", scrolls), SamplingSettings()) == {}
    fragments = of_scrolls(tmp_path / "y", {"1": "A", "2": "B"})
    assert shares_of(fragments, SamplingSettings(shares="by_area")) == {}
    assert shares_of(fragments, SamplingSettings()) == {"A": 0.5, "B": 0.5}


def test_a_scroll_that_a_fold_holds_out_leaves_its_share_to_the_others():
    inks, opens = (
        [np.ones((64, 64), bool)] * 3,
        [np.ones((64, 64), bool), np.zeros((64, 64), bool), np.ones((64, 64), bool)],
    )
    sampler = BalancedSampler(inks, opens, (16, 16), 0.5, None, ["A", "B", "C"], {"A": 0.2, "B": 0.4, "C": 0.4})
    assert Counter(sampler.place(draw(0, n), n).source for n in range(300)) == {0: 100, 2: 200}


@pytest.mark.parametrize(
    ("shares", "message"),
    [
        ({"A": 1}, r"no share of 'B'; expected one for each of: A, B"),
        ({"A": 1, "B": 1, "C": 1}, r"'C', which is no scroll of the training data; expected one for each of: A, B"),
    ],
)
def test_shares_of_other_scrolls_are_refused(tmp_path, shares, message):
    fragments = of_scrolls(tmp_path, {"1": "A", "2": "B"})
    with pytest.raises(InputError, match=message):
        shares_of(fragments, SamplingSettings(shares=shares))


@pytest.mark.parametrize("share", [0, -1, float("nan")])
def test_a_share_is_a_number_above_0(share):
    with pytest.raises(ValueError, match="shares"):
        SamplingSettings(shares={"A": share})


@pytest.mark.parametrize("content", ["{}", "[]", '{"scroll": 7}', "no json"])
def test_a_catalogue_that_names_no_scroll_is_one_line(tmp_path, content):
    fragment = small_fragment(tmp_path)
    (fragment.folder / "catalogue.json").write_text(content)
    with pytest.raises(InputError, match=r"catalogue.json") as error:
        _ = fragment.scroll
    assert "\n" not in str(error.value)


def test_a_scroll_goes_by_each_of_its_names(tmp_path):
    fragments = of_scrolls(tmp_path, {"1": "Scroll1", "2": "PHerc0332"})
    found = shares_of(fragments, SamplingSettings(shares={"PHercParis4": 3, "Scroll3": 1}))
    assert found == {"PHercParis4": 0.75, "PHerc0332": 0.25}


def test_which_scroll_it_is_of_decides_how_often_it_is_drawn_and_so_its_key(tmp_path):
    fragment = small_fragment(tmp_path)
    keys = [str(fragment.key)]
    for scroll in ("PHerc0139", "Scroll1", "PHercParis4"):
        (fragment.folder / "catalogue.json").write_text(json.dumps({"scroll": scroll, "added": scroll}))
        keys.append(str(replace(fragment).key))
    assert len(set(keys)) == 3 and keys[2] == keys[3]

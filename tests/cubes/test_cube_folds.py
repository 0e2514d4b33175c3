"""Cubes are held out whole, and all of a scroll together."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scroll.config.schema import DataSettings, FoldSettings
from scroll.data.cube_index import CubeIndex
from scroll.data.cubes import Cube
from scroll.data.folds import fold_numbers, make_folds
from scroll.data.fragments import Fragment
from scroll.errors import InputError

ROWS = 40


def cubes_of(scrolls: list[str]) -> list[Cube]:
    """Cubes of which only the scroll and the size are known; nothing of them is on disk."""
    cubes = []
    for number, scroll in enumerate(scrolls):
        cube = Cube(f"{number:03d}", scroll, Path("no.tif"), None, DataSettings(kind="cubes"))
        cube.__dict__["index"] = CubeIndex(Path("no.npy"), None, (30, ROWS, 50), (0.0, 1.0), None, None)
        cubes.append(cube)
    return cubes


@given(st.lists(st.sampled_from("abcdefg"), min_size=1, max_size=40), st.integers(2, 5))
def test_every_cube_is_held_out_once_and_whole_and_no_scroll_is_parted(scrolls, count):
    cubes, settings = cubes_of(scrolls), FoldSettings(by="scroll", count=count)
    if len({*scrolls}) < count:
        with pytest.raises(
            InputError, match=rf"folds.count is {count} but there are {len({*scrolls})} training scrolls"
        ):
            make_folds(cubes, settings)
        return
    folds = make_folds(cubes, settings)
    assert sorted(cube for fold in folds for cube in fold.held_out) == [cube.id for cube in cubes]
    for fold in folds:
        assert fold.held_out and fold.closed == fold.held_out and {*fold.held_out.values()} == {(0, ROWS)}
        shut = {cube.volume_name for cube in cubes if cube.id in fold.held_out}
        assert not shut & {cube.volume_name for cube in cubes if cube.id not in fold.held_out}


def test_the_competition_scrolls_are_dealt_out_as_evenly_as_whole_scrolls_can_be():
    counts = {"34117": 382, "35360": 176, "26010": 130, "26002": 88, "44430": 17, "53997": 13}
    cubes = cubes_of([scroll for scroll, count in counts.items() for _ in range(count)])
    folds = make_folds(cubes, FoldSettings(by="scroll", count=3))
    assert [len(fold.held_out) for fold in folds] == [382, 206, 218]


def test_single_cubes_may_be_held_out_too():
    folds = make_folds(cubes_of(["a"] * 5), FoldSettings(by="fragment", count=2))
    assert [sorted(fold.held_out) for fold in folds] == [["000", "002", "004"], ["001", "003"]]


@pytest.mark.parametrize("by", ["region", "volume"])
def test_splits_that_cubes_have_not_are_refused(by):
    with pytest.raises(
        InputError, match=rf"folds.by is {by}, but data.kind is cubes: set folds.by to scroll or fragment$"
    ):
        make_folds(cubes_of(["a", "b"]), FoldSettings(by=by, count=2))


def test_a_fragment_is_a_scroll_of_its_own():
    fragments = [Fragment(name, Path(name), DataSettings()) for name in "ab"]
    assert fold_numbers(fragments, FoldSettings(by="scroll", count=2)) == {"a": 0, "b": 1}


def test_what_folds_refuse_is_known_before_any_file_is_read():
    bare = [Cube(str(n), "a", Path("no.tif"), Path("no.tif"), DataSettings(kind="cubes")) for n in range(3)]
    with pytest.raises(InputError, match=r"there are 1 training scrolls; lower it or set folds\.by: fragment"):
        fold_numbers(bare, FoldSettings(by="scroll", count=2))
    assert fold_numbers(bare, FoldSettings(by="fragment", count=3)) == {"0": 0, "1": 1, "2": 2}

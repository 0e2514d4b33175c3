"""The blend: a mean in every sense, from whatever the maps are stored in."""

import numpy as np
import pytest
import zarr
from hypothesis import given, settings
from hypothesis import strategies as st

from ensemble import blend as blending
from ensemble.blend import blend
from scroll.errors import InputError


def maps(count: int = 3, shape: tuple[int, ...] = (50, 20), seed: int = 0) -> list[np.ndarray]:
    return list(np.random.default_rng(seed).random((count, *shape)).astype(np.float32))


@given(st.floats(0, 1, width=16), st.lists(st.floats(0.01, 10), min_size=1, max_size=9))
def test_a_constant_stays_that_constant(value: float, weights: list[float]) -> None:
    blended = blend([np.full((4, 5), value, np.float16)] * len(weights), weights)
    assert blended.dtype == np.float32
    assert blended == pytest.approx(value, abs=1e-6)


@settings(max_examples=30, deadline=None)
@given(st.integers(1, 5), st.integers(0, 1000), st.integers(1, 300))
def test_it_is_the_weighted_mean_however_small_the_strips(count: int, seed: int, strip_pixels: int) -> None:
    members, weights = maps(count, seed=seed), np.random.default_rng(seed).random(count) + 0.01
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(blending, "STRIP_PIXELS", strip_pixels)
        blended = blend(members, weights)
    assert blended == pytest.approx(np.average(members, axis=0, weights=weights), abs=1e-6)
    assert (blended >= np.min(members, axis=0) - 1e-6).all() and (blended <= np.max(members, axis=0) + 1e-6).all()


def test_all_the_weight_on_one_gives_that_one() -> None:
    members = maps()
    assert np.array_equal(blend(members, [0, 1, 0]), members[1])


def test_stored_maps_blend_as_those_in_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(blending, "STRIP_PIXELS", 30)
    members = [member.astype(np.float16) for member in maps(shape=(1, 50, 20))]
    stored = [zarr.array(member, chunks=(1, 16, 16)) for member in members]
    out = zarr.zeros((1, 50, 20), chunks=(1, 16, 16), dtype="float16")
    blend(stored, [1, 2, 3], out=out)
    in_memory = blend(members, [1, 2, 3])
    assert np.array_equal(blend(stored, [1, 2, 3]), in_memory)
    assert np.array_equal(out[:], in_memory.astype(np.float16))


def test_volumes_blend_as_well() -> None:
    members = maps(2, (4, 6, 5))
    assert blend(members, [1, 1]) == pytest.approx(np.mean(members, axis=0), abs=1e-6)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("weight", [0.0, 1.0])
def test_nan_is_refused_whatever_its_weight(bad: float, weight: float) -> None:
    members = maps()
    members[2][30, 4] = bad
    with pytest.raises(InputError, match="map 2 of 3 has NaN or infinity") as caught:
        blend(members, [1, 1, weight])
    assert "\n" not in str(caught.value)


def test_what_does_not_fit_together_is_refused() -> None:
    members = maps()
    cases: list[tuple[list[np.ndarray], list[float], str]] = [
        ([], [], "0 maps"),
        (members, [1, 1], "one weight for each"),
        (members, [1, -1, 1], "0 or more"),
        (members, [0, 0, 0], "not all 0"),
        (members, [1, np.nan, 1], "0 or more"),
        ([members[0], members[1][:-1], members[2]], [1, 1, 1], "shapes"),
    ]
    for given_maps, weights, message in cases:
        with pytest.raises(InputError, match=message):
            blend(given_maps, weights)
    with pytest.raises(InputError, match="output"):
        blend(members, [1, 1, 1], out=np.zeros((3, 3)))

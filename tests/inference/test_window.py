"""Sliding windows: a constant stays constant, a pointwise network stays pointwise, and a restart changes no bit."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from scroll.config.schema import WindowSettings
from scroll.errors import InputError
from scroll.inference.sliding_window import Corner, Sweep, blend_weights, count_windows, predict, symmetric_mean
from tests.peak_memory import with_peak_bytes

BLENDS, TTAS, AVERAGES = ["hann", "gaussian", "uniform"], ["none", "flips", "dihedral"], ["logits", "probabilities"]
overlaps = st.sampled_from([0.0, 0.25, 0.5, 0.8])
window_settings = st.builds(
    WindowSettings,
    overlap=overlaps,
    blend=st.sampled_from(BLENDS),
    tta=st.sampled_from(TTAS),
    average=st.sampled_from(AVERAGES),
    batch_size=st.integers(1, 5),
)


@st.composite
def sweeps(draw, axes: int | None = None) -> Sweep:
    axes = axes or draw(st.integers(2, 3))
    patch = tuple(draw(st.integers(1, 6)) for _ in range(axes))
    shape = tuple(p + draw(st.integers(0, 12)) for p in patch)
    chosen = draw(window_settings)
    if draw(st.booleans()):
        chosen = chosen.model_copy(update={"overlap": draw(st.tuples(*[overlaps] * axes))})
    return Sweep(shape, patch, chosen, (0, shape[-2]))


def test_an_overlap_for_each_axis_is_a_stride_for_each_axis():
    settings = WindowSettings(overlap=(0.5, 0.235, 0.235))
    z, y, x = Sweep((144, 344, 448), (72, 136, 136), settings, (0, 344)).starts()
    assert (z, y, x) == ([0, 36, 72], [0, 104, 208], [0, 104, 208, 312])


def predicted(sweep: Sweep, scores: np.ndarray, forward, from_row: int | None = None) -> np.ndarray:
    """All rows that `predict` writes for the volume `scores`; NaN where it wrote none."""
    written = np.full((1, *sweep.shape), np.nan, dtype=np.float32)
    following = sweep.rows[0] if from_row is None else from_row

    def read(corner: Corner) -> np.ndarray:
        return scores[tuple(slice(c, c + p) for c, p in zip(corner, sweep.patch, strict=True))][None]

    def write(row: int, rows: np.ndarray) -> None:
        nonlocal following
        assert row == following
        following = row + rows.shape[-2]
        written[..., row:following, :] = rows

    predict(sweep, read, forward, write, from_row)
    return written[0]


def noise(shape: tuple[int, ...]) -> np.ndarray:
    return np.random.default_rng(0).standard_normal(shape, dtype=np.float32) * 3


def sigmoid(values: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-values.astype(np.float64)))


def local_network(windows: Tensor) -> Tensor:
    """A network that looks at neighbours and knows left from right and the window's edge."""
    shifted = torch.roll(windows, (1, 2), (-2, -1))
    return windows + 0.7 * shifted - 0.1 * windows.flip(-1)


def rounding(sweep: Sweep) -> float:
    """By how much a float32 mean of the windows over one voxel may be off: half a unit in the last place for each that is added."""
    lots = zip(sweep.starts(), sweep.patch, strict=True)
    most = (max(sum(0 <= end - other < edge for other in starts) for end in starts) for starts, edge in lots)
    return max(2e-6, float(np.prod(list(most))) * 2.0**-24)


@given(sweeps(), st.floats(-6, 6, width=32))
def test_a_constant_stays_constant(sweep, value):
    result = predicted(sweep, np.full(sweep.shape, value, dtype=np.float32), lambda windows: windows)
    np.testing.assert_allclose(result, sigmoid(np.array(value)), atol=rounding(sweep))


@given(sweeps())
def test_a_pointwise_network_gives_the_pointwise_result(sweep):
    scores = noise(sweep.shape)
    result = predicted(sweep, scores, lambda windows: 0.5 * windows + 1)
    np.testing.assert_allclose(result, sigmoid(0.5 * scores + 1), atol=rounding(sweep))


def slowly(sweep: Sweep, scores: np.ndarray) -> np.ndarray:
    """Every window blended into one array of the whole shape, in double precision."""
    weight = blend_weights(sweep.patch, sweep.settings.blend).astype(np.float64)
    sums, weights = np.zeros(sweep.shape), np.zeros(sweep.shape)
    for corner in np.array(np.meshgrid(*sweep.starts(), indexing="ij")).reshape(len(sweep.shape), -1).T:
        place = tuple(slice(c, c + p) for c, p in zip(corner, sweep.patch, strict=True))
        window = torch.from_numpy(np.ascontiguousarray(scores[place]))[None, None]
        sums[place] += symmetric_mean(local_network, window, sweep.settings)[0, 0].numpy() * weight
        weights[place] += weight
    mean = sums / weights
    return sigmoid(mean) if sweep.settings.average == "logits" else mean


@given(sweeps())
def test_row_by_row_is_the_same_as_all_at_once(sweep):
    scores = noise(sweep.shape)
    np.testing.assert_allclose(predicted(sweep, scores, local_network), slowly(sweep, scores), atol=5e-6)


@given(sweeps(), st.data())
def test_going_on_from_any_row_gives_the_same_bits(sweep, data):
    scores, row = noise(sweep.shape), data.draw(st.integers(0, sweep.shape[-2]))
    undisturbed = predicted(sweep, scores, local_network)
    resumed = predicted(sweep, scores, local_network, from_row=row)
    np.testing.assert_array_equal(resumed[..., row:, :], undisturbed[..., row:, :])
    assert np.isnan(resumed[..., :row, :]).all()


@given(sweeps(), st.data())
def test_some_of_the_rows_are_the_same_as_those_rows_of_all(sweep, data):
    start = data.draw(st.integers(0, sweep.shape[-2]))
    stop = data.draw(st.integers(start, sweep.shape[-2]))
    scores = noise(sweep.shape)
    everything = predicted(sweep, scores, local_network)
    part = Sweep(sweep.shape, sweep.patch, sweep.settings, (start, stop))
    some = predicted(part, scores, local_network)
    np.testing.assert_array_equal(some[..., start:stop, :], everything[..., start:stop, :])
    assert np.isnan(some[..., :start, :]).all() and np.isnan(some[..., stop:, :]).all()


@given(sweeps(), st.data())
def test_as_many_windows_run_as_were_counted(sweep, data):
    row = data.draw(st.integers(0, sweep.shape[-2]))
    seen = []
    predict(
        sweep, lambda corner: np.zeros((1, *sweep.patch), np.float32), lambda w: w, lambda *_: None, row, seen.append
    )
    assert sum(seen) == count_windows(sweep, row)
    assert all(size <= sweep.settings.batch_size for size in seen)


def test_nothing_is_left_to_do_after_the_last_row():
    sweep = Sweep((8, 8), (4, 4), WindowSettings(), (0, 3))
    assert count_windows(sweep, 3) == count_windows(sweep, 5) == 0
    assert np.isnan(predicted(sweep, noise((8, 8)), local_network, from_row=3)).all()


@given(sweeps(axes=2), st.integers(0, 1000))
def test_where_no_window_was_wanted_the_probability_is_0(sweep, seed):
    def is_needed(corner: Corner) -> bool:
        return bool(np.random.default_rng([seed, *corner]).random() < 0.4)

    part = Sweep(sweep.shape, sweep.patch, sweep.settings, sweep.rows, is_needed)
    seen = np.zeros(sweep.shape, dtype=bool)
    ys, xs = sweep.starts()
    for y in ys:
        for x in xs:
            seen[y : y + sweep.patch[0], x : x + sweep.patch[1]] |= is_needed((y, x))
    result = predicted(part, np.zeros(sweep.shape, dtype=np.float32), lambda windows: windows)
    np.testing.assert_allclose(result, np.where(seen, 0.5, 0), atol=1e-6)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_scores_that_are_no_numbers_are_refused_with_the_window(bad):
    scores = noise((8, 8))
    scores[6, 1] = bad
    with pytest.raises(InputError, match=r"window at \(1, 0\).*precision"):
        predicted(Sweep((8, 8), (6, 6), WindowSettings(overlap=0.9), (0, 8)), scores, lambda windows: windows)


def test_memory_is_that_of_one_row_of_windows_not_of_the_volume():
    depth, height, width, patch = 4, 4000, 128, (4, 32, 32)
    sweep = Sweep((depth, height, width), patch, WindowSettings(), (0, height))
    zeros = np.zeros((1, *patch), dtype=np.float32)
    _, peak = with_peak_bytes(
        lambda: predict(sweep, lambda corner: zeros, lambda windows: windows, lambda row, rows: None)
    )
    band = depth * patch[1] * width * 4
    assert peak < 8 * band < depth * height * width * 4 / 10


@pytest.mark.parametrize("tta", TTAS)
@pytest.mark.parametrize("shape", [(1, 1, 4, 4), (1, 1, 3, 5), (2, 1, 2, 4, 4)])
def test_test_time_symmetries_make_any_network_see_them_alike(tta, shape):
    """The mean over a group of symmetries commutes with each symmetry of the group."""
    chosen, windows = WindowSettings(tta=tta), torch.from_numpy(noise(shape))
    scores = symmetric_mean(local_network, windows, chosen)
    for change in [] if tta == "none" else [lambda a: a.flip(-1), lambda a: a.flip(-2)]:
        torch.testing.assert_close(symmetric_mean(local_network, change(windows), chosen), change(scores))
    if tta == "dihedral" and shape[-1] == shape[-2]:
        turned = torch.rot90(windows, 1, (-2, -1))
        expected = torch.rot90(scores, 1, (-2, -1))
        torch.testing.assert_close(symmetric_mean(local_network, turned, chosen), expected)


@pytest.mark.parametrize(("tta", "square", "oblong"), [("none", 1, 1), ("flips", 4, 4), ("dihedral", 8, 4)])
def test_how_many_different_views_there_are(tta, square, oblong):
    for shape, expected in (((1, 1, 3, 3), square), ((1, 1, 2, 3), oblong)):
        views: set[bytes] = set()

        def record(windows: Tensor, views: set[bytes] = views) -> Tensor:
            views.add(windows.contiguous().numpy().tobytes())
            return windows

        symmetric_mean(record, torch.arange(float(np.prod(shape))).reshape(shape), WindowSettings(tta=tta))
        assert len(views) == expected


def test_averaging_logits_and_averaging_probabilities_differ_as_by_hand():
    windows = torch.tensor([[[[0.0, 4.0]]]])  # the mirror image turns the two about
    for average, expected in (("logits", 2.0), ("probabilities", (0.5 + sigmoid(np.array(4.0))) / 2)):
        chosen = WindowSettings(tta="flips", average=average)
        scores = symmetric_mean(lambda w: w[..., :1].expand(w.shape), windows, chosen)
        torch.testing.assert_close(scores, torch.full_like(windows, float(expected)))


@settings(max_examples=40)
@given(st.lists(st.integers(1, 24), min_size=1, max_size=3), st.sampled_from(BLENDS))
def test_blend_weights_are_positive_symmetric_and_highest_in_the_middle(patch, blend):
    weights = blend_weights(tuple(patch), blend)
    assert weights.dtype == np.float32 and weights.shape == tuple(patch) and (weights > 0).all()
    np.testing.assert_allclose(weights, np.flip(weights), rtol=1e-4)
    assert weights[tuple(length // 2 for length in patch)] == weights.max()


def test_a_patch_larger_than_the_volume_says_what_to_change():
    with pytest.raises(
        InputError, match="a window of 9 voxels does not fit along an axis of 8; make patch_size smaller"
    ):
        predicted(Sweep((8, 8), (9, 8), WindowSettings(), (0, 8)), noise((8, 8)), local_network)

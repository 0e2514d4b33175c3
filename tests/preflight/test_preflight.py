"""A stack that is otherwise than in training is found out: turned, shifted or scaled, and never wrongly put right."""

from dataclasses import replace

import numpy as np
import pytest
from scipy.ndimage import zoom

from scroll.config.schema import DataSettings
from scroll.data.fragments import Fragment
from scroll.errors import InputError
from scroll.phantom.fragment import draw_fragment
from scroll.phantom.settings import fragment_settings
from scroll.phantom.write import write_fragment
from scroll.preflight.training_span import Finding, decide, estimate, read_reference, training_reference

DEEP, LAYERS, EDGE = 81, 65, 512
SEEDS = range(341, 349)
SOUND = Finding(False, 0.2, 1.0, 1.0, 2.0, 2.0, 0.3)


def draw(seed, preset="default"):
    """A phantom of 81 layers: 65 about its middle are the stack, the rest leaves room to shift them."""
    return draw_fragment(fragment_settings(preset, (DEEP, EDGE, EDGE)), seed)


def stack_of(volume, shift=0):
    """The 65 layers whose centre is `shift` layers above the middle, so that the sheet is that much deeper."""
    first = DEEP // 2 - LAYERS // 2 - shift
    return volume[first : first + LAYERS]


@pytest.fixture(scope="module")
def reference():
    drawn = [draw(seed) for seed in (1, 2, 3, 4)]
    return training_reference([(stack_of(one.volume), one.mask, str(n)) for n, one in enumerate(drawn)])


@pytest.fixture(scope="module")
def fragments():
    """Others than those the thresholds were fitted on, and than those of the reference."""
    return [draw(seed) for seed in SEEDS[:3]]


def changed(fragment, rng):
    """A random window of at least 256 pixels, turned, shifted and scaled at random, with what was done to it."""
    scale = float(np.exp2(rng.uniform(-1, 1)))
    edge = int(np.ceil(256 / min(scale, 1)))
    is_flipped, shift = bool(rng.integers(2)), int(rng.integers(-5, 6))
    y, x = rng.integers(0, EDGE - edge + 1, 2)
    window = stack_of(fragment.volume, shift)[:, y : y + edge, x : x + edge].astype(np.float32)
    mask = fragment.mask[y : y + edge, x : x + edge]
    if scale < 1:  # a coarser scan is a mean over finer pixels
        small = max(1, round(edge * scale))
        window = area_mean(area_mean(window, 1, small), 2, small)
    else:
        window = zoom(window, (1, scale, scale), order=1, grid_mode=True, mode="nearest")
    sides = [n / edge for n in window.shape[1:]]
    mask = zoom(mask.astype(np.float32), sides, order=1, grid_mode=True, mode="nearest") > 0.5
    return (window[::-1] if is_flipped else window), mask, is_flipped, shift, scale, (y, x, edge)


def area_mean(values, axis, count):
    """`values` brought to `count` samples along an axis, each the mean over its share of the length."""
    values = np.moveaxis(values, axis, -1)
    length = values.shape[-1]
    sums = np.concatenate([np.zeros((*values.shape[:-1], 1)), np.cumsum(values, axis=-1, dtype=np.float64)], axis=-1)
    ends = np.arange(count + 1) * length / count
    before = np.minimum(ends.astype(int), length - 1)
    at_ends = sums[..., before] * (1 - (ends - before)) + sums[..., before + 1] * (ends - before)
    return np.moveaxis(np.diff(at_ends, axis=-1) * count / length, -1, axis).astype(np.float32)


@pytest.mark.slow
def test_of_40_windows_turned_shifted_and_scaled_at_random_38_are_right_and_none_is_silently_wrong(
    reference, fragments
):
    profile, fragments = read_reference(reference), [*fragments, *map(draw, SEEDS[3:])]
    right = refused = 0
    wrong = []
    for n in range(40):
        rng = np.random.default_rng((n, 2027))
        fragment = fragments[n % len(fragments)]
        window, mask, is_flipped, shift, scale, (y, x, edge) = changed(fragment, rng)
        cut = (slice(None), slice(y, y + edge), slice(x, x + edge))
        try:
            own = estimate(stack_of(fragment.volume)[cut], fragment.mask[cut[1:]], profile).offset_layers
            found = estimate(window, mask, profile)
        except InputError:
            refused += 1
            continue
        is_right = (
            found.is_flipped == is_flipped
            and abs(found.offset_layers - shift - own) <= 1
            and 1 / 1.12 <= found.scale / scale <= 1.12
        )
        if not found.is_sound:
            refused += 1
        elif is_right:
            right += 1
        else:
            wrong.append((n, is_flipped, shift + own, scale, str(found)))
    assert not wrong, wrong
    assert right >= 38, (right, refused)


def test_a_stack_like_those_of_the_training_is_taken_as_it_is(reference, fragments):
    for fragment in fragments[:3]:
        found = estimate(stack_of(fragment.volume), fragment.mask, read_reference(reference))
        assert not found.is_flipped and abs(found.offset_layers) < 6 and 0.9 < found.scale < 1.1 and found.is_sound


@pytest.mark.parametrize("preset", ["zero", "easy"])
def test_it_does_not_look_at_the_ink(reference, preset):
    one, profile = draw(401, preset), read_reference(reference)
    untouched = estimate(stack_of(one.volume), one.mask, profile)
    found = estimate(stack_of(one.volume, 5)[::-1], one.mask, profile)
    assert not untouched.is_flipped and found.is_flipped
    assert found.offset_layers == pytest.approx(untouched.offset_layers + 5, abs=1)
    assert 0.9 < found.scale < 1.1 and found.is_sound


def test_brightness_contrast_and_type_of_the_scan_do_not_matter(reference, fragments):
    profile, fragment = read_reference(reference), fragments[0]
    stack = stack_of(fragment.volume, -4)
    plain = estimate(stack, fragment.mask, profile)
    other = estimate(stack.astype(np.float32) * 0.004 + 17, fragment.mask, profile)
    bytes_ = estimate((stack >> 8).astype(np.uint8), fragment.mask, profile)
    for found in (other, bytes_):
        assert found.is_flipped == plain.is_flipped
        assert found.offset_layers == pytest.approx(plain.offset_layers, abs=0.3)
        assert found.scale == pytest.approx(plain.scale, rel=0.05)


def test_a_thinner_stack_is_compared_all_the_same(reference, fragments):
    stack = stack_of(fragments[1].volume)[12:52]  # 40 layers; their centre 20 is layer 32
    found = estimate(stack, fragments[1].mask, read_reference(reference))
    whole = estimate(stack_of(fragments[1].volume), fragments[1].mask, read_reference(reference))
    assert not found.is_flipped and found.offset_layers == pytest.approx(whole.offset_layers, abs=1)


@pytest.mark.parametrize("what", ["blank", "no papyrus", "too small", "NaN"])
def test_what_shows_no_sheet_is_refused_in_one_line(reference, fragments, what):
    stack, mask = stack_of(fragments[0].volume).astype(np.float32), fragments[0].mask
    if what == "blank":
        stack = np.full_like(stack, 7)
    elif what == "no papyrus":
        mask = np.zeros_like(mask)
    elif what == "too small":
        stack, mask = stack[:, :100, :100], mask[:100, :100]
    else:
        stack[30] = np.nan
    with pytest.raises(InputError) as caught:
        estimate(stack, mask, read_reference(reference), where="here")
    assert "\n" not in str(caught.value) and "here" in str(caught.value)


def test_noise_alone_is_never_clearly_something(reference, fragments):
    noise = np.random.default_rng(0).normal(0, 1, (LAYERS, EDGE, EDGE)).astype(np.float32)
    assert not estimate(noise, np.ones((EDGE, EDGE), bool), read_reference(reference)).is_sound


@pytest.mark.parametrize(
    ("change", "verdict"),
    [
        ({}, "as trained"),
        ({"offset_layers": 0.9}, "as trained"),
        ({"flip_margin": 0.0}, "doubtful"),
        ({"is_flipped": True}, "corrected"),
        ({"offset_layers": -4.4}, "corrected"),
    ],
)
def test_what_is_clear_is_corrected_and_what_is_well_is_left(change, verdict):
    result = decide(replace(SOUND, **change), "correct", "here")
    assert result.verdict == verdict
    if verdict == "corrected":
        assert (result.is_flipped, result.shift_layers) == (
            change.get("is_flipped", False),
            round(change.get("offset_layers", 0)),
        )
    assert result.record()["finding"]["scale"] == 1.0


@pytest.mark.parametrize(
    ("change", "mode", "message"),
    [
        ({"is_flipped": True, "flip_margin": 0.01}, "correct", "not clearly enough"),
        ({"offset_layers": 12.0}, "correct", "not clearly enough"),
        ({"scale": 2.0}, "correct", "resample by 0.50"),
        ({"is_flipped": True}, "refuse", "preflight.mode to correct"),
    ],
)
def test_what_cannot_or_must_not_be_corrected_is_refused_with_the_evidence(change, mode, message):
    with pytest.raises(InputError, match=message) as caught:
        decide(replace(SOUND, **change), mode, "here")
    assert "\n" not in str(caught.value) and "margins" in str(caught.value)
    assert decide(replace(SOUND, **change), "warn", "here").verdict == "doubtful"


def test_a_scale_that_the_texture_is_too_poor_to_tell_is_not_refused():
    unknown = replace(SOUND, scale=0.85, unscaled_margin=0.03)
    left = decide(unknown, "correct", "fragment a")
    assert (left.verdict, left.shift_layers) == ("doubtful", 0) and "cannot tell" in left.why
    turned = decide(replace(unknown, is_flipped=True), "correct", "fragment a")
    assert turned.verdict == "corrected" and turned.is_flipped and "cannot tell" in turned.why
    with pytest.raises(InputError, match=r"0\.85 times"):
        decide(replace(unknown, unscaled_margin=0.2), "correct", "fragment a")
    with pytest.raises(InputError, match="looks unlike"):
        decide(replace(unknown, cost=20.0), "correct", "fragment a")


def test_a_fragment_of_another_size_is_clearly_that_and_a_sound_one_is_clearly_none(reference, fragments):
    volume, mask = (part[..., :256, :256] for part in (stack_of(fragments[0].volume), fragments[0].mask))
    larger = zoom(volume.astype(np.float32), (1, 1.3, 1.3), order=1, grid_mode=True, mode="nearest")
    profile = read_reference(reference)
    found = estimate(larger, np.ones(larger.shape[1:], bool), profile)
    assert found.is_scaled and not found.is_scale_unknown
    assert not estimate(volume, mask, profile).is_scaled


def test_a_corrected_fragment_shows_the_layers_of_the_sound_one(tmp_path, fragments):
    drawn = fragments[2]
    write_fragment(replace(drawn, volume=stack_of(drawn.volume)), tmp_path / "sound")
    write_fragment(replace(drawn, volume=stack_of(drawn.volume, 3)[::-1]), tmp_path / "turned")
    data = DataSettings(depth=(-8, 8), bin_yx=2, cache_dir=tmp_path / "cache")
    sound = Fragment("a", tmp_path / "sound", data)
    turned = Fragment("a", tmp_path / "turned", data, is_flipped=True, shift_layers=3)
    np.testing.assert_array_equal(sound.ct[:], turned.ct[:])
    np.testing.assert_array_equal(sound.picture(), turned.picture())
    np.testing.assert_array_equal(sound.patch(2, 30, 40, (8, 16, 24)), turned.patch(2, 30, 40, (8, 16, 24)))
    assert turned.key != Fragment("a", tmp_path / "turned", data).key
    shifted = Fragment("a", tmp_path / "turned", data, is_flipped=True, shift_layers=2)
    assert (shifted.ct[:] != turned.ct[:]).any()


def test_a_shift_beyond_the_stack_is_reported(tmp_path, fragments):
    write_fragment(replace(fragments[2], volume=fragments[2].volume[20:40]), tmp_path / "thin")
    fragment = Fragment("a", tmp_path / "thin", DataSettings(depth=(-8, 8)), shift_layers=5)
    with pytest.raises(InputError, match="the widest window"):
        _ = fragment.layers

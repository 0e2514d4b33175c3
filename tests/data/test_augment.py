"""Augmentation: image, label and ignore mask move as one, strengths are what they are called, and zero means nothing."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scroll.config.schema import AugmentSettings
from scroll.data.augment.augment import (
    NOTHING,
    augmented,
    change_image,
    check_augment,
    depth_moved,
    mixed,
    pasted,
)
from scroll.data.augment.draws import MIX_ALPHA, draw_box, draw_depth_move, draw_share
from scroll.data.sample import Sample, Space
from scroll.errors import InputError

shapes = st.tuples(st.integers(1, 4), st.integers(1, 6), st.integers(1, 6))
spaces = st.sampled_from(Space)
EVERYTHING = {
    "flips": True, "quarter_turns": True, "brightness": 0.2, "contrast": 0.2, "noise": 0.1, "layer_dropout": 1.0, "cutout": 1.0,
    "blur": 1.5, "turn_degrees": 30.0, "zoom": 0.2, "elastic_vox": 2.0, "mixup": 1.0, "cutmix": 1.0, "depth_cut_paste": 1.0,
}  # fmt: skip


def numbered(shape: tuple[int, ...]) -> np.ndarray:
    return np.arange(np.prod(shape), dtype=np.float32).reshape(shape)


def with_only(**on: float | bool) -> AugmentSettings:
    return NOTHING.model_copy(update=on)


def speckled(seed: int, space: Space = Space.SHEET, shape: tuple[int, int, int] = (6, 16, 16)) -> Sample:
    """A patch whose label is the positive half of its image; of stacks, of their mean."""
    image = np.random.default_rng(seed).standard_normal(shape).astype(np.float32)
    target = image.mean(axis=0) > 0 if space is Space.STACK else image > 0
    return Sample(image, target, np.random.default_rng(seed + 1).random(target.shape) < 0.2)


def cut_from(space: Space):
    """Draws one of a thousand speckled patches."""
    return lambda rng, _: speckled(int(rng.integers(1000)), space)


def assert_same(one: Sample, other: Sample) -> None:
    for name in ("image", "target", "ignore"):
        np.testing.assert_array_equal(getattr(one, name), getattr(other, name))
        assert getattr(one, name).dtype == getattr(other, name).dtype


@given(st.integers(0, 10**6), spaces)
def test_settings_of_nothing_change_nothing(seed, space):
    plain = cut_from(space)(np.random.default_rng(seed), NOTHING)
    assert_same(augmented(np.random.default_rng(seed), cut_from(space), NOTHING, space), plain)


@pytest.mark.parametrize("space", Space)
@pytest.mark.parametrize("name", EVERYTHING)
def test_each_augmentation_changes_something_and_is_a_function_of_the_random_numbers(name, space):
    on = with_only(**{name: EVERYTHING[name]}, across_sheets=True)
    patches = [augmented(np.random.default_rng(n), cut_from(space), on, space) for n in range(8)]
    assert all(p.image.dtype == np.float32 and p.image.flags.c_contiguous for p in patches)
    plain = [cut_from(space)(np.random.default_rng(n), NOTHING) for n in range(8)]
    assert sum((p.image != q.image).any() for p, q in zip(patches, plain, strict=True)) >= 3
    for n, patch in enumerate(patches):
        assert_same(augmented(np.random.default_rng(n), cut_from(space), on, space), patch)


@pytest.mark.parametrize("space", Space)
def test_what_changes_the_grey_alone_leaves_the_label_alone(space):
    grey = with_only(
        **{n: EVERYTHING[n] for n in ("brightness", "contrast", "noise", "layer_dropout", "cutout", "blur")}
    )
    plain = cut_from(space)(np.random.default_rng(5), NOTHING)
    changed = augmented(np.random.default_rng(5), cut_from(space), grey, space)
    np.testing.assert_array_equal(changed.target, plain.target)
    np.testing.assert_array_equal(changed.ignore, plain.ignore)


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10**6), st.sampled_from([Space.SHEET, Space.SCROLL]), st.booleans())
def test_the_label_stays_on_its_voxels_through_all_that_moves_them_whole(seed, space, across):
    """The label is the sign of the image's voxel, so wherever it is known it still is afterwards."""
    moving = with_only(flips=True, quarter_turns=True, cutmix=0.5, across_sheets=across)
    if space is Space.SHEET:
        moving = moving.model_copy(update={"depth_cut_paste": 0.5})
    moved = augmented(np.random.default_rng(seed), cut_from(space), moving, space)
    assert ((moved.image > 0) == moved.target)[~moved.ignore].all() and not moved.ignore.all()


@given(st.integers(0, 10**6))
def test_mixup_is_the_mean_of_both_by_one_weight_and_unknown_where_either_is(seed):
    first, second = speckled(seed), speckled(seed + 7)
    both = mixed(first, second, draw_share(np.random.default_rng(seed)))
    share = np.random.default_rng(seed).beta(MIX_ALPHA, MIX_ALPHA)
    np.testing.assert_allclose(both.image, share * first.image + (1 - share) * second.image, atol=1e-5)
    np.testing.assert_allclose(both.target, share * first.target + (1 - share) * second.target, atol=1e-6)
    np.testing.assert_array_equal(both.ignore, first.ignore | second.ignore)
    assert both.target.dtype == both.image.dtype == np.float32


@pytest.mark.parametrize("space", Space)
def test_with_mixup_every_target_is_float_and_without_it_none(space):
    some, none = with_only(mixup=0.5, cutmix=0.5), with_only(cutmix=0.5)
    drawn = [augmented(np.random.default_rng(n), cut_from(space), some, space).target for n in range(20)]
    assert {t.dtype for t in drawn} == {np.dtype(np.float32)}
    hard = [bool(np.isin(t, (0, 1)).all()) for t in drawn]
    assert any(hard) and not all(hard)  # half of them were mixed
    assert augmented(np.random.default_rng(0), cut_from(space), none, space).target.dtype == bool


@given(st.integers(0, 10**6), spaces, st.booleans())
def test_cutmix_pastes_one_box_of_the_second_patch_label_and_all(seed, space, is_flat):
    shape = (3, 7, 5)
    flat = space is Space.STACK or (is_flat and space is Space.SHEET)
    one = Sample(np.zeros(shape, np.float32), np.zeros(shape[1:] if flat else shape, bool), np.zeros(shape, bool))
    one = Sample(one.image, one.target, np.zeros(one.target.shape, bool))
    other = one.each(np.ones_like)
    both = pasted(one, other, draw_box(np.random.default_rng(seed), shape[-space.moving_axes :]))
    box = both.image > 0
    for label in (both.target, both.ignore):
        np.testing.assert_array_equal(np.broadcast_to(label, shape), box)
    for axis in range(3):
        inside = np.flatnonzero(box.any(axis=tuple({0, 1, 2} - {axis})))
        box = np.take(box, inside, axis)
        if axis == 0 and space is not Space.SCROLL:
            assert len(inside) == 3  # through all layers
    assert box.size and box.all()
    assert not one.image.any() and other.image.all()


@pytest.mark.parametrize("axes", [2, 3])
def test_the_pasted_share_is_uniform(axes):
    shape = (40, 40, 40)
    one = Sample(np.zeros(shape, np.float32), np.zeros(shape, bool), np.zeros(shape, bool))
    boxes = [draw_box(np.random.default_rng(n), shape[-axes:]) for n in range(200)]
    drawn = [pasted(one, one.each(np.ones_like), box).image.mean() for box in boxes]
    for quantile in (0.25, 0.5, 0.75):
        assert np.quantile(drawn, quantile) == pytest.approx(quantile, abs=0.1)


@given(st.integers(0, 10**6), st.integers(2, 20), st.booleans())
def test_a_run_of_layers_moves_through_depth_and_the_rest_is_blank_and_unknown(seed, layers, is_flat):
    image = np.broadcast_to(np.arange(1, layers + 1, dtype=np.float32)[:, None, None], (layers, 2, 3))
    target = np.ones(image.shape[1:], bool) if is_flat else image % 2 == 0
    move = draw_depth_move(np.random.default_rng(seed), layers)
    moved = depth_moved(Sample(image, target, np.zeros_like(target)), move)
    order = moved.image[:, 0, 0]
    kept = np.flatnonzero(order)
    assert min(layers - 1, 0.75 * layers) <= len(kept) < layers and (np.diff(kept) == 1).all()
    assert (np.diff(order[kept]) == 1).all() and order[kept[0]] != kept[0] + 1  # in order, at another depth
    if is_flat:
        np.testing.assert_array_equal(moved.target, target)
        assert not moved.ignore.any()
        return
    blank = order == 0
    assert (moved.ignore == blank[:, None, None]).all()
    assert (moved.target == ((order % 2 == 0) & ~blank)[:, None, None]).all()


def test_a_single_layer_stays():
    assert draw_depth_move(np.random.default_rng(0), layers=1) is None


@pytest.mark.parametrize("space", Space)
def test_a_blur_keeps_the_mean_and_takes_detail_but_never_from_channel_to_channel(space):
    image = np.zeros((17, 21, 21), np.float32)
    image[8, 10, 10] = 1
    spreads = []
    for n in range(60):
        blurred = change_image(np.random.default_rng(n), image, with_only(blur=2.0), space)
        assert blurred.sum() == pytest.approx(1, abs=0.01)
        if blurred.max() < 0.99:  # a sigma near 0 leaves all as it is
            assert blurred[[7, 9]].any() == (space is not Space.STACK)
        plane = blurred.sum(axis=0)
        spreads.append(np.sqrt((plane.sum(axis=0) * (np.arange(21) - 10) ** 2).sum()))
    assert 1.8 < max(spreads) <= 2.05 and min(spreads) < 0.3


def test_depth_moves_are_refused_where_no_axis_is_depth():
    check_augment(with_only(depth_cut_paste=0.5), Space.SHEET)
    for space in (Space.STACK, Space.SCROLL):
        with pytest.raises(InputError, match=r"augment\.depth_cut_paste is 0\.5, but only layers of a flattened sheet"):
            check_augment(with_only(depth_cut_paste=0.5), space)


def test_turns_across_sheets_are_refused_where_there_is_one_sheet():
    check_augment(with_only(across_sheets=True), Space.SCROLL)
    for space in (Space.SHEET, Space.STACK):
        with pytest.raises(InputError, match=r"augment\.across_sheets is true, but only in scroll space"):
            check_augment(with_only(across_sheets=True), space)


def test_turns_that_show_one_face_as_the_other_are_refused_unless_asked_for():
    check_augment(with_only(turn_degrees=180), Space.SHEET)
    check_augment(with_only(turn_degrees=89), Space.SCROLL)
    check_augment(with_only(turn_degrees=180, across_sheets=True), Space.SCROLL)
    with pytest.raises(InputError, match=r"augment\.turn_degrees is 90\.0: .* or set augment\.across_sheets: true"):
        check_augment(with_only(turn_degrees=90.0), Space.SCROLL)


@given(st.integers(0, 10**6), shapes)
def test_the_same_random_numbers_give_the_same_image_and_leave_the_original(seed, shape):
    image = numbered(shape)
    first, second = (change_image(np.random.default_rng(seed), image, AugmentSettings()) for _ in range(2))
    np.testing.assert_array_equal(first, second)
    np.testing.assert_array_equal(image, numbered(shape))
    assert first.dtype == np.float32 and first.shape == shape and np.isfinite(first).all()


@given(st.integers(0, 10**6), st.integers(1, 3), st.integers(1, 40), st.integers(1, 40))
def test_the_cut_out_is_one_rectangle_of_at_most_a_quarter_through_all_layers(seed, layers, height, width):
    settings = NOTHING.model_copy(update={"cutout": 1.0})
    changed = change_image(np.random.default_rng(seed), np.ones((layers, height, width), np.float32), settings)
    blank = changed[0] == 0
    rows, cols = np.flatnonzero(blank.any(axis=1)), np.flatnonzero(blank.any(axis=0))
    assert 1 <= len(rows) <= max(1, height // 4) and 1 <= len(cols) <= max(1, width // 4)
    assert blank[rows[0] : rows[-1] + 1, cols[0] : cols[-1] + 1].all() and blank.sum() == len(rows) * len(cols)
    assert ((changed == 0) == blank).all()


@given(st.integers(0, 10**6), st.integers(1, 6))
def test_one_or_two_layers_are_blanked_but_never_all(seed, layers):
    settings = NOTHING.model_copy(update={"layer_dropout": 1.0})
    changed = change_image(np.random.default_rng(seed), np.ones((layers, 3, 3), np.float32), settings)
    blank = (changed == 0).all(axis=(1, 2))
    assert ((changed == 0).any(axis=(1, 2)) == blank).all()
    assert blank.sum() <= min(2, layers - 1) and (layers == 1 or blank.any())


@given(st.integers(0, 10**6))
def test_brightness_and_contrast_stay_within_their_settings(seed):
    settings = NOTHING.model_copy(update={"brightness": 0.2, "contrast": 0.3})
    image = np.array([0.0, 1.0], np.float32).reshape(1, 1, 2)
    changed = change_image(np.random.default_rng(seed), image, settings)[0, 0]
    assert abs(changed[0]) <= 0.2001 and 0.6999 <= changed[1] - changed[0] <= 1.3001


def test_the_noise_is_as_strong_as_the_setting_at_most():
    settings, image = NOTHING.model_copy(update={"noise": 0.5}), np.zeros((1, 60, 60), np.float32)
    spreads = [change_image(np.random.default_rng(n), image, settings).std() for n in range(60)]
    assert 0.4 < max(spreads) < 0.55 and min(spreads) < 0.1

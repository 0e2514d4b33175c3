from dataclasses import replace

import numpy as np
import pytest
from scipy.stats import rankdata

from scroll.phantom.fragment import draw_density, draw_fragment
from scroll.phantom.settings import fragment_settings

SMALL = (32, 160, 160)


def layer_aucs(fragments, every=11):
    """AUC of each layer's brightness for ink within the mask, fragments pooled."""
    inked = np.concatenate([f.ink[f.mask][::every] for f in fragments])
    aucs = []
    for z in range(fragments[0].volume.shape[0]):
        ranks = rankdata(np.concatenate([f.volume[z][f.mask][::every] for f in fragments]))
        n = inked.sum()
        aucs.append((ranks[inked].sum() - n * (n + 1) / 2) / (n * (inked.size - n)))
    return np.array(aucs)


def test_the_same_seed_gives_the_same_bytes_and_another_seed_others():
    settings = fragment_settings("default", SMALL)
    first, again, other = (draw_fragment(settings, seed) for seed in (7, 7, 8))
    assert first.volume.tobytes() == again.volume.tobytes()
    assert (first.mask == again.mask).all() and (first.ink == again.ink).all()
    assert first.volume.tobytes() != other.volume.tobytes() and (first.ink != other.ink).any()


@pytest.mark.parametrize("crushed", [False, True])
def test_a_fragment_has_the_types_and_shapes_of_the_competition(crushed):
    fragment = draw_fragment(fragment_settings("default", SMALL, crushed), 1)
    assert fragment.volume.shape == SMALL and fragment.volume.dtype == np.uint16
    assert fragment.mask.shape == fragment.ink.shape == SMALL[1:]
    assert 0.5 < fragment.mask.mean() < 0.98 and not (fragment.ink & ~fragment.mask).any()


@pytest.mark.slow
def test_no_single_layer_tells_the_ink_at_default():
    fragments = [draw_fragment(fragment_settings("default", (32, 1024, 1024)), seed) for seed in (1, 2)]
    aucs = layer_aucs(fragments)
    assert np.maximum(aucs, 1 - aucs).max() <= 0.62
    for fragment in fragments:
        alone = layer_aucs([fragment])
        assert np.maximum(alone, 1 - alone).max() <= 0.62


def test_single_layers_tell_the_easy_ink_better_than_none():
    easy, zero = (
        layer_aucs([draw_fragment(fragment_settings(preset, (32, 512, 512)), 3)], every=3)
        for preset in ("easy", "zero")
    )
    assert (easy - zero).max() > 0.05


def test_the_zero_ink_control_does_not_know_its_letters():
    settings = fragment_settings("zero", SMALL)
    other_letters = replace(settings, ink=replace(settings.ink, letter_height_px=50.0, share=0.12))
    one, other = draw_fragment(settings, 1), draw_fragment(other_letters, 1)
    assert one.ink.any() and (one.ink != other.ink).any()
    assert one.volume.tobytes() == other.volume.tobytes()


def test_ink_changes_the_density_only_under_the_letters():
    with_ink, _, ink = draw_density(fragment_settings("default", SMALL), 1)
    without, _, _ = draw_density(fragment_settings("zero", SMALL), 1)
    changed = np.abs(with_ink - without).max(axis=0) > 1e-3
    grains = 0.01  # a speck may fall into a voxel that is paper only in one of the two
    assert (changed & ~ink.letters).mean() < grains
    assert changed[ink.letters].mean() > 0.8


def test_ink_raises_the_recto_face():
    with_ink, _, ink = draw_density(fragment_settings("default", SMALL), 2)
    without, _, _ = draw_density(fragment_settings("zero", SMALL), 2)
    upper = slice(0, SMALL[0] // 2)
    gain = (with_ink[upper] - without[upper]).sum(axis=0)
    assert 0.3 < gain[ink.letters].mean() < 2.0  # relief 0.75 voxels and a little density, worn by cracks


def test_denser_ink_adds_its_density_over_the_depth_of_the_film():
    settings = fragment_settings("default", SMALL)
    densities = []
    for extra in (0.0, 0.4):
        one = replace(settings, ink=replace(settings.ink, extra_density=extra))
        density, _, ink = draw_density(one, 2)
        densities.append(density)
    gain = (densities[1] - densities[0]).sum(axis=0)[ink.letters].mean()
    expected = 0.4 * settings.ink.film_vox * ink.film[ink.letters].mean()
    assert abs(gain / expected - 1) < 0.1


def test_the_sheet_lies_in_the_middle_and_is_as_thick_as_in_real_scans():
    fragment = draw_fragment(fragment_settings("default", (65, 512, 512)), 4)
    profile = fragment.volume[:, fragment.mask].mean(axis=1)
    air = profile[14:24].min()
    above_half = np.flatnonzero(profile[20:45] > (air + profile[20:45].max()) / 2) + 20
    assert 6 <= above_half.size <= 13  # real: about 8 layers full width at half maximum
    assert abs(above_half.mean() - 32) < 4


def test_crushed_wraps_lie_closer():
    paper = [(draw_density(fragment_settings("zero", SMALL, crushed), 1)[0] > 0.5).mean() for crushed in (False, True)]
    assert paper[1] > 1.25 * paper[0]


def test_a_fragment_too_small_to_hold_a_letter_is_refused():
    with pytest.raises(ValueError, match="too small"):
        draw_fragment(fragment_settings("default", (4, 256, 256)), 1)

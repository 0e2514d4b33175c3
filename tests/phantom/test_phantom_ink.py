from dataclasses import replace

import numpy as np
import pytest
from scipy.ndimage import distance_transform_edt

from scroll.phantom.fragment import outline
from scroll.phantom.ink import crack_net, draw_ink
from scroll.phantom.settings import InkSettings, preset_ink


@pytest.mark.parametrize("shape", [(64, 64), (96, 300), (256, 256), (700, 500)])
@pytest.mark.parametrize("seed", [1, 2, 3])
def test_ink_covers_a_tenth_to_a_quarter_of_the_papyrus_at_any_size(shape, seed):
    papyrus = outline(shape, seed)
    ink = draw_ink(papyrus, InkSettings(), seed)
    assert 0.10 <= ink.letters.sum() / papyrus.sum() <= 0.25
    assert not (ink.letters & ~papyrus).any()


def test_film_lies_only_where_letters_are_and_is_cracked():
    papyrus = np.ones((400, 400), bool)
    ink = draw_ink(papyrus, InkSettings(), 5)
    assert not (ink.film[~ink.letters]).any()
    cracked = (ink.film[ink.letters] < 0.3).mean()
    assert 0.05 < cracked < 0.35


def test_strokes_have_the_width_asked_for():
    papyrus = np.ones((800, 800), bool)
    for stroke_px in (26.0, 40.0):
        ink = draw_ink(papyrus, replace(InkSettings(), stroke_px=stroke_px), 2)
        ridge = distance_transform_edt(ink.letters)
        widest = 2 * np.quantile(ridge[ridge > 0.35 * stroke_px], 0.5)
        assert 0.7 * stroke_px < widest < 1.4 * stroke_px


def test_an_empty_papyrus_gives_an_empty_page():
    ink = draw_ink(np.zeros((64, 64), bool), InkSettings(), 1)
    assert not ink.letters.any() and not ink.film.any()


def test_wider_cracks_take_more_of_the_film():
    rng = np.random.default_rng
    narrow, wide = (crack_net((200, 200), 24.0, width, rng(0)).mean() for width in (1.0, 3.0))
    assert 2.5 < wide / narrow < 3.5
    assert 0.9 < narrow / (2 / 24) < 1.2  # a Voronoi net of one point per cell has edges of length 2 per cell side


def test_the_zero_ink_control_shows_the_same_letters_as_the_default():
    papyrus = np.ones((256, 256), bool)
    assert (draw_ink(papyrus, preset_ink("zero"), 1).letters == draw_ink(papyrus, InkSettings(), 1).letters).all()


def test_an_unknown_preset_names_the_known_ones():
    with pytest.raises(ValueError, match="easy, default, hard, zero"):
        preset_ink("medium")

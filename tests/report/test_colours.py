"""Colours that are shown together can be told apart with each kind of colour blindness.

Colour blindness is simulated as in Machado, Oliveira and Fernandes 2009 at full severity; distances are CIEDE2000.
"""

from itertools import combinations

import numpy as np
import pytest
from skimage.color import deltaE_ciede2000, rgb2lab

from scroll.report.charts import COLOURS
from scroll.report.pictures import FOUND, INVENTED, MISSED, NEITHER, NOT_SCORED, SHEET_COLOURS
from scroll.report.tiles import LABEL_COLOUR, PROB_COLOUR

SIGHT = {
    "all colours": np.eye(3),
    "no red": [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]],
    "no green": [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]],
    "no blue": [[1.255528, -0.076749, -0.178779], [-0.078411, 0.930809, 0.147602], [0.004733, 0.691367, 0.303900]],
}
EASILY_APART = 10.0  # about five times what is just noticed side by side


def linear(rgb):
    share = np.array(rgb) / 255
    return np.where(share <= 0.04045, share / 12.92, ((share + 0.055) / 1.055) ** 2.4)


def seen(rgb, matrix):
    """What someone sees, in CIELAB."""
    light = np.clip(np.array(matrix) @ linear(rgb), 0, 1)
    shown = np.where(light <= 0.0031308, light * 12.92, 1.055 * light ** (1 / 2.4) - 0.055)
    return rgb2lab(shown[None, None])[0, 0]


@pytest.mark.parametrize("sight", SIGHT)
@pytest.mark.parametrize(
    "colours",
    [
        (FOUND, INVENTED, MISSED, NEITHER, NOT_SCORED),
        (FOUND, INVENTED, MISSED, PROB_COLOUR, LABEL_COLOUR),
        SHEET_COLOURS,
        (FOUND, INVENTED, MISSED, LABEL_COLOUR),
    ],
    ids=["errors", "over a sheet", "sheets", "over a cube"],
)
def test_any_two_are_easily_distinguished(colours, sight):
    views = [seen(rgb, SIGHT[sight]) for rgb in colours]
    nearest = min(float(deltaE_ciede2000(one, other)) for one, other in combinations(views, 2))
    assert nearest >= EASILY_APART


@pytest.mark.parametrize("page", [(252, 252, 250), (28, 32, 36)], ids=["light", "dark"])
def test_lines_of_charts_stand_out_from_the_page(page):
    for colour in COLOURS:
        rgb = tuple(int(colour[i : i + 2], 16) for i in (1, 3, 5))
        assert deltaE_ciede2000(seen(rgb, np.eye(3)), seen(page, np.eye(3))) > 2 * EASILY_APART

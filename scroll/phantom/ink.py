"""Carbon ink: Greek capitals with wobbly, worn strokes, and the crack net of the dried film."""

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter, map_coordinates

from scroll.data.augment.smooth_fields import FloatArray, Seed, smooth_noise, stream
from scroll.phantom.settings import InkSettings
from scroll.runtime.compiled import njit

BoolArray = NDArray[np.bool_]
GREEK_CAPITALS = "ΑΒΓΔΕΖΗΘΙΚΛΜΝΞΟΠΡΣΤΥΦΧΨΩ"
CAP_HEIGHT_EM = 0.729  # of DejaVu Sans
STEM_PER_CAP_HEIGHT = 0.135
TIGHTEST_LETTERS = 3  # rounds of closer setting before the letters stay as they are


@dataclass(frozen=True)
class Ink:
    """Ink on a (Y, X) page: `letters` is what a label shows, `film` 0 to 1 is what is on the papyrus."""

    letters: BoolArray
    film: FloatArray


def draw_ink(papyrus: BoolArray, settings: InkSettings, seed: Seed) -> Ink:
    """Write on the (Y, X) papyrus: about `settings.share` of it bears ink, letters shrink to fit small pages.

    `letters` holds no cracks, as a human label does not. An empty papyrus gives an empty page.
    """
    shape = papyrus.shape
    height_px = min(settings.letter_height_px, 0.4 * min(shape))
    scale = height_px / settings.letter_height_px
    letters = np.zeros(shape, bool)
    for tightness in range(TIGHTEST_LETTERS):
        page = _page(shape, height_px, settings.stroke_px * scale, 0.5**tightness, stream(seed, "text"))
        letters = _wobbled(page, height_px, stream(seed, "wobble")) & papyrus
        if letters.sum() >= 1.1 * settings.share * papyrus.sum():
            break
    letters = _worn(letters, settings.share * papyrus.sum(), height_px, stream(seed, "wear"))
    cracks = crack_net(shape, settings.crack_cell_px, settings.crack_width_px, stream(seed, "cracks"))
    thickness = 1 + 0.15 * smooth_noise(stream(seed, "film"), shape, (12.0, 12.0))
    film = np.where(letters, np.clip(thickness, 0.4, 1.6), 0).astype(np.float32)
    return Ink(letters=letters, film=film * (1 - cracks))


def _page(
    shape: tuple[int, ...], height_px: float, stroke_px: float, gap: float, rng: np.random.Generator
) -> FloatArray:
    """Lines of random capitals over the whole page, 0 to 1; `gap` scales the white between them."""
    from PIL import Image, ImageDraw, ImageFont

    rows, columns = shape
    image = Image.new("L", (columns, rows), 0)
    pen = ImageDraw.Draw(image)
    font = ImageFont.truetype(str(dejavu_sans()), max(6, round(height_px / CAP_HEIGHT_EM)))
    thicken = max(0, round((stroke_px - STEM_PER_CAP_HEIGHT * height_px) / 2))
    y = height_px * rng.uniform(0.0, 0.4)
    while y < rows + height_px:
        x = -height_px * rng.uniform(0.0, 0.8)
        while x < columns:
            letter = GREEK_CAPITALS[rng.integers(len(GREEK_CAPITALS))]
            baseline = y + height_px * rng.normal(0, 0.03)
            pen.text((x, baseline), letter, fill=255, font=font, anchor="ls", stroke_width=thicken)
            x += pen.textlength(letter, font=font) + height_px * gap * rng.uniform(0.25, 0.55)
            if rng.random() < 0.1 * gap:
                x += height_px * 0.6
        y += height_px * (1.15 + 0.7 * gap * rng.uniform(0.7, 1.3))
    return np.asarray(image, np.float32) / np.float32(255)


@lru_cache(maxsize=1)
def dejavu_sans() -> Path:
    """The DejaVu Sans that matplotlib ships."""
    import matplotlib

    return Path(matplotlib.get_data_path()) / "fonts" / "ttf" / "DejaVuSans.ttf"


def _wobbled(page: FloatArray, height_px: float, rng: np.random.Generator) -> BoolArray:
    """Strokes drawn by a hand: the page bent by a few pixels, its edges roughened."""
    knots = (0.35 * height_px, 0.35 * height_px)
    shift_px = 0.02 * height_px
    bends = [shift_px * smooth_noise(rng, page.shape, knots) for _ in range(2)]
    places = np.indices(page.shape, dtype=np.float32) + np.stack(bends)
    bent = map_coordinates(gaussian_filter(page, 0.012 * height_px), places, order=1, mode="constant")
    return bent + 0.12 * smooth_noise(rng, page.shape, (0.05 * height_px,) * 2) > 0.5


def _worn(letters: BoolArray, keep_px: float, height_px: float, rng: np.random.Generator) -> BoolArray:
    """Letters without the patches where most ink has flaked off, so that about `keep_px` pixels remain."""
    inked = int(letters.sum())
    if inked <= keep_px:
        return letters
    wear = smooth_noise(rng, letters.shape, (0.6 * height_px,) * 2)
    wear += 0.35 * smooth_noise(rng, letters.shape, (0.06 * height_px,) * 2)
    return letters & (wear < np.quantile(wear[letters], keep_px / inked))


def crack_net(shape: tuple[int, ...], cell_px: float, width_px: float, rng: np.random.Generator) -> FloatArray:
    """Edges of a Voronoi net over (Y, X), 1 in the middle of a crack, 0 away from it."""
    rows, columns = int(shape[0] / cell_px) + 5, int(shape[1] / cell_px) + 5
    jitter = rng.random((rows, columns, 2), dtype=np.float32)
    return _voronoi_edges(shape[0], shape[1], jitter, np.float32(cell_px), np.float32(width_px))


@njit(cache=True)
def _voronoi_edges(height: int, width: int, jitter: FloatArray, cell_px: float, width_px: float) -> FloatArray:
    cracks = np.zeros((height, width), np.float32)
    for y in range(height):
        for x in range(width):
            v, u = y / cell_px + 2, x / cell_px + 2
            row, column = int(v), int(u)
            first = second = 1e9
            first_v = first_u = second_v = second_u = 0.0
            for i in range(row - 2, row + 3):
                for j in range(column - 2, column + 3):
                    node_v, node_u = i + jitter[i, j, 0], j + jitter[i, j, 1]
                    distance2 = (node_v - v) ** 2 + (node_u - u) ** 2
                    if distance2 < first:
                        second, second_v, second_u = first, first_v, first_u
                        first, first_v, first_u = distance2, node_v, node_u
                    elif distance2 < second:
                        second, second_v, second_u = distance2, node_v, node_u
            apart = np.sqrt((first_v - second_v) ** 2 + (first_u - second_u) ** 2)
            to_edge_px = cell_px * (second - first) / (2 * apart)
            cracks[y, x] = min(1.0, max(0.0, width_px / 2 - to_edge_px + 0.5))
    return cracks

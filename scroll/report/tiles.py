"""A sheet as pyramids of small pictures, for a page that zooms into it: some layers of the CT, probabilities, label, errors.

All pyramids lie over the same shown picture, whose pixel is `shrink` pixels of the sheet. Level n is 2**n times coarser, in
tiles of `TILE_PX`, rows first; a pyramid may begin at a coarser level than 0 ("finest"), for nothing finer is known.
"""

import base64
import io
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NotRequired, TypedDict

import numpy as np
import numpy.typing as npt

from scroll.report.pictures import BRIGHTEST_PERCENT, DARKEST_PERCENT, FOUND, INVENTED, MISSED

VIEWS_BUDGET_BYTES = 8_000_000  # of all pyramids (or volumes) of a page; as text a third more
TILE_PX = 512
LAYERS = 9  # of the CT, evenly through the depth
CT_QUALITY, PROB_QUALITY = 55, 40
SAMPLED_FROM = 4  # shrinking by so much, not every pixel is read
STRIP_BYTES = 2**28  # of the stack read at once
BYTES_A_PIXEL = 0.3  # of a CT layer and its coarser levels, to begin with: the true size is looked at
PROB_COLOUR = (238, 51, 119)  # Tol's magenta ...
LABEL_COLOUR = (
    0,
    119,
    187,
)  # ... and blue: apart from grey and from the three colours of the errors, for the colour-blind too
OUTLINE_PX = 2

Bytes = npt.NDArray[np.uint8]
Bools = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Flat:
    """What the page zooms into; everything is (Y, X) and of one sheet.

    Attributes:
        stack: (Z, Y, X), read strip by strip, three slices at a time; `centre`: the layer that the sheet's centre is in.
        layer_um: from one layer to the next; `pixel_um`: edge of a pixel of the sheet.
        probs: by name, at any resolution over the same sheet, 0 to 1.
        mask: predicted, `truth`: written, `known`: scored; bool at full resolution.
    """

    stack: Any
    centre: int
    layer_um: float
    pixel_um: float
    probs: dict[str, npt.NDArray[np.floating]]
    mask: Bools
    truth: Bools
    known: Bools


class Pyramid(TypedDict):
    """Pictures of one thing, base64 of WebP, `levels` from `finest` on; `depth_um` of a layer of the CT."""

    name: str
    role: str
    finest: int
    levels: list[list[str]]
    depth_um: NotRequired[float]


class FlatView(TypedDict):
    """A sheet to zoom into; `size_yx` in shown pixels, each `pixel_um` wide."""

    kind: str
    size_yx: list[int]
    shrink: int
    full_size_yx: list[int]
    tile_px: int
    pixel_um: float
    depth: int
    pyramids: list[Pyramid]


def flat_view(flat: Flat, budget_bytes: int) -> FlatView:
    """The pyramids and what they are, for JSON, in at most `budget_bytes` of pictures (but never smaller than a tile)."""
    picked = picked_layers(flat.stack.shape[0], flat.centre)
    height, width = flat.mask.shape
    least = math.floor(math.sqrt(len(picked) * height * width * BYTES_A_PIXEL / budget_bytes))
    shrink = _whole(max(1, min(least, math.ceil(max(height, width) / TILE_PX))))
    while True:
        view = _view(flat, picked, shrink)
        if _size(view) <= budget_bytes or max(view["size_yx"]) <= TILE_PX:
            return view
        shrink = _whole(shrink + 1)


def _whole(shrink: int) -> int:
    """The next that is even, where only some pixels are read."""
    return shrink + shrink % 2 if shrink >= SAMPLED_FROM else shrink


def picked_layers(depth: int, centre: int) -> range:
    """At most `LAYERS` layers of a stack, evenly through its depth, the centre among them.

    >>> list(picked_layers(65, 32)), list(picked_layers(3, 1))
    ([0, 8, 16, 24, 32, 40, 48, 56, 64], [0, 1, 2])
    """
    step = max(1, math.ceil((depth - 1) / (LAYERS - 1)))
    return range(centre % step, depth, step)


def _view(flat: Flat, picked: range, shrink: int) -> FlatView:
    layers = _grey(_read(flat.stack, picked, shrink))
    size = layers.shape[1:]
    count = level_count(size)
    pyramids: list[Pyramid] = [
        {
            "name": f"layer {z}", "role": "ct", "depth_um": (z - flat.centre) * flat.layer_um, "finest": 0,
            "levels": [_tiles(image, CT_QUALITY) for image in _halved(layer, count)],
        }
        for z, layer in zip(picked, layers, strict=True)
    ]  # fmt: skip
    for name, prob in flat.probs.items():
        finest = min(count - 1, max(0, int(math.log2(max(1.0, flat.mask.shape[0] / prob.shape[0] / shrink)))))
        coarse = _resized(prob, tuple(-(-n // 2**finest) for n in size))
        tiles = [_tiles(_tinted(image), PROB_QUALITY) for image in _halved(coarse, count - finest)]
        pyramids.append({"name": name, "role": "prediction", "finest": finest, "levels": tiles})
    for name, draw in (("label", _label), ("errors", _errors)):
        levels = [_tiles(draw(flat, shrink * 2**n), None) for n in range(count)]
        pyramids.append({"name": name, "role": name, "finest": 0, "levels": levels})
    return {
        "kind": "flat", "size_yx": list(size), "shrink": shrink, "full_size_yx": list(flat.mask.shape), "tile_px": TILE_PX,
        "pixel_um": flat.pixel_um * shrink, "depth": flat.stack.shape[0], "pyramids": pyramids,
    }  # fmt: skip


def level_count(size_yx: tuple[int, int]) -> int:
    """Levels until all fits on one tile.

    >>> level_count((512, 300)), level_count((513, 300)), level_count((4000, 5000))
    (1, 2, 5)
    """
    return 1 + max(0, math.ceil(math.log2(max(size_yx) / TILE_PX)))


def _read(stack: Any, picked: range, shrink: int) -> npt.NDArray[np.float32]:
    """The picked layers, means over squares of `shrink` pixels, (N, ceil(Y / shrink), ceil(X / shrink)).

    Of large squares only two pixels along each axis are read: a traced sheet is sampled in its scroll as it is read.
    """
    _, height, width = stack.shape
    stride = shrink // 2 if shrink >= SAMPLED_FROM else 1
    strip = max(1, STRIP_BYTES // (4 * len(picked) * width) // shrink) * shrink
    found = []
    for row in range(0, height, strip):
        rows = slice(row, min(row + strip, height), stride)
        read = np.asarray(stack[picked.start : picked.stop : picked.step, rows, 0:width:stride])
        found.append(shrunk(read.astype(np.float32), shrink // stride))
    return np.concatenate(found, axis=1)


def shrunk(image: npt.NDArray[Any], shrink: int) -> npt.NDArray[np.float32]:
    """Means of squares of `shrink` pixels along the last two axes; what hangs over is filled up with its edge."""
    if shrink == 1:
        return np.asarray(image, np.float32)
    short = [(0, 0)] * (image.ndim - 2) + [(0, -n % shrink) for n in image.shape[-2:]]
    padded = np.pad(image.astype(np.float32), short, mode="edge")
    y, x = (n // shrink for n in padded.shape[-2:])
    return padded.reshape(*padded.shape[:-2], y, shrink, x, shrink).mean(axis=(-3, -1))


def _grey(layers: npt.NDArray[np.float32]) -> Bytes:
    """One scale of grey for all layers, so that they compare."""
    low, high = np.percentile(layers[:, ::4, ::4], (DARKEST_PERCENT, BRIGHTEST_PERCENT))
    scaled = (layers - low) * (255 / max(high - low, 1e-6))
    return np.clip(np.rint(scaled), 0, 255).astype(np.uint8)


def _halved(image: Bytes, count: int) -> list[Bytes]:
    levels = [image]
    while len(levels) < count:
        levels.append(np.rint(shrunk(levels[-1], 2)).astype(np.uint8))
    return levels


def _resized(prob: npt.NDArray[np.floating], size: tuple[int, ...]) -> Bytes:
    from PIL import Image

    picture = Image.fromarray(np.clip(np.rint(255 * prob.astype(np.float32)), 0, 255).astype(np.uint8))
    is_smaller = size[0] < prob.shape[0]
    how = Image.Resampling.BOX if is_smaller else Image.Resampling.BILINEAR
    return np.asarray(picture.resize((size[1], size[0]), how))


def _tinted(alpha: Bytes) -> Bytes:
    """One colour, as opaque as the probability is high."""
    return np.concatenate(
        [np.broadcast_to(np.array(PROB_COLOUR, np.uint8), (*alpha.shape, 3)), alpha[..., None]], axis=-1
    )


def _label(flat: Flat, shrink: int) -> Bytes:
    """The outline of the label, `OUTLINE_PX` wide at this level."""
    from scipy.ndimage import binary_erosion

    truth = shrunk((flat.truth & flat.known).astype(np.uint8), shrink) >= 0.5
    inner = binary_erosion(truth, np.ones((3, 3)), OUTLINE_PX, border_value=1)
    return _coloured((truth & ~inner).astype(np.uint8), [LABEL_COLOUR])


def _errors(flat: Flat, shrink: int) -> Bytes:
    """Right and wrong in the colours of the legend; clear where neither is, and where nothing is known."""
    kind = flat.mask + 2 * flat.truth.astype(np.uint8)
    middle = slice(shrink // 2, None, shrink)
    picked = np.where(flat.known, kind, 0)[middle, middle]
    return _coloured(picked, [INVENTED, MISSED, FOUND])


def _coloured(kind: npt.NDArray[Any], colours: Sequence[tuple[int, int, int]]) -> Bytes:
    table = np.array([(0, 0, 0, 0), *((*colour, 255) for colour in colours)], np.uint8)
    return table[kind]


def _tiles(image: Bytes, quality: int | None) -> list[str]:
    """WebP in base64, rows first; without a quality nothing is lost."""
    height, width = image.shape[:2]
    starts = [(y, x) for y in range(0, height, TILE_PX) for x in range(0, width, TILE_PX)]
    return [as_webp(image[y : y + TILE_PX, x : x + TILE_PX], quality) for y, x in starts]


def as_webp(image: Bytes, quality: int | None) -> str:
    """A (Y, X), (Y, X, 3) or (Y, X, 4) picture as WebP in base64; without a quality nothing is lost."""
    from PIL import Image

    how = {"lossless": True, "quality": 60} if quality is None else {"quality": quality, "alpha_quality": 50}
    written = io.BytesIO()
    Image.fromarray(image).save(written, format="WEBP", method=4, **how)
    return base64.b64encode(written.getvalue()).decode("ascii")


def _size(view: FlatView) -> int:
    return sum(len(tile) * 3 // 4 for one in view["pyramids"] for level in one["levels"] for tile in level)

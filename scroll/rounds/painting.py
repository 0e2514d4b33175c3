"""A label to paint on: a grey picture that any paint program opens, and what a person made of it, read back with checks.

Five greys, none of them 0, so that what is transparent or was cut away shows as what it is. Two of them may not be changed: off the
papyrus, and where the label is held out; they also show when a program has moved or scaled the picture.
"""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from scroll.data.labels import Label
from scroll.errors import InputError
from scroll.runtime.files import written_aside
from scroll.volumes.flat_picture import read_grey

OFF, NO_INK, UNKNOWN, HELD_OUT, INK = 20, 80, 140, 200, 255
LEGEND = (
    f"ink {INK}, no ink {NO_INK}, not known {UNKNOWN}; {OFF} (no papyrus) and {HELD_OUT} (held out) stay as they are"
)
MOVED_PX = 3  # how far a moved picture is looked for
AGAIN = "paint the exported file again"
Grey = NDArray[np.uint8]
Mask = NDArray[np.bool_]


def canvas(label: Label, papyrus: Mask, held_out: Mask) -> Grey:
    """The picture (Y, X) of a hard label, of where there is papyrus and of what is held out."""
    grey = np.where(label.ignore, UNKNOWN, np.where(label.ink, INK, NO_INK)).astype(np.uint8)
    grey[held_out] = HELD_OUT
    grey[~papyrus] = OFF
    return grey


def save_canvas(path: Path, grey: Grey) -> None:
    """Write the picture as PNG or, where the path ends so, TIFF."""
    from PIL import Image

    kind = "PNG" if path.suffix.lower() == ".png" else "TIFF"
    with written_aside(path) as aside:
        Image.fromarray(grey).save(aside, format=kind)


def read_painted(path: Path, exported: Grey) -> Label:
    """What a person painted on the `exported` picture, (Y, X), as a label.

    Raises:
        InputError: neither PNG nor TIFF, another size, other greys, moved, or something drawn off the papyrus or where the label is
            held out; nothing of it is taken then.
    """
    painted = read_grey(path)
    if painted.shape != exported.shape:
        raise InputError(
            f"{path}: is {painted.shape} (y, x), {exported.shape} was exported; do not crop or scale it: {AGAIN}"
        )
    _check_greys(path, painted)
    _check_fixed(path, painted.astype(np.uint8), exported)
    known = (painted == INK) | (painted == NO_INK)
    return Label(painted == INK, ~known)


def _check_greys(path: Path, painted: NDArray[np.generic]) -> None:
    allowed = np.isin(painted, (OFF, NO_INK, UNKNOWN, HELD_OUT, INK))
    if allowed.all():
        return
    y, x = (int(at) for at in np.unravel_index(int(np.argmin(allowed)), allowed.shape))
    share = 1 - float(np.count_nonzero(allowed)) / allowed.size
    why = "transparent or cut away" if painted[y, x] == 0 else "a soft brush, or a file that was JPEG in between"
    raise InputError(
        f"{path}: grey {painted[y, x]} at y {y}, x {x} ({share:.1%} of all pixels are such: {why}); expected {LEGEND}: "
        "paint with a hard brush and save without loss"
    )


def _check_fixed(path: Path, painted: Grey, exported: Grey) -> None:
    """What may not be changed, and whether the whole picture was moved."""
    wrong = _fixed_differ(painted, exported)
    if not wrong.any():
        return
    moved = _moved(painted, exported)
    if moved is not None:
        raise InputError(f"{path}: is moved by {moved[0]} pixels in y and {moved[1]} in x; move it back, or {AGAIN}")
    y, x = (int(at) for at in np.unravel_index(int(np.argmax(wrong)), wrong.shape))
    where = "where the label is held out" if HELD_OUT in (exported[y, x], painted[y, x]) else "off the papyrus"
    raise InputError(
        f"{path}: {np.count_nonzero(wrong)} pixels are changed {where}, such as y {y}, x {x}; expected them as exported: undo that, "
        f"or {AGAIN}"
    )


def _fixed_differ(painted: Grey, exported: Grey) -> Mask:
    """Where one of the two greys that stay was painted over, or painted."""
    differ = np.zeros(exported.shape, bool)
    for grey in (OFF, HELD_OUT):
        differ |= (painted == grey) != (exported == grey)
    return differ


def _moved(painted: Grey, exported: Grey) -> tuple[int, int] | None:
    """How far the picture was moved, where its fixed parts fit exactly then; else None."""
    steps = range(-MOVED_PX, MOVED_PX + 1)
    for dy, dx in sorted(
        ((dy, dx) for dy in steps for dx in steps if dy or dx), key=lambda step: abs(step[0]) + abs(step[1])
    ):
        rows, columns = (slice(max(0, d), n + min(0, d)) for d, n in zip((dy, dx), painted.shape, strict=True))
        back = tuple(slice(part.start - d, part.stop - d) for part, d in zip((rows, columns), (dy, dx), strict=True))
        here, there = painted[rows, columns], exported[back]
        has_edge = np.isin(there, (OFF, HELD_OUT)).any() and not np.isin(there, (OFF, HELD_OUT)).all()
        if has_edge and not _fixed_differ(here, there).any():
            return dy, dx
    return None

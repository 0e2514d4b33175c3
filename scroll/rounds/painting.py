"""A label to paint on: a grey picture that any paint program opens, and what a person made of it, read back with checks.

Five greys, none of them 0, so that what is transparent or was cut away shows as what it is. Two of them may not be changed: off the
papyrus, and where the label is held out; they also show when a program has moved or scaled the picture. Where a sheet has neither,
what was painted before shows it.
"""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from scroll.data.labels import Label
from scroll.errors import InputError
from scroll.runtime.files import written_aside
from scroll.volumes.flat_picture import grey_and_alpha

OFF, NO_INK, UNKNOWN, HELD_OUT, INK = 20, 80, 140, 200, 255
FIXED, KNOWN = (OFF, HELD_OUT), (NO_INK, INK)
LEGEND = (
    f"ink {INK}, no ink {NO_INK}, not known {UNKNOWN}; {OFF} (no papyrus) and {HELD_OUT} (held out) stay as they are"
)
MOVED_PX = 3  # how far a moved picture is looked for
FITS_BETTER = 4  # a moved picture fits what was painted before so many times better once it is moved back
AGAIN = "paint the exported file again"
Grey = NDArray[np.uint8]
Mask = NDArray[np.bool_]


def canvas(label: Label, papyrus: Mask, held_out: Mask) -> Grey:
    """The picture (Y, X) of a hard label, of where there is papyrus and of what is held out."""
    grey = np.where(label.ink, np.uint8(INK), np.uint8(NO_INK))
    grey[label.ignore] = UNKNOWN
    grey[held_out] = HELD_OUT
    grey[~papyrus] = OFF
    return grey


def looked_up(table: Grey, grey: Grey) -> Grey:
    """`table[grey]` of a picture (Y, X), row by row: an index of all of it would be eight times as large as the picture."""
    found = np.empty_like(grey)
    for row, values in enumerate(grey):
        found[row] = table[values]
    return found


def save_canvas(path: Path, grey: Grey) -> None:
    """Write the picture as PNG or, where the path ends so, TIFF."""
    from PIL import Image

    kind = "PNG" if path.suffix.lower() == ".png" else "TIFF"
    with written_aside(path) as aside:
        Image.fromarray(grey).save(aside, format=kind)


def as_label(painted: Grey) -> Label:
    """What the greys of a picture (Y, X) say."""
    return Label(painted == INK, (painted != INK) & (painted != NO_INK))


def painted_grey(path: Path, exported: Grey) -> Grey:
    """The picture (Y, X) that a person made of the `exported` one.

    An opaque alpha channel, equal colours and a palette of these greys say the same as grey, and are taken.

    Raises:
        InputError: neither PNG nor TIFF, more than 8 bits, another size, transparent, other greys, moved, or something drawn off the
            papyrus or where the label is held out; nothing of it is taken then.
    """
    painted, alpha = grey_and_alpha(path)
    if painted.dtype != np.uint8:
        raise InputError(f"{path}: is {painted.dtype}; expected 8 bits of grey, {LEGEND}: save it as an 8-bit grey PNG")
    if painted.shape != exported.shape:
        raise InputError(
            f"{path}: is {painted.shape} (y, x), {exported.shape} was exported; do not crop or scale it: {AGAIN}"
        )
    is_fixed = not _fixed_differ(painted, exported).any()
    if not is_fixed or not np.isin(exported, FIXED).any():
        _check_moved(path, painted, exported)
    if alpha is not None:
        _check_opaque(path, alpha)
    _check_greys(path, painted)
    if not is_fixed:
        _refuse_fixed(path, painted, exported)
    return painted


def _check_opaque(path: Path, alpha: Grey) -> None:
    opaque = alpha == 255
    if opaque.all():
        return
    y, x = (int(at) for at in np.unravel_index(int(np.argmin(opaque)), opaque.shape))
    raise InputError(
        f"{path}: transparent at y {y}, x {x} ({1 - np.count_nonzero(opaque) / opaque.size:.1%} of all pixels are); expected {LEGEND}: "
        f"paint 'not known' instead of erasing, and save without an alpha channel"
    )


def _check_greys(path: Path, painted: Grey) -> None:
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


def _refuse_fixed(path: Path, painted: Grey, exported: Grey) -> None:
    """Say where something was changed that may not be."""
    wrong = _fixed_differ(painted, exported)
    y, x = (int(at) for at in np.unravel_index(int(np.argmax(wrong)), wrong.shape))
    where = "where the label is held out" if HELD_OUT in (exported[y, x], painted[y, x]) else "off the papyrus"
    raise InputError(
        f"{path}: {np.count_nonzero(wrong)} pixels are changed {where}, such as y {y}, x {x}; expected them as exported: undo that, "
        f"or {AGAIN}"
    )


def _check_moved(path: Path, painted: Grey, exported: Grey) -> None:
    moved = _moved(painted, exported)
    if moved is not None:
        raise InputError(f"{path}: is moved by {moved[0]} pixels in y and {moved[1]} in x; move it back, or {AGAIN}")


def _fixed_differ(painted: Grey, exported: Grey) -> Mask:
    """Where one of the two greys that stay was painted over, or painted."""
    differ = np.zeros(exported.shape, bool)
    for grey in FIXED:
        differ |= (painted == grey) != (exported == grey)
    return differ


def _moved(painted: Grey, exported: Grey) -> tuple[int, int] | None:
    """How far the picture was moved; else None.

    Its fixed parts fit exactly then. Where it has none, what was known before fits far better than where it is.
    """
    has_fixed = bool(np.isin(exported, FIXED).any())
    here_differ = 0 if has_fixed else _known_differ(painted, exported)
    if not has_fixed and not here_differ:
        return None
    steps = range(-MOVED_PX, MOVED_PX + 1)
    for dy, dx in sorted(
        ((dy, dx) for dy in steps for dx in steps if dy or dx), key=lambda by: abs(by[0]) + abs(by[1])
    ):
        here, there = _overlap(painted, exported, (dy, dx))
        if not has_fixed:
            fits = np.isin(there, KNOWN).any() and FITS_BETTER * _known_differ(here, there) < here_differ
        else:
            is_fixed = np.isin(there, FIXED)
            fits = is_fixed.any() and not is_fixed.all() and not _fixed_differ(here, there).any()
        if fits:
            return dy, dx
    return None


def _overlap(painted: Grey, exported: Grey, by: tuple[int, int]) -> tuple[Grey, Grey]:
    """What of a picture that was moved is on what of the exported one."""
    rows, columns = (slice(max(0, d), n + min(0, d)) for d, n in zip(by, painted.shape, strict=True))
    back = tuple(slice(part.start - d, part.stop - d) for part, d in zip((rows, columns), by, strict=True))
    return painted[rows, columns], exported[back]


def _known_differ(painted: Grey, exported: Grey) -> int:
    """How many pixels that were known before say something else."""
    return int(np.count_nonzero(np.isin(exported, KNOWN) & (painted != exported)))

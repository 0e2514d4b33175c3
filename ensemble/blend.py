"""The weighted mean of the members' probability maps, strip by strip."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from scroll.errors import InputError

STRIP_PIXELS = 2**17  # two float32 buffers of this size stay in a CPU's cache


def blend(maps: Sequence[Any], weights: npt.ArrayLike, out: Any | None = None) -> Any:
    """Weighted mean of M maps, float32, of their shape: (Y, X), or (..., Y, X) with anything before.

    `maps` are numpy arrays or anything that slices to numpy (zarr), of any number type, read by strips of rows so that
    memory is one strip a member and the result. `weights` (M,) are scaled to sum to one, so a constant stays that
    constant. The result goes to `out` (anything of that shape that takes slices) or to a new array.

    Raises:
        InputError: no maps, shapes or number of weights differ, a weight is negative, or a map has NaN or infinity in
        it.
    """
    shape, share = _checked(maps, weights)
    result = np.empty(shape, np.float32) if out is None else out
    if tuple(result.shape) != shape:
        raise InputError(f"blend: the output has shape {tuple(result.shape)}, the maps {shape}; make them alike")
    rows = _strip_rows(maps[0], shape)
    buffers = np.empty((2, *shape[:-2], min(rows, shape[-2]), shape[-1]), np.float32)
    for start in range(0, shape[-2], rows):
        strip = (..., slice(start, min(start + rows, shape[-2])), slice(None))
        result[strip] = _mean_of_strip(maps, share, strip, buffers)
    return result


def _mean_of_strip(
    maps: Sequence[Any],
    share: npt.NDArray[np.float32],
    strip: tuple[Any, ...],
    buffers: npt.NDArray[np.float32],
) -> npt.NDArray[np.float32]:
    total, scaled = buffers[..., : strip[1].stop - strip[1].start, :]
    total[:] = 0
    with np.errstate(invalid="ignore"):  # zero times infinity: refused below, in words
        for prob, weight in zip(maps, share, strict=True):
            np.multiply(np.asarray(prob[strip]), weight, out=scaled, dtype=np.float32)
            total += scaled
    if not np.isfinite(total.sum()):  # NaN and infinity both survive a sum
        bad = [number for number, prob in enumerate(maps) if not np.isfinite(np.asarray(prob[strip], np.float32)).all()]
        raise InputError(
            f"blend: map {bad[0]} of {len(maps)} has NaN or infinity in rows {strip[1].start} to "
            f"{strip[1].stop}; predict that member again, its tiles may not cover the fragment"
        )
    return total


def _strip_rows(first: Any, shape: tuple[int, ...]) -> int:
    """Rows per strip: about STRIP_PIXELS, and whole chunks where the map is stored in chunks."""
    rows = max(1, STRIP_PIXELS // max(1, int(np.prod(shape)) // max(1, shape[-2])))
    chunk = getattr(first, "chunks", None)
    return rows if chunk is None else -(-rows // chunk[-2]) * chunk[-2]


def _checked(maps: Sequence[Any], weights: npt.ArrayLike) -> tuple[tuple[int, ...], npt.NDArray[np.float32]]:
    share = np.asarray(weights, np.float64)
    if not maps or share.shape != (len(maps),):
        raise InputError(f"blend: {len(maps)} maps and weights of shape {share.shape}; give one weight for each map")
    if not (np.all(share >= 0) and np.isfinite(share.sum()) and share.sum() > 0):
        raise InputError(f"blend: the weights are {share.tolist()}, expected 0 or more and not all 0")
    shapes = [tuple(prob.shape) for prob in maps]
    if len(set(shapes)) > 1 or len(shapes[0]) < 2:
        raise InputError(f"blend: the maps have shapes {sorted(set(shapes))}, expected one (..., Y, X) for all")
    return shapes[0], (share / share.sum()).astype(np.float32)

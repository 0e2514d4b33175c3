"""Where a volume that another program made of a scroll is in it: a prediction at a coarser level, or one of a cut-out."""

import math
from dataclasses import replace
from pathlib import Path

from scroll.errors import InputError, MissingInputError
from scroll.volumes import ome_zarr
from scroll.volumes.levels import near_whole
from scroll.volumes.multiscales import Multiscales, read_multiscales
from scroll.volumes.own_level import pyramid_of
from scroll.volumes.place import NEARLY, Numbers, Place, words
from scroll.volumes.url import path_or_url
from scroll.volumes.volume import Volume
from scroll.volumes.voxel_size import in_name_um, is_same, scale_um

MOST_STEP = 64
ADVICE = "give the scroll that it was made of, or write its scale (and translation) as OME-Zarr has them"


def place_among(volume: Volume, where: str | Path, scroll: Volume, scroll_where: str | Path) -> Place:
    """The place of `volume`, opened at `where`, among the voxels of level 0 of `scroll`: by both their scales, else by shapes.

    Raises:
        InputError: scale and shape contradict each other, or neither tells; names both.
    """
    finest = _level_0(scroll, scroll_where)
    own, its = _described(where), _described(scroll_where)
    step = _ratio(own, its)
    if own is None or its is None or step is None:
        place = Place(_step_of_shapes(volume, finest), finest.place.begin)
        _check_size(volume, place, scroll)
        return place
    place = Place(step, _begin(own, step, finest.place.begin))
    message = (
        f"{volume.path}: by its scale {words(step)} voxels of the scroll to a voxel (z, y, x), and its shape is {words(volume.shape)}, the "
        f"scroll's {words(finest.shape)}"
    )
    spans = list(
        zip(place.begin, place.end(volume.shape), finest.place.begin, finest.place.end(finest.shape), step, strict=True)
    )
    if any(begin < first - edge or end > last + edge for begin, end, first, last, edge in spans):
        raise InputError(f"{message}, beyond which it reaches; expected a prediction inside it: {ADVICE}")
    is_whole = all(end > last - edge for _, end, _, last, edge in spans)
    if not is_whole and own.levels[0].translation is None:
        raise InputError(f"{message}; expected all of it, or a cut-out that says where it begins: {ADVICE}")
    return place


def _check_size(volume: Volume, place: Place, scroll: Volume) -> None:
    """Refuse a volume placed by its shape whose metadata say voxels of another size than that, or its scroll's; names say much."""
    if volume.voxel_um is None or scroll.voxel_um is None or volume.voxel_um == in_name_um(volume.path.name):
        return
    scroll_um = scroll.voxel_um / scroll.place.step[0]
    if not any(is_same(volume.voxel_um, um) for um in (scroll_um, scroll_um * place.step[0])):
        raise InputError(
            f"{volume.path}: says voxels of {volume.voxel_um:g} um, but by its shape {words(volume.shape)} they are "
            f"{scroll_um * place.step[0]:g} um, as the scroll's are {scroll_um:g} um; expected one of the two: {ADVICE}"
        )


def _level_0(scroll: Volume, where: str | Path) -> Volume:
    if scroll.place.step == (1.0, 1.0, 1.0):
        return scroll
    finest = ome_zarr.open(where, voxel_um=1.0)
    if finest.place.step != (1.0, 1.0, 1.0):
        raise InputError(f"{where}: is a coarser level alone; expected the whole scroll: give the folder that it is in")
    return finest


def _described(where: str | Path) -> Multiscales | None:
    place = path_or_url(where)
    if isinstance(place, Path) and not ome_zarr.recognises(place):
        return None
    try:
        whole = pyramid_of(place)
        image = read_multiscales(where, ome_zarr.read_attributes(place if whole is None else whole[0]))
    except MissingInputError:
        return None
    return image if image is None or whole is None else replace(image, levels=image.levels[whole[1] :])


def _sizes(image: Multiscales | None) -> tuple[Numbers | None, bool]:
    """Edges of a voxel of level 0, and whether they are in micrometres."""
    scale = None if image is None else image.scale(0)
    if image is None or scale is None:
        return None, False
    sizes = scale_um(scale, image.space(image.units, ""))
    return (scale, False) if sizes is None else ((sizes[0], sizes[1], sizes[2]), True)


def _ratio(own: Multiscales | None, its: Multiscales | None) -> Numbers | None:
    """Voxels of the scroll to one of the volume, where the scales of both are lengths, or neither is and they differ."""
    (mine, mine_is_um), (scrolls, scrolls_is_um) = _sizes(own), _sizes(its)
    if mine is None or scrolls is None or mine_is_um != scrolls_is_um:
        return None
    z, y, x = (near_whole(a / b) for a, b in zip(mine, scrolls, strict=True))
    return None if not mine_is_um and (z, y, x) == (1.0, 1.0, 1.0) else (z, y, x)


def _begin(own: Multiscales, step: Numbers, scroll_begin: Numbers) -> Numbers:
    """In voxels of level 0 of the scroll: where the centre of the first voxel is said to be, less what a mean of `step` voxels moves it."""
    if own.levels[0].translation is None:
        return scroll_begin
    found = []
    mine = own.scale(0) or step
    for centre, edge, wide, first in zip(own.translation(0), mine, step, scroll_begin, strict=True):
        at = centre / edge * wide
        places = (at - (wide - 1) / 2, at)  # many writers leave the move out; then this is a whole number of voxels
        found.append(
            next((p for p in places if abs((p - first) / wide - round((p - first) / wide)) < NEARLY), places[0])
        )
    return found[0], found[1], found[2]


def _step_of_shapes(volume: Volume, scroll: Volume) -> Numbers:
    """The one whole step along z, y and x with which so many voxels cover the scroll; a power of two rather than another."""
    powers = [2**n for n in range(int(math.log2(MOST_STEP)) + 1)]
    for step in (*powers, *range(3, MOST_STEP)):
        if all(_covers(n, m, step) for n, m in zip(scroll.shape, volume.shape, strict=True)):
            return float(step), float(step), float(step)
    raise InputError(
        f"{volume.path}: has shape {words(volume.shape)}, the scroll {words(scroll.shape)} (z, y, x): neither the same nor that of a "
        f"coarser level; expected a prediction in its space: {ADVICE}"
    )


def _covers(fine: int, coarse: int, step: int) -> bool:
    return coarse in (max(1, fine // step), -(-fine // step))

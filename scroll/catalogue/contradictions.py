"""What a catalogue says of a segment that cannot all be true."""

import math
from collections.abc import Iterator
from datetime import timedelta

from scroll.catalogue.entries import Catalogue, ScanVolume, ScrollEntry, TracedSegment
from scroll.volumes.place import SAME
from scroll.volumes.voxel_size import is_same

A_DAY = timedelta(days=1)  # of dates without a zone, an hour later says nothing
MOST_LEVEL = 8


def contradictions(catalogue: Catalogue, segment: TracedSegment) -> list[str]:
    """One line each; none where what is said fits together, or too little is said to tell."""
    return [f"{segment.full_name}: {line}" for line in _lines(catalogue, segment)]


def volume_of(catalogue: Catalogue, segment: TracedSegment) -> ScanVolume | None:
    """The volume that a segment names, in whichever scroll it is; its own scroll's goes first."""
    if segment.volume_id is None:
        return None
    own = catalogue.scrolls.get(segment.scroll)
    scrolls = [*([own] if own else []), *(scroll for scroll in catalogue.scrolls.values() if scroll is not own)]
    return next((found for scroll in scrolls if (found := _named(scroll, segment.volume_id))), None)


def _named(scroll: ScrollEntry, name: str) -> ScanVolume | None:
    exact = scroll.volumes.get(name)
    return exact or next((volume for volume in scroll.volumes.values() if name in volume.also), None)


def _lines(catalogue: Catalogue, segment: TracedSegment) -> Iterator[str]:
    volume = volume_of(catalogue, segment)
    if segment.volume_id is not None and volume is None:
        yield f"original_volume_id is {segment.volume_id}, and no volume is called so; check where it was traced"
    if volume is not None and volume.scroll != segment.scroll:
        yield f"original_volume_id is {segment.volume_id}, a volume of {volume.scroll}, not of {segment.scroll}; check where it was traced"
    if volume is not None and volume.scanned and segment.made and volume.scanned - segment.made >= A_DAY:
        yield (
            f"was made {segment.made:%Y-%m-%d}, but its volume {volume.id} was scanned {volume.scanned:%Y-%m-%d}, later; it was traced "
            "in another volume"
        )
    yield from _scale(catalogue, segment, volume)
    yield from _surface_volumes(catalogue, segment)


def _scale(catalogue: Catalogue, segment: TracedSegment, volume: ScanVolume | None) -> Iterator[str]:
    """`original_volume_downscale` is the voxel of the traced coordinates over that of the volume."""
    if segment.downscale is None or volume is None or volume.voxel_um is None:
        return
    traced_um = segment.downscale * volume.voxel_um
    downscaled = (
        f"original_volume_downscale is {segment.downscale:g} and its volume has voxels of {volume.voxel_um:g} um"
    )
    stated = [] if segment.stated_um is None else [("pixel_size_um is", segment.stated_um)]
    for one in segment.of_type("tifxyz"):
        if one.voxel_um is None or one.volume_id not in (None, volume.id):
            continue
        if one.volume_id is None:
            stated.append((f"{one.name} says", one.voxel_um))
        elif not is_same(one.voxel_um, volume.voxel_um):  # "on-<volume>-<size>" is the size of the volume's voxels
            yield f"{one.name} says that its volume has voxels of {one.voxel_um:g} um, the catalogue {volume.voxel_um:g} um; one is wrong"
    for who, um in stated:
        if not is_same(um, traced_um):
            yield f"{downscaled}, which makes {traced_um:g} um, but {who} {um:g} um; the surface may lie at another scale"
    others = [one.voxel_um for one in catalogue.scrolls[segment.scroll].volumes.values() if one.voxel_um is not None]
    is_level = any(math.isclose(segment.downscale, 2**level, rel_tol=SAME) for level in range(MOST_LEVEL + 1))
    if not stated and not is_level and not any(is_same(um, traced_um) for um in others):
        yield f"{downscaled}, which makes {traced_um:g} um: neither a level of that volume nor another volume of the scroll has such voxels"


def _surface_volumes(catalogue: Catalogue, segment: TracedSegment) -> Iterator[str]:
    """Layers are rendered from a volume of the scroll, or from a level of its pyramid."""
    volumes = [one.voxel_um for one in catalogue.scrolls[segment.scroll].volumes.values() if one.voxel_um is not None]
    for layers in segment.surface_volumes:
        um = layers.voxel_um
        if um is None or not volumes or any(is_same(um, v * 2**n) for v in volumes for n in range(MOST_LEVEL + 1)):
            continue
        there = ", ".join(f"{v:g}" for v in sorted({*volumes}))
        yield (
            f"{layers.name} has voxels of {um:g} um, but the volumes of {segment.scroll} have {there} um; it was rendered from another "
            "volume"
        )
